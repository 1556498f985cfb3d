"""CRDs with their schemas, read when they change.

The informer keeps CRDs without schemas. What an export needs of one is read once per generation and kept for
the few that are exported.
"""

from typing import Final

from cachetools import LRUCache

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CRDS
from bind_agent.backend.access import Kind
from bind_agent.kube.client import Client
from bind_agent.runtime.informer import Informer
from bind_agent.runtime.store import Entry, make_entry

_KEPT: Final = 64
"""CRDs kept with schemas, as bytes: at most some megabytes."""


class CrdReader:
    """Reads CRDs by kind."""

    def __init__(self, client: Client, informer: Informer) -> None:
        """Set up.

        Args:
            client: of the provider cluster.
            informer: of all CRDs; says which generation is current.
        """
        self._client = client
        self._informer = informer
        self._kept: LRUCache[tuple[str, int], Entry] = LRUCache(maxsize=_KEPT)

    async def read(self, kind: Kind) -> Object | None:
        """The CRD of a kind, decoded for the caller alone; None when the provider has none (see `entry`).

        Raises:
            KubeError: it could not be read.
        """
        kept = await self.entry(kind)
        return None if kept is None else kept.object()

    async def entry(self, kind: Kind) -> Entry | None:
        """The CRD of a kind as it is kept; None when the provider has none.

        The answer may be of a later generation than the informer has seen, never of an earlier one.

        Raises:
            KubeError: it could not be read.
        """
        seen = self._informer.store.get(str(kind))
        if seen is None:
            return None
        kept = self._kept.get((seen.uid, seen.generation))
        if kept is None:
            crd = await self._client.get_or_none(CRDS, str(kind))
            if crd is None:
                return None
            kept = make_entry(_relevant(crd))
            self._kept[kept.uid, kept.generation] = kept
        return kept


def _relevant(crd: Object) -> Object:
    return {
        "metadata": {field: meta.metadata(crd).get(field) for field in ("name", "uid", "generation")},
        "spec": crd.get("spec"),
    }
