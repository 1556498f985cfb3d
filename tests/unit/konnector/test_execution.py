"""Execution of steps: one request each, what is remembered, and every race told apart from a refusal."""

import asyncio
from typing import Any, cast

import pytest

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.kube.errors import (
    AbsenceUnproven,
    AlreadyExists,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    PayloadTooLarge,
    ServerError,
    Unavailable,
)
from bind_agent.runtime.reconcile import Result
from konnector.sync import model
from konnector.sync.brake import Brake
from konnector.sync.execution import (
    BRAKE_RECHECK_SECONDS,
    Execution,
    RefusedByServerError,
    ReplanError,
    side_of,
)
from konnector.sync.model import Side
from tests.fakes.parts import CannedClient, StillInformer
from tests.fakes.sync_world import PLACEMENT, guarded, thing

pytestmark = pytest.mark.unit

KIND = Resource("mangodb.com", "v1", "mangodbs", kind="MangoDB")
KEY = PLACEMENT.consumer_key
THERE = PLACEMENT.provider_key

ENSURE = model.EnsureFinalizer("consumer-uid", "10", {"metadata": {"finalizers": ["x"]}})
RELEASE = model.ReleaseFinalizer("consumer-uid", "10", {"metadata": {"finalizers": None}})
APPLY = model.ApplyProvider({"metadata": {"name": "db"}}, True, "digest-1")
STATUS = model.PatchConsumerStatus("consumer-uid", ({"op": "add", "path": "/status"},), "status", "digest-2")
DELETE = model.DeleteProvider("provider-uid")
ADOPT = model.Adopt({"metadata": {"name": "db"}})
MIGRATE = model.MigrateManagedFields("provider-uid")
CONFIRM_HERE = model.ConfirmAbsence(Side.CONSUMER, "consumer-uid")
CONFIRM_THERE = model.ConfirmAbsence(Side.PROVIDER)


def _copy(version: str = "20", uid: str = "provider-uid", **fields: Any) -> Object:
    return thing(THERE, uid=uid, version=version, **fields)


def _error(kind: type[Any], code: int, **details: Any) -> KubeError:
    error: KubeError = kind("what the server said", code=code, reason=kind.__name__, details=details)
    return error


class Case:
    """An execution between two canned clusters."""

    def __init__(
        self,
        app: CannedClient | None = None,
        provider: CannedClient | None = None,
        *,
        source: Object | None = None,
        copy: Object | None = None,
        brake: Brake | None = None,
    ) -> None:
        self.app = app or CannedClient()
        self.provider = provider or CannedClient()
        self.here = StillInformer(KIND, *([source] if source else []))
        self.there: StillInformer | None = StillInformer(KIND, *([copy] if copy else []))
        self.held = 0
        self.execution = Execution(
            cast("Any", self.app),
            cast("Any", self.provider),
            KIND,
            consumer=cast("Any", self.here),
            provider_informer=cast("Any", lambda _: self.there),
            brake=brake or Brake(rest=0.0),
            on_brake=self._hold,
        )

    def _hold(self) -> None:
        self.held += 1

    async def run(self, step: model.Step) -> Result | None:
        return await self.execution.execute(KEY, step, PLACEMENT)

    def read(self) -> tuple[str | None, str | None]:
        """Versions of both copies as they are known now."""
        both = self.execution.read(KEY, PLACEMENT)
        consumer, provider = (o["metadata"]["resourceVersion"] if o else None for o in both)
        return consumer, provider


# --- each step --------------------------------------------------------------------------------------


async def test_the_guard_is_one_patch_and_is_known_at_once() -> None:
    case = Case(CannedClient(merge_patch=guarded(version="11")), source=thing())
    assert await case.run(ENSURE) is None
    ((_, args, kwargs),) = case.app.calls
    assert (args[1], args[2], kwargs) == ("db", ENSURE.patch, {"namespace": "shop"})
    assert case.read() == ("11", None)


async def test_an_apply_is_remembered() -> None:
    case = Case(provider=CannedClient(apply=_copy("21")), source=thing())
    await case.run(APPLY)
    ((_, _, kwargs),) = case.provider.calls
    assert kwargs == {"field_manager": keys.FIELD_MANAGER, "namespace": PLACEMENT.provider_namespace}
    assert case.read() == ("10", "21")
    assert case.execution.memory(KEY).copy.is_futile("digest-1", "21")


