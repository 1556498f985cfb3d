"""What cannot be followed or written, in words: one trouble per cause, the most telling one first."""

from typing import Any, cast

import pytest

from bind_agent.api.resource import EXPORTS, SECRETS, Resource
from bind_agent.kube import errors
from bind_agent.kube.asked import Asked
from bind_agent.runtime.budget import Budget
from konnector.clusters import Far
from konnector.controllers.troubles import (
    Followed,
    Trouble,
    informers_synced,
    objects_in_sync,
    of_client,
    of_watch,
)
from konnector.sync.model import Side
from tests.fakes.parts import StillInformer

pytestmark = pytest.mark.unit

KIND = Resource("g.example", "v1", "things", kind="Thing")
SERVER = "https://provider.example"
OVER = Budget(1024).share("things").exceeded()
FAR = Far(Side.PROVIDER, SERVER)


def _trouble(side: Side, error: errors.KubeError | None, *, synced: bool = True) -> Trouble | None:
    informer = StillInformer(KIND, synced=synced)
    informer.last_error = error
    return of_watch(Followed(side, cast("Any", informer)), "things.g.example", FAR)


def _api(kind: type[Any], code: int) -> errors.KubeError:
    error: errors.KubeError = kind("what the server said", code=code, reason=kind.__name__)
    return error


@pytest.mark.parametrize(
    ("side", "error", "reason", "words"),
    [
        (Side.CONSUMER, _api(errors.Forbidden, 403), "PermissionDenied", "bind konnector rbac things.g.example`"),
        (Side.PROVIDER, _api(errors.Forbidden, 403), "PermissionDenied", "condition AccessGranted"),
        (Side.CONSUMER, _api(errors.NotFound, 404), "CRDNotFound", "not served on the app cluster"),
        (Side.PROVIDER, _api(errors.NotFound, 404), "CRDNotFound", "ask the provider to install it again"),
        (Side.PROVIDER, _api(errors.Unauthorized, 401), "CredentialRejected", "bind again with it"),
        (Side.CONSUMER, _api(errors.Unauthorized, 401), "InformerSyncTimeout", "v1 of the app cluster"),
        (Side.PROVIDER, errors.ConnectionFailed("refused"), "ProviderUnreachable", "cannot be reached: refused"),
        (Side.PROVIDER, _api(errors.Unavailable, 503), "ProviderUnreachable", "cannot be reached"),
        (Side.CONSUMER, errors.ConnectionFailed("refused"), "InformerSyncTimeout", "of the app cluster: refused"),
        (Side.PROVIDER, OVER, "MemoryBudgetExceeded", f"{SERVER}: things is not taken in: all that is kept"),
        (Side.CONSUMER, OVER, "MemoryBudgetExceeded", "the app cluster: things is not taken in"),
        (Side.PROVIDER, errors.MalformedAnswer("nonsense"), "InformerSyncTimeout", f"of {SERVER}: nonsense"),
    ],
    ids=[
        "denied-here",
        "denied-there",
        "missing-here",
        "missing-there",
        "rejected",
        "rejected-here",
        "refused-connection",
        "unavailable",
        "refused-connection-here",
        "too-much",
        "too-much-here",
        "malformed",
    ],
)  # fmt: skip
def test_a_failed_watch_in_words(side: Side, error: errors.KubeError, reason: str, words: str) -> None:
    found = _trouble(side, error)
    assert found is not None
    assert found.reason == reason
    assert words in found.message


def test_a_watch_that_works_or_has_not_answered_yet() -> None:
    assert _trouble(Side.PROVIDER, None) is None
    waiting = _trouble(Side.PROVIDER, None, synced=False)
    assert waiting is not None
    assert waiting.message == f"no complete list of things.g.example/v1 from {SERVER} yet"
    here = _trouble(Side.CONSUMER, None, synced=False)
    assert here is not None
    assert "from the app cluster" in here.message


@pytest.mark.parametrize(
    ("error", "waiting", "reason"),
    [
        (None, 0.0, ""),
        (None, 9.9, ""),
        (None, 10.0, "ProviderUnreachable"),
        (errors.ConnectionFailed("refused"), 0.0, "ProviderUnreachable"),
        (_api(errors.Unauthorized, 401), 20.0, "CredentialRejected"),
    ],
    ids=["fine", "waiting", "slow", "away", "rejected"],
)
def test_the_latest_calls_in_words(error: errors.KubeError | None, waiting: float, reason: str) -> None:
    found = of_client(error, waiting, slow=10.0, far=FAR)
    assert (found.reason if found else "") == reason


def test_a_slow_answer_gives_the_same_words_each_second() -> None:
    assert of_client(None, 11.0, slow=10.0, far=FAR) == of_client(None, 12.0, slow=10.0, far=FAR)


def test_the_trouble_that_explains_the_others_is_told() -> None:
    found = informers_synced(
        [
            Trouble("InformerSyncTimeout", "no list yet"),
            Trouble("CRDNotFound", "not served"),
            Trouble("PermissionDenied", "b"),
            Trouble("PermissionDenied", "a"),
            Trouble("PermissionDenied", "a"),
            Trouble("CredentialRejected", "revoked"),
        ]
    )
    assert (found.type, found.status, found.severity) == ("InformersSynced", "False", "Error")
    assert (found.reason, found.message) == ("CredentialRejected", "revoked (and 4 more)")
    assert informers_synced([]).status == "True"


def test_hindrances_of_objects() -> None:
    found = objects_in_sync([Trouble("PermissionDenied", "no right")])
    assert (found.type, found.status, found.message) == ("ObjectsInSync", "False", "no right")
    assert objects_in_sync([]).status == "True"


def test_of_lists_of_secrets_the_right_is_told_in_our_words() -> None:
    said = 'secrets is forbidden: User "hunter2" cannot list resource "secrets" in API group "" at the cluster scope'
    error = errors.error_from_status(
        {"reason": "Forbidden", "message": said, "code": 403},
        code=403,
        sensitive=True,
        asked=Asked("list", SECRETS),
    )
    informer = StillInformer(SECRETS)
    informer.last_error = error
    found = of_watch(Followed(Side.CONSUMER, cast("Any", informer)), EXPORTS.group_resource, FAR)
    assert found is not None
    assert "cannot list secrets: no role allows it" in found.message
    assert "hunter2" not in found.message
