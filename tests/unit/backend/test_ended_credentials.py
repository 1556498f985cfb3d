"""How often a leader sees to it that a revocation is complete. Excluded: that it ends tokens (integration tests)."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bind_agent.aio.clock import VirtualClock
from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.backend import names
from bind_agent.backend.controllers.credential import LATE, SOON, CredentialPhase
from bind_agent.backend.controllers.phase import Phase
from bind_agent.kube.errors import ConnectionFailed

pytestmark = pytest.mark.unit

HOUR = 3600.0
ISSUER = "https://issuer.example"
NAMESPACE: Object = {
    "metadata": {"name": "ns", "annotations": {keys.IDENTITY: "alice#c1", names.ISSUER: ISSUER}}
}


class Tenant:
    """One tenant as it stands on the server, and what is done to its credential."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.stored = binding("")
        self.ends = 0
        self.away = False
        context: Any = SimpleNamespace(
            client=self, clock=self.clock, legacy_issuer="", views=SimpleNamespace(tenant=lambda _: NAMESPACE)
        )
        credentials: Any = self
        self.phase = CredentialPhase(context, credentials)

    async def list(self, _: object, *, namespace: str) -> Any:
        assert namespace == "ns"
        if self.away:
            raise ConnectionFailed("no answer")
        return SimpleNamespace(items=[self.stored])

    async def destroy(self, namespace: str, secret: str, *, only_if: Callable[[], Awaitable[bool]]) -> bool:
        assert (namespace, secret) == ("ns", keys.KUBECONFIG)
        if not await only_if():
            return False
        self.ends += 1
        return True

    async def keep(self, *_: object) -> Any:
        return SimpleNamespace(written=False, after=LATE)


async def due(tenant: Tenant, watched: Object) -> Phase:
    """What follows when the time of the first look has come."""
    await tenant.phase.run(watched)
    await tenant.clock.advance(SOON.total_seconds())
    return await tenant.phase.run(watched)


def binding(revoked: str) -> Object:
    marks = {names.REVOKED: revoked} if revoked else {}
    return {"metadata": {"name": "cluster", "namespace": "ns", "annotations": marks}}


async def test_twice_for_each_revocation_and_never_again() -> None:
    tenant = Tenant()
    for revoked in ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"):
        tenant.ends = 0
        tenant.stored = binding(revoked)
        found = await tenant.phase.run(tenant.stored)
        assert found.condition is not None
        # It is told at once, while whoever revokes is still at it.
        assert (found.condition.reason, found.after, tenant.ends) == ("CredentialRevoked", SOON, 0)
        await tenant.clock.advance(SOON.total_seconds())
        assert ((await tenant.phase.run(tenant.stored)).after, tenant.ends) == (LATE, 1)
        await tenant.clock.advance(60)
        assert (await tenant.phase.run(tenant.stored)).after is not None
        assert tenant.ends == 1
        await tenant.clock.advance(LATE.total_seconds())
        assert (await tenant.phase.run(tenant.stored)).after is None
        assert tenant.ends == 2
        for _ in range(5):
            await tenant.clock.advance(HOUR)
            found = await tenant.phase.run(tenant.stored)
        assert found.condition is not None
        assert (found.condition.reason, tenant.ends) == ("CredentialRevoked", 2)


async def test_the_next_leader_begins_anew() -> None:
    first, following = Tenant(), Tenant()
    for tenant in (first, following):
        tenant.stored = binding("2026-01-01T00:00:00Z")
        await due(tenant, tenant.stored)
        assert tenant.ends == 1


async def test_who_is_not_revoked_keeps_the_credential() -> None:
    tenant = Tenant()
    found = await tenant.phase.run(tenant.stored)
    assert found.condition is not None
    assert (found.condition.status, tenant.ends) == ("True", 0)


async def test_who_was_let_in_again_a_moment_ago_keeps_the_new_one() -> None:
    """What is watched is behind."""
    tenant = Tenant()
    found = await due(tenant, binding("2026-01-01T00:00:00Z"))
    assert (found.condition, tenant.ends) == (None, 0)


async def test_a_server_that_is_away_is_asked_again() -> None:
    tenant = Tenant()
    tenant.stored = binding("2026-01-01T00:00:00Z")
    tenant.away = True
    found = await due(tenant, tenant.stored)
    assert found.condition is not None
    assert found.condition.reason == "CredentialRevoked"
    assert isinstance(found.error, ConnectionFailed)
    tenant.away = False
    found = await tenant.phase.run(tenant.stored)
    assert (found.error, found.after, tenant.ends) == (None, LATE, 1)


@pytest.mark.parametrize(
    ("by", "helps"),
    [
        ("", f"`bind-backend tenant add alice --cluster-id=c1 --issuer={ISSUER}` issues a new one"),
        (names.BY_PERSON, "binding again issues a new one"),
    ],
)
async def test_what_helps_is_the_whole_command(by: str, helps: str) -> None:
    """Without the issuer it would make another tenant."""
    tenant = Tenant()
    tenant.stored = binding("2026-01-01T00:00:00Z")
    tenant.stored["metadata"]["annotations"] |= {names.REVOKED_BY: by} if by else {}
    found = await tenant.phase.run(tenant.stored)
    assert found.condition is not None
    assert found.condition.message.endswith(f": {helps}")