async def test_a_status_is_a_json_patch_to_the_subresource() -> None:
    case = Case(CannedClient(json_patch=guarded(version="12")), source=guarded())
    await case.run(STATUS)
    ((_, args, kwargs),) = case.app.calls
    assert args[2] == [{"op": "add", "path": "/status"}]
    assert kwargs == {"namespace": "shop", "subresource": "status"}
    assert case.read()[0] == "12"
    assert case.execution.memory(KEY).status.is_futile("digest-2", "12")


async def test_an_adoption_is_a_creation_after_which_is_planned_again() -> None:
    case = Case(CannedClient(create=guarded(version="13")))
    with pytest.raises(ReplanError):  # the provider's object is marked next
        await case.run(ADOPT)
    assert case.app.verbs == ["create"]
    assert case.read()[0] == "13"


async def test_managed_fields_are_moved_on_what_the_server_has() -> None:
    live = _copy()
    live["metadata"]["managedFields"] = [
        {
            "manager": keys.GO_FIELD_MANAGER,
            "operation": "Update",
            "fieldsV1": {"f:spec": {}},
            "apiVersion": "x",
        }
    ]
    case = Case(provider=CannedClient(get=live, json_patch=live), copy=_copy())
    await case.run(MIGRATE)
    assert case.provider.verbs == ["get", "json_patch"]
    idle = Case(provider=CannedClient(get=_copy()), copy=_copy())
    await idle.run(MIGRATE)
    assert idle.provider.verbs == ["get"]


async def test_managed_fields_of_another_object_than_was_judged_are_left_alone() -> None:
    live = _copy("30", uid="another-uid")
    live["metadata"]["managedFields"] = [
        {"manager": keys.GO_FIELD_MANAGER, "operation": "Update", "fieldsV1": {"f:spec": {}}}
    ]
    case = Case(provider=CannedClient(get=live), copy=_copy())
    with pytest.raises(ReplanError):
        await case.run(MIGRATE)
    assert case.provider.verbs == ["get"]
    assert case.read()[1] == "30"  # planned on next


async def test_a_release_that_ends_the_object_is_known_at_once() -> None:
    source = guarded(deleting=True)
    freed = thing(version="14", deleting=True)
    case = Case(CannedClient(merge_patch=freed), source=source)
    await case.run(RELEASE)
    assert case.read() == (None, None)


async def test_a_release_that_leaves_other_finalizers_shows_the_object() -> None:
    rest = thing(version="14", deleting=True, finalizers=["theirs"])
    case = Case(CannedClient(merge_patch=rest), source=guarded(deleting=True))
    await case.run(RELEASE)
    assert case.read()[0] == "14"


async def test_without_an_informer_answers_are_not_kept() -> None:
    case = Case(provider=CannedClient(apply=_copy("21")), source=thing())
    case.there = None
    await case.run(APPLY)
    assert case.read() == ("10", None)
    assert len(case.execution.recent[Side.PROVIDER]) == 0


# --- deletions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, {"kind": "Status", "status": "Success"}], ids=["none", "status"])
async def test_a_copy_that_is_gone_at_once_is_planned_on_at_once(answer: Object | None) -> None:
    case = Case(provider=CannedClient(delete=answer), source=guarded(deleting=True), copy=_copy())
    with pytest.raises(ReplanError):
        await case.run(DELETE)
    ((_, _, kwargs),) = case.provider.calls
    assert kwargs["uid"] == "provider-uid"
    assert kwargs["propagation"] == "Background"
    assert case.read()[1] is None
    assert case.execution.memory(KEY).provider_gone


async def test_a_copy_that_a_finalizer_holds_is_known_to_be_leaving() -> None:
    leaving = _copy("22", deleting=True, finalizers=["slow"])
    case = Case(provider=CannedClient(delete=leaving), source=guarded(deleting=True), copy=_copy())
    assert await case.run(DELETE) is None
    assert case.read()[1] == "22"
    assert not case.execution.memory(KEY).provider_gone


