"""`tenant add --bundle`: its flags, and what becomes of odd answers.

Excluded: bundles themselves, on real API servers (`tests/integration/cli/test_bundle.py`).
"""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from bind_agent.aio.clock import VirtualClock
from bind_agent.api.acceptance import Acceptance
from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.meta import Object
from bind_agent.api.resource import EXPORT_REQUESTS, EXPORTS, Resource
from bind_agent.backend import bundling
from bind_agent.backend.access import Kind
from bind_agent.backend.app import cli
from bind_agent.backend.commands.bundle import decisions
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from bind_agent.kube.errors import AbsenceUnproven, AlreadyExists, Forbidden, NotFound

pytestmark = pytest.mark.unit

KIND = Kind("example.org", "databases")


def invoke(*flags: str) -> Result:
    return CliRunner().invoke(cli, ["tenant", "add", "anna", "--cluster-id=c1", *flags])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--bundle=x"], "belong together"),
        (["--api=databases.example.org"], "belong together"),
        (["--bundle=x", "--api=databases"], "core group"),
        (["--bundle=x", "--api=Databases.example.org"], "is no API"),
        (["--bundle=x", "--api=pods.apps"], "belongs to Kubernetes"),
        (["--bundle=x", "--api=apiserviceexports.klutch.anynines.com"], "cannot be exported"),
        (["--bundle=x", "--api=databases.example.org", "--accept-claims=,"], "not understood"),
        (["--bundle=x", "--api=databases.example.org", "--konnector-image=a b"], "no image reference"),
        (["--bundle=x", "--api=databases.example.org", "--secret-name=A B"], "no name of a Secret"),
        (["--bundle=x", "--api=databases.example.org", "--without-secret"], "needs --out"),
        (["--bundle=x", "--api=databases.example.org", "--conflict-policy=Maybe"], "none of Fail, Adopt"),
        (["--bundle=x", "--api=databases.example.org", "--bundle-timeout=0s"], "is not between"),
    ],
)
def test_wrong_usage_connects_to_nothing(flags: list[str], words: str) -> None:
    done = invoke(*flags)
    assert done.exit_code == 2, done.output
    assert words in " ".join(done.output.split())


async def test_a_kubeconfig_that_a_konnector_would_refuse_is_not_bundled() -> None:
    config = ClusterConfig("https://p.example", Credential(token="t"))
    with pytest.raises(bundling.BundleError, match="cannot be put into a bundle"):
        await bundling.make(config, b"{}", bundling.Wish((KIND,)))


