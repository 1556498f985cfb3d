"""Clocks that are wrong end no consumer: the shell around the reaper's decision, without a server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from bind_agent.aio.clock import VirtualClock
from bind_agent.api import conditions, keys
from bind_agent.api.meta import Object
from bind_agent.backend import names
from bind_agent.backend.controllers.reaper import Reaper
from bind_agent.backend.tenancy.reaper import Limits
from bind_agent.obs import metrics

pytestmark = pytest.mark.unit

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BEAT = 10 * 60.0
LIMITS = Limits(30 * DAY, 90 * DAY)


class WrongClock(VirtualClock):
    """A wall clock that is ahead of the time, beside a monotonic one that is right."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead

    @property
    def truth(self) -> datetime:
        return super().now()


class Provider:
    """ClusterBindings as a server keeps them, and what the reaper does about them."""

    def __init__(self, clock: WrongClock) -> None:
        self.clock = clock
        self.bindings: dict[str, Object] = {}
        self.ended: list[tuple[str, bool]] = []
        self.server_ahead = timedelta(0)
        self.context: Any = SimpleNamespace(
            client=self,
            clock=clock,
            legacy_issuer="",
            recorder=SimpleNamespace(event=lambda *_, **__: None),
            rights=SimpleNamespace(server_time=self.server_time),
            views=SimpleNamespace(tenants=self.tenants, binding=self.bindings.get),
        )

    def add(self, name: str, seen: datetime) -> None:
        self.bindings[name] = {
            "metadata": {
                "name": keys.CLUSTER_BINDING_NAME,
                "namespace": name,
                "uid": name,
                "creationTimestamp": conditions.timestamp(NOW - 1000 * DAY),
                "annotations": {},
            },
            "status": {"lastHeartbeatTime": conditions.timestamp(seen), "conditions": []},
        }

    def beat(self, name: str) -> None:
        self.bindings[name]["status"]["lastHeartbeatTime"] = conditions.timestamp(self.clock.truth)

    def tenants(self) -> list[Object]:
        return [namespace(name) for name in self.bindings]

    async def list(self, _: object, *, namespace: str) -> Any:
        return SimpleNamespace(items=[self.bindings[namespace]])

    async def server_time(self) -> datetime | None:
        return self.clock.truth + self.server_ahead

    async def revoke(self, tenant: Any, *, delete: bool, by: str) -> str:
        self.ended.append((tenant.namespace, delete))
        marks = self.bindings[tenant.namespace]["metadata"]["annotations"]
        marks |= {names.REVOKED: conditions.timestamp(self.clock.now()), names.REVOKED_BY: by}
        if delete:
            del self.bindings[tenant.namespace]
        return by

    async def reconcile(self, reaper: Reaper) -> None:
        """As the controller does: report, then act."""
        for name in list(self.bindings):
            binding = self.bindings[name]
            verdict = reaper.judge(binding)
            entries = conditions.remove(conditions.of(binding), names.CONSUMER_SEEN)
            if verdict.condition is not None:
                entries = conditions.set_all(conditions.of(binding), [verdict.condition], self.clock.now())
            binding["status"]["conditions"] = entries
            if verdict.act:
                await reaper.act(namespace(name))


def namespace(name: str) -> Object:
    return {"metadata": {"name": name, "uid": name, "annotations": {keys.IDENTITY: f"{name}#c1"}}}


@pytest.fixture
def provider() -> Provider:
    """Ten consumers that beat."""
    clock = WrongClock(NOW)
    found = Provider(clock)
    for number in range(10):
        found.add(f"alive-{number}", NOW)
    return found


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


async def pass_time(provider: Provider, reaper: Reaper, span: timedelta) -> None:
    """Whoever is alive beats every ten minutes, at the true time."""
    for _ in range(int(span.total_seconds() / BEAT)):
        await provider.clock.advance(BEAT)
        for name in provider.bindings:
            if name.startswith("alive"):
                provider.beat(name)
        for _ in range(2):  # the status that was written is an event as well
            await provider.reconcile(reaper)


def start(provider: Provider) -> Reaper:
    tenants: Any = provider
    return Reaper(provider.context, tenants, LIMITS)