async def test_the_brake_holds_what_nobody_was_seen_to_ask_for() -> None:
    brake = Brake(count=0)
    brake.ask("shop/other", total=1, now=0.0)
    assert brake.held
    case = Case(copy=_copy(), brake=brake)
    assert await case.run(DELETE) == Result(after=BRAKE_RECHECK_SECONDS)
    assert case.provider.calls == []
    assert case.held == 1
    # A source that is being deleted itself was asked for.
    asked = Case(provider=CannedClient(delete=None), source=guarded(deleting=True), copy=_copy(), brake=brake)
    with pytest.raises(ReplanError):
        await asked.run(DELETE)
    assert asked.provider.verbs == ["delete"]


async def test_a_deletion_that_nobody_was_seen_to_ask_for_rests_first() -> None:
    case = Case(provider=CannedClient(delete=None), copy=_copy(), brake=Brake(rest=0.02))
    assert await case.run(DELETE) == Result(after=0.02)
    assert (case.provider.calls, case.held) == ([], 0)
    await asyncio.sleep(0.03)
    with pytest.raises(ReplanError):
        await case.run(DELETE)
    assert case.provider.verbs == ["delete"]


# --- absence ----------------------------------------------------------------------------------------


async def test_a_held_deletion_that_nothing_asks_for_any_more_is_not_approved_later() -> None:
    brake = Brake(count=0, share=0.0)
    case = Case(brake=brake)
    assert not brake.ask(KEY, total=1, now=0.0)
    assert brake.waiting == {KEY}
    case.execution.keep(KEY)
    assert not brake.waiting


async def test_an_absence_on_the_consumer_is_confirmed_by_its_server() -> None:
    gone = Case(CannedClient(get_or_none=None))
    assert await gone.run(CONFIRM_HERE) is None
    anew = Case(CannedClient(get_or_none=thing(uid="another-uid")))
    assert await anew.run(CONFIRM_HERE) is None
    there = Case(CannedClient(get_or_none=thing(version="15")))
    with pytest.raises(ReplanError):
        await there.run(CONFIRM_HERE)
    assert there.read()[0] == "15"


async def test_an_absence_on_the_provider_is_confirmed_by_its_server() -> None:
    gone = Case(provider=CannedClient(get_or_none=None), copy=_copy())
    assert await gone.run(CONFIRM_THERE) is None
    assert gone.read()[1] is None
    assert gone.execution.memory(KEY).provider_gone
    there = Case(provider=CannedClient(get_or_none=_copy("23")))
    with pytest.raises(ReplanError):
        await there.run(CONFIRM_THERE)
    assert there.read()[1] == "23"


UNPROVEN = AbsenceUnproven("the answer carries no Status", code=404)


@pytest.mark.parametrize("step", [DELETE, CONFIRM_THERE], ids=["delete", "confirm"])
async def test_a_404_that_is_not_about_the_copy_leaves_it_there(step: model.Step) -> None:
    case = Case(
        provider=CannedClient(delete=UNPROVEN, get_or_none=UNPROVEN),
        source=guarded(deleting=True),
        copy=_copy(),
    )
    with pytest.raises(AbsenceUnproven):
        await case.run(step)
    assert case.read() == ("10", "20")
    assert not case.execution.memory(KEY).provider_gone


async def test_a_404_that_is_not_about_the_source_deletes_no_copy() -> None:
    case = Case(CannedClient(get_or_none=UNPROVEN), copy=_copy())
    with pytest.raises(AbsenceUnproven):
        await case.run(CONFIRM_HERE)


@pytest.mark.parametrize("step", [ENSURE, RELEASE], ids=["ensure", "release"])
async def test_a_404_that_is_not_about_the_source_does_not_end_the_work_on_it(step: model.Step) -> None:
    case = Case(CannedClient(merge_patch=UNPROVEN), source=guarded())
    with pytest.raises(AbsenceUnproven):
        await case.run(step)


