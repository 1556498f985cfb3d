"""A system in agreement is silent: with 1,000 objects no write and no list in a minute, but for signs of life."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from bind_agent.api import meta
from bind_agent.api.resource import EXPORT_REQUESTS, SECRETS
from bind_agent.devcluster.audit import AuditEvent
from tests.fakes.system import Service, System, eventually, secret, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

OBJECTS = 1000
NAMESPACES = 10
QUIET_SECONDS = 60.0
SETTLE_SECONDS = 3.0
WRITES_AND_LISTS = {"create", "update", "patch", "delete", "deletecollection", "list"}


async def test_no_writes_and_no_lists_in_a_minute(
    system: System, databases: Service, unique: Callable[[str], str]
) -> None:
    namespaces = [await system.namespace(unique("idle")) for _ in range(NAMESPACES)]
    wanted = [f"{namespaces[n % NAMESPACES]}/object-{n:04d}" for n in range(OBJECTS)]
    pending = iter(wanted)

    async def create() -> None:
        for key in pending:
            await system.down.create(databases.resource, thing(databases.resource, key, size=1))

    await asyncio.gather(*(create() for _ in range(16)))
    targets = [await system.service_namespace(namespace) for namespace in namespaces]
    for target in targets:
        await system.up.create(SECRETS, secret(f"{target}/creds", {"password": "x"}))

    async def complete() -> bool:
        counts = [len((await system.up.list(databases.resource, namespace=t)).items) for t in targets]
        assert sum(counts) == OBJECTS, f"{sum(counts)} of {OBJECTS} copies"
        return True

    await eventually(complete, what="all copies", timeout=90, poll=0.5)
    # The backend removes requests ten minutes after their end: those of tests before may fall into this minute.
    for request in (await system.up.list(EXPORT_REQUESTS)).items:
        await system.up.delete(EXPORT_REQUESTS, meta.name(request), namespace=meta.namespace(request))
    await asyncio.sleep(SETTLE_SECONDS)
    marks = [(cluster, cluster.audit_mark()) for cluster in (system.provider, system.consumer)]
    await asyncio.sleep(QUIET_SECONDS)
    noise: Counter[str] = Counter()
    for cluster, mark in marks:
        for event in cluster.audit_requests(since=mark):
            if (
                "bind-agent-" in event.user_agent
                and event.verb in WRITES_AND_LISTS
                and not _sign_of_life(event)
            ):
                noise[f"{cluster.name}: {event.verb} {event.resource} {event.subresource} {event.name}"] += 1
    assert not noise, dict(noise)
    for key in wanted:  # leave the system as it was found
        namespace, name = meta.split_key(key)
        await system.down.delete(databases.resource, name, namespace=namespace)


def _sign_of_life(event: AuditEvent) -> bool:
    return event.resource == "leases" or (event.resource, event.subresource) == ("clusterbindings", "status")