async def test_who_is_silent_is_ended(provider: Provider) -> None:
    provider.add("silent", NOW - 31 * DAY)
    await pass_time(provider, start(provider), timedelta(minutes=50))
    assert provider.ended == []
    await pass_time(provider, start(provider), timedelta(hours=2))
    assert provider.ended == [("silent", False)]


@pytest.mark.parametrize("jump", [31 * DAY, 400 * DAY])
@pytest.mark.parametrize("server_too", [False, True], ids=["backend", "server-too"])
async def test_a_clock_that_jumps_ends_nobody_who_beats(
    provider: Provider, jump: timedelta, server_too: bool
) -> None:
    reaper = start(provider)
    await pass_time(provider, reaper, timedelta(hours=2))
    provider.clock.ahead = jump
    provider.server_ahead = jump if server_too else timedelta(0)
    await pass_time(provider, reaper, timedelta(hours=6))
    assert provider.ended == []


async def test_a_clock_that_runs_away_ends_nobody_who_beats(provider: Provider) -> None:
    """The announcement is of the wrong time already; only the other clock knows that no hour has passed since."""
    reaper = start(provider)
    await pass_time(provider, reaper, timedelta(hours=2))
    for hours in range(5):
        provider.clock.ahead = provider.server_ahead = 400 * DAY + hours * timedelta(hours=2)
        await provider.reconcile(reaper)
    assert provider.ended == []


async def test_a_leader_that_starts_with_a_wrong_clock_ends_nobody_who_beats(provider: Provider) -> None:
    provider.clock.ahead = provider.server_ahead = 400 * DAY
    await pass_time(provider, start(provider), timedelta(hours=6))
    assert provider.ended == []


async def test_a_clock_unlike_the_servers_ends_nobody_at_all(provider: Provider, logged: list[Any]) -> None:
    """Some are off for a weekend; nothing but the server's clock speaks for them."""
    provider.add("off", NOW - 2 * DAY)
    reaper = start(provider)
    held = metrics.REAPER_HELD("clock")._value.get()
    provider.clock.ahead = 400 * DAY
    await pass_time(provider, reaper, timedelta(hours=6))
    assert provider.ended == []
    assert metrics.REAPER_HELD("clock")._value.get() > held
    lines = [one for one in logged if one["event"] == "silent consumers are not ended"]
    assert lines
    assert (lines[0]["log_level"], lines[0]["reason"]) == ("warning", "clock")
    # Once in a while, not with each look.
    assert len(lines) <= 6
    # The clock is put right again: two days are no reason, thirty are.
    provider.clock.ahead = timedelta(0)
    await pass_time(provider, reaper, timedelta(hours=6))
    assert provider.ended == []
    provider.add("silent", NOW - 31 * DAY)
    await pass_time(provider, reaper, timedelta(hours=3))
    assert provider.ended == [("silent", False)]


async def test_most_at_once_is_not_believed(provider: Provider, logged: list[Any]) -> None:
    """The server's clock is wrong as well, and the way from the app clusters is cut."""
    provider.bindings.clear()
    for number in range(10):
        provider.add(f"cut-off-{number}", NOW)
    reaper = start(provider)
    held = metrics.REAPER_HELD("most")._value.get()
    provider.clock.ahead = provider.server_ahead = 400 * DAY
    await pass_time(provider, reaper, timedelta(hours=6))
    assert provider.ended == []
    assert metrics.REAPER_HELD("most")._value.get() > held
    (line, *_) = [one for one in logged if one["event"] == "silent consumers are not ended"]
    assert (line["reason"], line["silent"], line["tenants"]) == ("most", 10, 10)


async def test_a_few_are_believed_although_they_are_most(provider: Provider) -> None:
    provider.bindings.clear()
    for number in range(3):
        provider.add(f"gone-{number}", NOW - 31 * DAY)
    await pass_time(provider, start(provider), timedelta(hours=2))
    assert sorted(provider.ended) == [(f"gone-{number}", False) for number in range(3)]


async def test_a_server_that_does_not_say_its_time_holds_everything(provider: Provider) -> None:
    async def silence() -> datetime | None:
        return None

    provider.context.rights.server_time = silence
    provider.add("silent", NOW - 31 * DAY)
    await pass_time(provider, start(provider), timedelta(hours=5))
    assert provider.ended == []
