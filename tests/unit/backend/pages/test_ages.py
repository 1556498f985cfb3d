"""The age of credentials in a list costs no request for each view. Excluded: its words (test_clusters.py)."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bind_agent.backend import names
from bind_agent.backend.pages.ages import Ages
from bind_agent.backend.tenancy.directory import Tenant
from bind_agent.backend.tenancy.rotation import Credential
from bind_agent.kube.errors import ConnectionFailed
from tests.fakes import pages_world as world

pytestmark = pytest.mark.unit


class Secrets:
    """Reads credentials, and counts it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away: set[str] = set()
        self.slow: set[str] = set()

    async def credential(self, tenant: Tenant) -> Credential:
        self.asked.append(tenant.namespace)
        if tenant.namespace in self.slow:
            await asyncio.sleep(60)
        if tenant.namespace in self.away:
            raise ConnectionFailed("no answer")
        return world.credential(tenant.namespace)


class At:
    """A clock that stands still."""

    def __init__(self, ahead: timedelta = timedelta(0)) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        return world.NOW + self.ahead

    def monotonic(self) -> float:
        return 0.0


def tenants(count: int = 3, **marks: str) -> list[Tenant]:
    found = []
    for number in range(count):
        binding: Any = world.cluster_binding()
        binding["metadata"]["annotations"] |= marks
        found.append(world.tenant(f"ns-{number}", f"c{number}", binding))
    return found


async def look(ages: Ages, secrets: Secrets, found: Sequence[Tenant], **more: Any) -> list[Credential | None]:
    return await ages.of(found, keeper=secrets, clock=more.pop("clock", At()), **more)


async def test_each_is_read_once() -> None:
    ages, secrets = Ages(), Secrets()
    wanted = [world.credential(one.namespace) for one in tenants()]
    for _ in range(3):
        assert await look(ages, secrets, tenants()) == wanted
    assert sorted(secrets.asked) == ["ns-0", "ns-1", "ns-2"]


@pytest.mark.parametrize("mark", [names.CREDENTIAL_CHANGED, names.REVOKED, names.ADMITTED])
async def test_it_is_read_again_after_a_change(mark: str) -> None:
    ages, secrets = Ages(), Secrets()
    await look(ages, secrets, tenants(1))
    await look(ages, secrets, tenants(1, **{mark: "2026-11-21T09:00:00Z"}))
    # A namespace of the same name that was made anew is another one.
    await look(ages, secrets, [replace(tenants(1)[0], uid="other")])
    assert secrets.asked == ["ns-0"] * 3


async def test_it_is_read_again_when_it_was_due_for_renewal() -> None:
    ages, secrets = Ages(), Secrets()
    await look(ages, secrets, tenants(1))
    await look(ages, secrets, tenants(1), clock=At(timedelta(days=4)))
    assert secrets.asked == ["ns-0"] * 2


async def test_what_cannot_be_read_is_not_known_and_asked_again() -> None:
    ages, secrets = Ages(), Secrets()
    secrets.away = {"ns-1"}
    first = await look(ages, secrets, tenants())
    assert [one is None for one in first] == [False, True, False]
    secrets.away = set()
    assert None not in await look(ages, secrets, tenants())
    assert sorted(secrets.asked) == ["ns-0", "ns-1", "ns-1", "ns-2"]


async def test_a_slow_one_does_not_hold_the_page_up() -> None:
    ages, secrets = Ages(), Secrets()
    secrets.slow = {"ns-1"}
    found = await asyncio.wait_for(look(ages, secrets, tenants(), patience=0.05), 5)
    assert [one is None for one in found] == [False, True, False]
