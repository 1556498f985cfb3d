"""What the shell says about failures that a real server does not produce on demand; no requests are made."""

from typing import Any

import pytest

from bind_agent.backend.controlplane.findings import Findings
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.controlplane.settings import Settings
from bind_agent.backend.controlplane.source import Source
from bind_agent.backend.rights import Account
from bind_agent.kube.errors import AlreadyExists, Conflict, ConnectionFailed, Forbidden, KubeError, NotFound

pytestmark = pytest.mark.unit


class Rights:
    """Answers that the backend gets about its rights."""

    def __init__(self, allowed: set[str]) -> None:
        self.allowed = allowed

    async def account(self) -> Account:
        return Account("system:serviceaccount:own:backend")

    async def may(self, verb: str, _: object, *, namespace: str = "", name: str = "") -> bool:
        assert (namespace, name) == ("team", "app")
        return verb in self.allowed


class Watches:
    """A watch that ends in an error."""

    def __init__(self, error: KubeError, *, follows: bool) -> None:
        self.error, self.follows, self.left = error, follows, []  # type: ignore[var-annotated]

    def follows_source(self, _: Wanted) -> bool:
        return self.follows

    def leave_source(self, key: str) -> None:
        self.left.append(key)

    async def source(self, _: Wanted) -> Any:
        raise self.error


async def secret(
    wanted: Wanted, error: KubeError, *, follows: bool = True, allowed: tuple[str, ...] = ()
) -> tuple[Findings, Watches]:
    watches = Watches(error, follows=follows)
    source = Source(Rights(set(allowed)), watches, Settings())  # type: ignore[arg-type]
    findings = Findings()
    assert await source.usable(wanted, findings) is None
    return findings, watches


@pytest.mark.parametrize("allowed", [(), ("list",), ("watch",)])
async def test_a_right_is_asked_for_before_it_is_used(wanted: Wanted, allowed: tuple[str, ...]) -> None:
    findings, watches = await secret(wanted, ConnectionFailed("never"), follows=False, allowed=allowed)
    (condition,) = findings.conditions
    assert condition.reason == "PermissionDenied"
    assert "--serviceaccount=own:backend" in condition.message
    assert (findings.errors, watches.left) == ([], [])
    assert findings.after is not None


async def test_a_right_that_was_withdrawn(wanted: Wanted) -> None:
    findings, watches = await secret(wanted, Forbidden("no", code=403))
    assert [one.reason for one in findings.conditions] == ["PermissionDenied"]
    assert watches.left == ["team/prod"]


async def test_a_server_that_does_not_answer(wanted: Wanted) -> None:
    error = ConnectionFailed("no list arrived in time")
    findings, watches = await secret(wanted, error, follows=False, allowed=("list", "watch"))
    assert [(one.status, one.reason) for one in findings.conditions] == [("Unknown", "Unknown")]
    assert (findings.errors, watches.left) == ([error], [])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Conflict("", code=409), ""),
        (AlreadyExists("", code=409), ""),
        (Forbidden("quota", code=403), "PermissionDenied"),
        (NotFound("gone", code=404), "WriteFailed"),
        (ConnectionFailed("away"), "WriteFailed"),
    ],
)
def test_failed_requests(error: KubeError, reason: str) -> None:
    findings = Findings()
    findings.failed("APIsBound", "WriteFailed", error)
    assert findings.errors == [error]
    assert [one.reason for one in findings.conditions] == ([reason] if reason else [])


def test_the_reason_of_the_wire_stays() -> None:
    findings = Findings()
    findings.failed("KonnectorDeployed", "KonnectorDeploymentFailed", Forbidden("quota", code=403))
    assert [one.reason for one in findings.conditions] == ["KonnectorDeploymentFailed"]