# --- races and refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "side", "verb"),
    [
        (ENSURE, "app", "merge_patch"),
        (RELEASE, "app", "merge_patch"),
        (APPLY, "provider", "apply"),
        (STATUS, "app", "json_patch"),
        (DELETE, "provider", "delete"),
    ],
    ids=["ensure", "release", "apply", "status", "delete"],
)
async def test_a_conflict_is_raised_and_the_stores_are_believed_again(
    step: model.Step, side: str, verb: str
) -> None:
    client = CannedClient(**{verb: _error(Conflict, 409)})
    clients = {side: client}
    case = Case(**cast("Any", clients), source=guarded(), copy=_copy())
    case.execution.recent[Side.CONSUMER].remember(KEY, guarded(version="90"), None, "")
    case.execution.recent[Side.PROVIDER].remember(THERE, _copy("91"), None, "")
    with pytest.raises(Conflict):
        await case.run(step)
    assert case.read() == ("10", "20")


async def test_invalid_content_is_refused_and_a_lost_race_is_planned_again() -> None:
    causes = {"causes": [{"field": "spec.size", "message": "too big"}]}
    case = Case(provider=CannedClient(apply=_error(Invalid, 422, **causes)))
    with pytest.raises(RefusedByServerError, match="does not take it"):
        await case.run(APPLY)
    # A failed `test` of a JSON patch has no details; another UID is named as such.
    for step, answers in (
        (STATUS, {"json_patch": _error(Invalid, 422)}),
        (STATUS, {"json_patch": _error(Invalid, 422, causes=[{"field": "metadata.uid"}])}),
    ):
        lost = Case(CannedClient(**answers))
        with pytest.raises(ReplanError):
            await lost.run(step)


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (BadRequest("strict decoding error", code=400), True),
        (PayloadTooLarge("limit is 3145728", code=413), True),
        (ServerError("etcdserver: request is too large", code=500), True),
        (ServerError("failed calling webhook", code=500), False),
        (Unavailable("starting", code=503), False),
    ],
    ids=["bad-request", "payload", "etcd", "webhook", "starting"],
)
async def test_content_that_is_never_taken_is_told_from_a_server_that_fails(
    error: KubeError, refused: bool
) -> None:
    case = Case(provider=CannedClient(apply=error))
    with pytest.raises(RefusedByServerError if refused else type(error)):
        await case.run(APPLY)


@pytest.mark.parametrize("step", [ENSURE, RELEASE], ids=["ensure", "release"])
async def test_an_object_that_is_gone_ends_the_reconcile_before_a_copy_is_made(step: model.Step) -> None:
    case = Case(CannedClient(merge_patch=_error(NotFound, 404)), source=guarded())
    assert await case.run(step) == Result()


async def test_other_absences_are_raised() -> None:
    case = Case(provider=CannedClient(apply=_error(NotFound, 404)))
    with pytest.raises(NotFound):
        await case.run(APPLY)


async def test_an_object_that_is_adopted_by_somebody_faster_is_no_failure() -> None:
    case = Case(CannedClient(create=_error(AlreadyExists, 409)))
    assert await case.run(ADOPT) is None


async def test_missing_rights_are_the_callers_to_tell() -> None:
    case = Case(provider=CannedClient(apply=_error(Forbidden, 403)), source=guarded(version="10"))
    with pytest.raises(Forbidden):
        await case.run(APPLY)


def test_memory_is_forgotten_with_the_object() -> None:
    case = Case()
    assert case.execution.memory(KEY) == model.Memory()
    case.execution._memory[KEY] = model.Memory(provider_gone=True)
    case.execution.forget(KEY)
    case.execution.forget(KEY)
    assert case.execution.memory(KEY) == model.Memory()


def test_without_a_place_only_the_consumers_copy_is_read() -> None:
    case = Case(source=thing(), copy=_copy())
    consumer, provider = case.execution.read(KEY, None)
    assert consumer is not None
    assert provider is None


@pytest.mark.parametrize(
    ("step", "side"),
    [
        (ENSURE, Side.CONSUMER),
        (RELEASE, Side.CONSUMER),
        (STATUS, Side.CONSUMER),
        (ADOPT, Side.CONSUMER),
        (CONFIRM_HERE, Side.CONSUMER),
        (CONFIRM_THERE, Side.PROVIDER),
        (APPLY, Side.PROVIDER),
        (DELETE, Side.PROVIDER),
        (MIGRATE, Side.PROVIDER),
    ],
    ids=lambda value: type(value).__name__,
)
def test_where_a_step_makes_its_request(step: model.Step, side: Side) -> None:
    assert side_of(step) is side