class Answers:
    """A client that answers from lists, and remembers what was asked for."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.done: list[str] = []

    def _next(self, what: str) -> Any:
        self.done.append(what)
        queue = self.answers[what]
        found = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def create(self, *_: Any, **__: Any) -> Object:
        return dict(self._next("create"))

    async def delete(self, *_: Any, **__: Any) -> None:
        self._next("delete")

    async def get_or_none(self, resource: Resource, *_: Any, **__: Any) -> Object | None:
        found = self._next({EXPORTS: "export", EXPORT_REQUESTS: "request"}[resource])
        return None if found is None else dict(found)


def request(phase: str, **status: Any) -> Object:
    return {"metadata": {"uid": "u"}, "status": {"phase": phase, **status}}


EXPORT = {
    "metadata": {"name": str(KIND)},
    "spec": {
        "group": KIND.group,
        "names": {"plural": KIND.plural, "kind": "Database"},
        "scope": "Namespaced",
        "informerScope": "Namespaced",
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {}}}],
    },
}

GOING = {**EXPORT, "metadata": {"name": str(KIND), "deletionTimestamp": "2026-01-01T00:00:00Z"}}


class Time(VirtualClock):
    """Each wait is over at once."""

    async def sleep(self, seconds: float) -> None:
        await self.advance(seconds)


def asking(client: Answers, *, timeout: float = 10.0) -> bundling._Asking:
    clock = Time()
    return bundling._Asking(client, "cns", clock, clock.monotonic() + timeout)  # type: ignore[arg-type]


class TestAsking:
    async def test_a_failed_request_is_made_anew(self) -> None:
        client = Answers(
            create=[AlreadyExists("x", code=409), {}], request=[request("Failed")], delete=[None]
        )
        await asking(client).request(KIND)
        assert client.done == ["create", "request", "delete", "create"]

    async def test_somebody_else_removes_the_failed_one(self) -> None:
        taken = AlreadyExists("x", code=409)
        client = Answers(
            create=[taken, taken, {}],
            request=[request("Failed"), None],
            delete=[None],
        )
        await asking(client).request(KIND)
        assert client.done == ["create", "request", "delete", "create", "request", "create"]

    @pytest.mark.parametrize("phase", ["Pending", "Succeeded"])
    async def test_one_that_stands_is_taken_up(self, phase: str) -> None:
        client = Answers(create=[AlreadyExists("x", code=409)], request=[request(phase)])
        await asking(client).request(KIND)
        assert client.done == ["create", "request"]

    async def test_rights_may_come_a_moment_later_but_not_never(self) -> None:
        refused = Forbidden("x", code=403)
        client = Answers(create=[refused, refused, {}])
        await asking(client, timeout=100).request(KIND)
        assert client.done == ["create"] * 3
        with pytest.raises(Forbidden):
            await asking(Answers(create=[refused]), timeout=100).request(KIND)
        with pytest.raises(bundling.BundleError, match="the request cannot be made"):
            await asking(Answers(create=[refused]), timeout=5).request(KIND)

    async def test_the_export_is_waited_for(self) -> None:
        client = Answers(
            request=[request(""), request("Pending"), request("Succeeded")],
            export=[None, EXPORT],
        )
        assert await asking(client).claims(KIND) == ()

    async def test_a_request_that_was_cleaned_up_has_left_its_export(self) -> None:
        assert await asking(Answers(request=[None], export=[EXPORT])).claims(KIND) == ()

    @pytest.mark.parametrize(
        ("found", "export", "words"),
        [
            (request("Failed", terminalMessage="no \x1b CRD"), EXPORT, "is refused: no CRD"),
            (request("Failed"), EXPORT, "no reason given"),
            (request(""), EXPORT, "no backend has answered"),
            (
                request("Pending", conditions=[{"status": "False", "message": "no template"}]),
                EXPORT,
                "no template",
            ),
            (request("Succeeded"), {"metadata": {}, "spec": {}}, "invalid"),
        ],
    )
    async def test_no_export(self, found: Object, export: Any, words: str) -> None:
        with pytest.raises(bundling.BundleError, match=words):
            await asking(Answers(request=[found], export=[export])).claims(KIND)

    @pytest.mark.parametrize(
        ("requests", "export", "words"),
        [
            (
                [request("Succeeded")],
                None,
                "was answered earlier, and its export has been removed since.*kubectl delete"
                " apiserviceexportrequests.klutch.anynines.com -n cns databases.example.org.*export restore",
            ),
            ([None], None, "request was removed, and there is no export: repeat this"),
            (
                [request("Pending"), None],
                None,
                "request was removed, and there is no export",
            ),
            ([request("Succeeded")], GOING, "its export is being deleted.*wait until it is gone"),
            ([None], GOING, "its export is being deleted"),
        ],
    )
    async def test_an_export_that_can_never_come_is_not_waited_for(
        self, requests: list[Object | None], export: Any, words: str
    ) -> None:
        found = asking(Answers(request=requests, export=[export]), timeout=120)
        started = found._clock.monotonic()
        with pytest.raises(bundling.BundleError, match=words):
            await found.claims(KIND)
        assert found._clock.monotonic() - started < 5

    async def test_a_404_that_says_nothing_of_the_export_is_no_missing_export(self) -> None:
        client = Answers(request=[request("Succeeded")], export=[AbsenceUnproven("x", code=404)])
        with pytest.raises(AbsenceUnproven):
            await asking(client).claims(KIND)
        client = Answers(
            create=[AlreadyExists("x", code=409)],
            request=[request("Failed")],
            delete=[AbsenceUnproven("x", code=404)],
        )
        with pytest.raises(AbsenceUnproven):
            await asking(client).request(KIND)

    async def test_one_look_that_found_nothing_decides_nothing(self) -> None:
        """Somebody else may be removing a failed request at this moment, and asking anew."""
        gone = None
        client = Answers(
            request=[None, request("Pending"), None, request("Succeeded")], export=[gone, gone, EXPORT]
        )
        assert await asking(client).claims(KIND) == ()

    async def test_what_was_made_here_is_withdrawn_and_nothing_else(self) -> None:
        client = Answers(create=[{"metadata": {"uid": "mine"}}], delete=[None])
        mine = asking(client)
        await mine.request(KIND)
        await mine.withdraw()
        assert client.done == ["create", "delete"]
        client = Answers(create=[AlreadyExists("x", code=409)], request=[request("Pending")], delete=[None])
        theirs = asking(client)
        await theirs.request(KIND)
        await theirs.withdraw()
        assert "delete" not in client.done

    async def test_a_provider_that_is_away_does_not_hold_up_the_farewell(self) -> None:
        client = Answers(create=[{"metadata": {"uid": "mine"}}], delete=[NotFound("x", code=404)])
        mine = asking(client)
        await mine.request(KIND)
        await mine.withdraw()
        assert client.done == ["create", "delete"]


SECRETS = PermissionClaim(resource="secrets", version="v1", selector=ClaimSelector(owner="Provider"))
MAPS = PermissionClaim(resource="configmaps", version="v1")
OTHER = Kind("example.org", "queues")


class TestSettling:
    def test_the_decisions_are_told(self) -> None:
        wish = bundling.Wish((KIND, OTHER), acceptance=Acceptance.read("secrets"))
        apis = bundling.settled({KIND: [SECRETS, MAPS], OTHER: [MAPS]}, wish)
        assert decisions(apis) == [
            "databases.example.org: claim accepted: all secrets in every bound namespace, from the provider to"
            " this cluster",
            "databases.example.org: claim rejected: all configmaps in every bound namespace, in both directions,"
            " each object from the side that owns it",
            "queues.example.org: claim rejected: all configmaps in every bound namespace, in both directions,"
            " each object from the side that owns it",
        ]
        assert decisions(bundling.settled({KIND: []}, bundling.Wish((KIND,)))) == []

    def test_a_kind_may_be_meant_for_one_of_several_apis(self) -> None:
        for text in ("secrets", "configmaps", "configmaps,secrets"):
            wish = bundling.Wish((KIND, OTHER), acceptance=Acceptance.read(text))
            assert len(bundling.settled({KIND: [SECRETS], OTHER: [MAPS]}, wish)) == 2
        wish = bundling.Wish((KIND, OTHER), acceptance=Acceptance.read("secrets,configmap"))
        with pytest.raises(
            bundling.AnswersError, match="no claim on 'configmap'; the claims are: configmaps, sec"
        ):
            bundling.settled({KIND: [SECRETS], OTHER: [MAPS]}, wish)

    def test_claims_without_a_word_are_no_slip_of_the_pen(self) -> None:
        with pytest.raises(bundling.BundleError, match="say with --accept-claims") as caught:
            bundling.settled({KIND: [SECRETS]}, bundling.Wish((KIND,)))
        assert not isinstance(caught.value, bundling.AnswersError)
