"""The fields of APIs as HTML: worked out once per state of a CRD and its template, not for everybody who looks.

A CRD may be more than a megabyte. Decoding it and rendering its fields takes longer than everybody else may wait, so
it is done in a thread, one at a time, and what came of it is kept.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from cachetools import LRUCache
from markupsafe import Markup

from bind_agent.backend import templates
from bind_agent.backend.access import Kind
from bind_agent.backend.crds import CrdReader
from bind_agent.backend.pages import catalogue
from bind_agent.backend.pages.environment import Pages
from bind_agent.kube.errors import KubeError
from bind_agent.runtime.faults import describe
from bind_agent.runtime.store import Entry

log = structlog.get_logger(__name__)

_KEPT: Final = 16 * 1024 * 1024
"""Characters of HTML that are kept of all APIs together; a usual one has some ten thousand."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One version of an API on its page.

    Attributes:
        name: for instance `v1`.
        deprecated: its warning, or a sentence; empty when it is not.
        fields: its fields; None for a version that is shown when somebody asks for it.
    """

    name: str
    deprecated: str
    fields: Markup | None


class Shelf:
    """The fields of the APIs of one provider."""

    def __init__(self, pages: Pages, *, kept: int = _KEPT) -> None:
        """Start empty.

        Args:
            pages: renders.
            kept: characters of HTML to keep.
        """
        self._pages = pages
        self._kept: LRUCache[tuple[object, ...], tuple[Shown, ...]] = LRUCache(maxsize=kept, getsizeof=_size)
        self._largest = kept
        self._turn = asyncio.Lock()

    async def versions(
        self, crds: CrdReader, kind: Kind, choice: templates.Choice, wanted: str = ""
    ) -> tuple[Shown, ...]:
        """The versions that a template offers, one of them with its fields.

        Args:
            crds: reads the CRD.
            kind: the resource.
            choice: its template.
            wanted: the version with fields; the first one unless it is offered.

        Returns:
            No version when the CRD cannot be read now.
        """
        try:
            entry = await crds.entry(kind)
        except KubeError as error:
            # The page says that the schema cannot be shown; everything else is known.
            log.info("a schema could not be read", kind=str(kind), error=describe(error))
            return ()
        if entry is None:
            return ()
        edition = (entry.uid, entry.generation, choice.edition)
        # Whatever else somebody writes into an address is the same as nothing, and takes no room.
        first = self._kept.get((*edition, ""))
        if first is None:
            first = await self._work_out(edition, entry, choice, "")
        if wanted not in {one.name for one in first[1:]}:
            return first
        return self._kept.get((*edition, wanted)) or await self._work_out(edition, entry, choice, wanted)

    async def _work_out(
        self, edition: tuple[object, ...], entry: Entry, choice: templates.Choice, wanted: str
    ) -> tuple[Shown, ...]:
        key = (*edition, wanted)
        async with self._turn:
            # Somebody who came first may have done it.
            if (known := self._kept.get(key)) is not None:
                return known
            found = await asyncio.to_thread(self._render, entry, choice, wanted)
            if _size(found) <= self._largest:
                self._kept[key] = found
            return found

    def _render(self, entry: Entry, choice: templates.Choice, wanted: str) -> tuple[Shown, ...]:
        return tuple(
            Shown(
                one.name,
                one.deprecated,
                None if one.whole is None else self._pages.part("fields.html", whole=one.whole),
            )
            for one in catalogue.versions(choice, entry.object(), wanted)
        )


def _size(found: tuple[Shown, ...]) -> int:
    return 1 + sum(len(one.fields or "") for one in found)
