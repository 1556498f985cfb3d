"""What a server serves: resources by group and name, cached and invalidated.

One aggregated request tells everything where the server knows it (Kubernetes 1.26 and later); otherwise one
group is asked the classic way, with a request for its versions and one per version.  Answers are kept for a
while; a miss asks again, at most every few seconds, because the usual reason for a miss is a CRD that was
just created.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from cachetools import TTLCache

from bind_agent.api.resource import Resource
from bind_agent.kube import paths
from bind_agent.kube.codec import Object, decode
from bind_agent.kube.errors import InvalidName, MalformedAnswer, NotFound
from bind_agent.kube.transport import Transport

_AGGREGATED: Final = (
    ",".join(
        f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        for version in ("v2", "v2beta1")
    )
    + ",application/json"
)
_MAX_BODY: Final = 32 * 1024 * 1024
_MAX_RESOURCES: Final = 20_000
_LIFETIME: Final = 300.0
# A miss is believed for so long.
_MISS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Served:
    """One resource as a server serves it: where it lives, and which subresources and verbs it has."""

    resource: Resource
    subresources: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()


# Versions of one plural, the server's preferred one first.
_Index = dict[tuple[str, str], tuple[Served, ...]]


class Discovery:
    """What one cluster serves."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        # Key: a group, or None for the aggregated document; value: what was found and when.
        self._cache: TTLCache[str | None, tuple[_Index, float]] = TTLCache(maxsize=256, ttl=_LIFETIME)
        self._lock = asyncio.Lock()
        self._aggregated = True

    async def find(self, group: str, plural: str, version: str = "") -> Resource | None:
        """The resource of a name.

        Args:
            group: API group, empty for the core group.
            plural: resource name.
            version: one version; empty for the one that the server prefers.

        Returns:
            The resource with its kind and scope; None when the server does not serve it.

        Raises:
            KubeError: the server could not be asked.
        """
        served = await self.describe(group, plural, version)
        return served.resource if served else None

    async def describe(self, group: str, plural: str, version: str = "") -> Served | None:
        """As `find`, with subresources and verbs.

        Raises:
            KubeError: the server could not be asked.
        """
        asked_at = time.monotonic()
        found = _pick(await self._index(group, not_before=0.0), group, plural, version)
        return found or _pick(await self._index(group, not_before=asked_at - _MISS), group, plural, version)

    async def served(self, resource: Resource) -> bool:
        """Whether exactly this resource is served: its version and its scope.

        Raises:
            KubeError: the server could not be asked.
        """
        found = await self.find(resource.group, resource.plural, resource.version)
        return found is not None and found.namespaced == resource.namespaced

    def invalidate(self, group: str = "") -> None:
        """Forget what is known, because a CRD changed.

        Args:
            group: the group that changed; empty for everything.
        """
        if group:
            self._cache.pop(group, None)
            self._cache.pop(None, None)
        else:
            self._cache.clear()

    async def _index(self, group: str, *, not_before: float) -> _Index:
        async with self._lock:
            key = None if self._aggregated else group
            known = self._cache.get(key)
            if known is not None and known[1] >= not_before:
                return known[0]
            moment = time.monotonic()
            index = await self._ask(group)
            self._cache[None if self._aggregated else group] = (index, moment)
            return index

    async def _ask(self, group: str) -> _Index:
        if self._aggregated:
            documents = [await self._get(path, accept=_AGGREGATED) for path in ("/api", "/apis")]
            if all(document.get("kind") == "APIGroupDiscoveryList" for document in documents):
                return _index(entry for document in documents for entry in _from_aggregated(document))
            # An older server ignores the wish and answers as ever.
            self._aggregated = False
        return _index(await self._ask_group(group))

    async def _ask_group(self, group: str) -> list[Served]:
        root = "/api"
        if group:
            root = f"/apis/{paths.segment(group, 'API group')}"
        try:
            document = await self._get(root)
        except NotFound:
            return []
        if group:
            versions = [_text(entry, "version") for entry in _entries(document, "versions")]
            preferred = _text(document.get("preferredVersion"), "version")
            versions.sort(key=lambda version: version != preferred)
        else:
            versions = [value for value in document.get("versions") or [] if isinstance(value, str)]
        found: list[Served] = []
        for version in versions[:32]:
            try:
                path = f"{root}/{paths.segment(version, 'API version')}"
                found += _from_classic(await self._get(path), group, version)
            except NotFound:
                continue
        return found

    async def _get(self, path: str, *, accept: str = "") -> Object:
        return decode(await self._transport.call("get", path, accept=accept, limit=_MAX_BODY))


def _pick(index: _Index, group: str, plural: str, version: str) -> Served | None:
    for served in index.get((group, plural), ()):
        if not version or served.resource.version == version:
            return served
    return None


def _index(entries: Iterable[Served]) -> _Index:
    index: _Index = {}
    for number, served in enumerate(entries):
        if number >= _MAX_RESOURCES:
            raise MalformedAnswer(f"the server claims to serve more than {_MAX_RESOURCES} resources")
        try:
            paths.collection(served.resource)
        except InvalidName:
            # A name that could not be asked for is as good as not served.
            continue
        key = (served.resource.group, served.resource.plural)
        index[key] = (*index.get(key, ()), served)
    return index


def _from_aggregated(document: Object) -> Iterable[Served]:
    for group in _entries(document, "items"):
        name = _text(group.get("metadata"), "name")
        for version in _entries(group, "versions"):
            for entry in _entries(version, "resources"):
                yield Served(
                    Resource(
                        name,
                        _text(version, "version"),
                        _text(entry, "resource"),
                        namespaced=_text(entry, "scope") == "Namespaced",
                        kind=_text(entry.get("responseKind"), "kind"),
                    ),
                    frozenset(_text(sub, "subresource") for sub in _entries(entry, "subresources")),
                    _words(entry.get("verbs")),
                )


def _from_classic(document: Object, group: str, version: str) -> list[Served]:
    entries = _entries(document, "resources")
    subresources: dict[str, set[str]] = {}
    for entry in entries:
        plural, slash, subresource = _text(entry, "name").partition("/")
        if slash:
            subresources.setdefault(plural, set()).add(subresource)
    return [
        Served(
            Resource(
                group, version, name, namespaced=entry.get("namespaced") is True, kind=_text(entry, "kind")
            ),
            frozenset(subresources.get(name, ())),
            _words(entry.get("verbs")),
        )
        for entry in entries
        if (name := _text(entry, "name")) and "/" not in name
    ]


def _entries(document: Any, name: str) -> list[dict[str, Any]]:
    value = document.get(name) if isinstance(document, dict) else None
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _text(document: Any, name: str) -> str:
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""


def _words(value: Any) -> frozenset[str]:
    return (
        frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()
    )
