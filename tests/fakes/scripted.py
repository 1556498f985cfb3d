"""Clients that play a script: for what an informer or a leader decides, without a server."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import Any

import orjson

from bind_agent.api import meta
from bind_agent.kube.codec import ObjectMeta
from bind_agent.kube.errors import AlreadyExists, Conflict, Gone, Invalid, KubeError, NotFound
from bind_agent.kube.lists import RawPage
from bind_agent.kube.watch import EventType, WatchEvent

Object = dict[str, Any]


def thing(name: str, version: int, *, namespace: str = "ns", uid: str = "", **fields: Any) -> Object:
    """A small object."""
    metadata: Object = {"name": name, "resourceVersion": str(version), "uid": uid or f"uid-{name}"}
    if namespace:
        metadata["namespace"] = namespace
    metadata.update(fields.pop("metadata", {}))
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, **fields}


def event(kind: EventType, obj: Object) -> WatchEvent:
    """A change as a watch yields it."""
    return WatchEvent(
        kind,
        orjson.dumps(obj),
        ObjectMeta(
            name=meta.name(obj),
            namespace=meta.namespace(obj),
            uid=meta.uid(obj),
            resource_version=meta.resource_version(obj),
        ),
    )


def bookmark(version: int, *, ends_list: bool = False) -> WatchEvent:
    """A bookmark."""
    return WatchEvent("BOOKMARK", b"", ObjectMeta(resource_version=str(version)), ends_list)


def gone() -> Gone:
    """410."""
    return Gone("too old", code=410, reason="Expired")


def no_streaming() -> Invalid:
    """What a server without streaming lists says."""
    return Invalid("sendInitialEvents is forbidden", code=422, reason="Invalid")


Step = WatchEvent | KubeError | Callable[[], Any] | None
"""An event, an error, something to call (its awaitable is awaited), or None for staying open for ever."""


class ScriptedWatch:
    """One connection that plays its steps."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = deque(steps)
        self.closed = False

    def __aiter__(self) -> "ScriptedWatch":
        return self

    async def __anext__(self) -> WatchEvent:
        try:
            return await self._next()
        except BaseException:
            self.closed = True
            raise

    async def _next(self) -> WatchEvent:
        while self._steps:
            step = self._steps.popleft()
            if step is None:
                await asyncio.get_running_loop().create_future()
            elif isinstance(step, WatchEvent):
                return step
            elif isinstance(step, KubeError):
                raise step
            elif callable(step):
                result = step()
                if asyncio.iscoroutine(result):
                    await result
        raise StopAsyncIteration

    async def __aenter__(self) -> "ScriptedWatch":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True


class ScriptedClient:
    """Answers from two queues; with nothing left a watch stays open and a list is refused."""

    def __init__(self) -> None:
        self.lists: deque[KubeError | tuple[list[Object] | list[list[Object]], int]] = deque()
        self.watches: deque[list[Step]] = deque()
        self.opened: list[dict[str, Any]] = []
        self.listed: list[dict[str, Any]] = []
        self.open: list[ScriptedWatch] = []

    async def pages(self, _resource: Any, **arguments: Any) -> AsyncIterator[RawPage]:
        self.listed.append(arguments)
        if not self.lists:
            raise KubeError("no list in the script")
        answer = self.lists.popleft()
        if isinstance(answer, KubeError):
            raise answer
        content, version = answer
        pages: list[Any] = content if content and isinstance(content[0], list) else [content]
        for number, page in enumerate(pages):
            items = []
            for item in page:
                if isinstance(item, KubeError):
                    raise item
                items.append(item if isinstance(item, bytes) else orjson.dumps(item))
            yield RawPage(items, str(version), number == len(pages) - 1)

    def watch(self, _resource: Any, **arguments: Any) -> ScriptedWatch:
        self.opened.append(arguments)
        watch = ScriptedWatch(self.watches.popleft() if self.watches else [None])
        self.open.append(watch)
        return watch


class FakeObjects:
    """A tiny API server for single objects of any kind: resourceVersions, conflicts, faults on demand."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.calls: list[tuple[str, str]] = []
        self.fault: Callable[[str], BaseException | None] = lambda _: None
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.latency = 0.0
        self._version = 0

    async def _enter(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        await self.open_gate.wait()
        await asyncio.sleep(self.latency)
        fault = self.fault(verb)
        if fault is not None:
            raise fault

    def _store(self, key: tuple[str, str], obj: Object) -> Object:
        self._version += 1
        stored = deepcopy(obj)
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.objects[key] = stored
        return deepcopy(stored)

    async def get_or_none(self, _resource: Any, name: str, *, namespace: str | None = None) -> Object | None:
        await self._enter("get", name)
        return deepcopy(self.objects.get((namespace or "", name)))

    async def create(self, _resource: Any, obj: Object, *, namespace: str | None = None, **_: Any) -> Object:
        name = meta.name(obj)
        await self._enter("create", name)
        key = (namespace or "", name)
        if key in self.objects:
            raise AlreadyExists("exists", code=409, reason="AlreadyExists")
        return self._store(key, obj)

    async def replace(self, _resource: Any, obj: Object, *, namespace: str | None = None, **_: Any) -> Object:
        name = meta.name(obj)
        await self._enter("update", name)
        key = (namespace or "", name)
        present = self.objects.get(key)
        if present is None:
            raise NotFound("no such lease", code=404, reason="NotFound")
        if meta.resource_version(present) != meta.resource_version(obj):
            raise Conflict("changed", code=409, reason="Conflict")
        return self._store(key, obj)

    async def merge_patch(
        self, _resource: Any, name: str, patch: Object, *, namespace: str | None = None, subresource: str = ""
    ) -> Object:
        await self._enter("patch" + (f"/{subresource}" if subresource else ""), name)
        key = (namespace or "", name)
        present = self.objects.get(key)
        if present is None:
            raise NotFound("no such object", code=404, reason="NotFound")
        return self._store(key, _merged(present, patch))


def _merged(before: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
