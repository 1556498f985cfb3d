"""Running informers in tests, with what their handlers were told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from bind_agent.kube.client import Client
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.store import Entry


class Told:
    """What a handler was told: lines like `ADDED ns/a`."""

    def __init__(self, informer: Informer) -> None:
        self.informer = informer
        self.log: list[str] = []
        self.priorities: list[int] = []

    def __call__(self, kind: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        assert entry is not None
        self.log.append(f"{kind} {entry.key}")
        self.priorities.append(self.informer.priority)


@contextlib.asynccontextmanager
async def following(informer: Informer, *, synced: bool = True) -> AsyncIterator[Told]:
    """Run an informer for the length of a block; by default the block begins when it has synced."""
    told = Told(informer)
    informer.add_handler(told)
    task = asyncio.ensure_future(informer.run())
    try:
        if synced:
            async with asyncio.timeout(30):
                await informer.wait_synced()
        yield told
    finally:
        task.cancel()
        await asyncio.wait([task])


async def truth(client: Client, informer: Informer, **selectors: Any) -> dict[str, str]:
    """What the server has of an informer's collection: resourceVersion by key."""
    found = await client.list(informer.resource, namespace=informer.namespace, **selectors)
    return {
        "/".join(filter(None, (obj["metadata"].get("namespace"), obj["metadata"]["name"]))): obj["metadata"][
            "resourceVersion"
        ]
        for obj in found.items
    }


def known(informer: Informer) -> dict[str, str]:
    """What an informer has: resourceVersion by key."""
    return {entry.key: entry.resource_version for entry in informer.store.entries()}
