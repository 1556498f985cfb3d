"""Watches of single CRDs: the konnector follows those of its bindings and no others."""

from collections.abc import Callable, Iterable

from bind_agent.api.resource import CRDS
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.store import Entry


class CrdWatches:
    """One informer per CRD that somebody asked for, given back when nobody needs it."""

    def __init__(self, pool: InformerPool, on_change: Callable[[str, bool], None]) -> None:
        """Start with none.

        Args:
            pool: informers on the app cluster; who watches the same CRD shares the watch.
            on_change: called with the CRD's name, and whether it was deleted.
        """
        self._pool = pool
        self._on_change = on_change
        self._watched: dict[str, tuple[Informer, tuple[Callable[[], None], ...]]] = {}

    def watch(self, name: str) -> Informer:
        """The informer of one CRD; it has not synced yet when it is new."""
        if name not in self._watched:
            informer = self._pool.acquire(CRDS, field_selector=f"metadata.name={name}")
            # A CRD that came and went unseen is told by no event; a list is.
            removers = (
                informer.add_handler(self._on_event),
                informer.add_list_handler(lambda: self._on_change(name, False)),
            )
            self._watched[name] = (informer, removers)
        return self._watched[name][0]

    def keep(self, names: Iterable[str]) -> None:
        """Give back all but these."""
        needed = set(names)
        for name in [name for name in self._watched if name not in needed]:
            informer, removers = self._watched.pop(name)
            for remove in removers:
                remove()
            self._pool.release(informer)

    def close(self) -> None:
        """Give back all."""
        self.keep(())

    def _on_event(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        if entry is not None:
            self._on_change(entry.key, event is Event.DELETED)
