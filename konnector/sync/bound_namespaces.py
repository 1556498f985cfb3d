"""Which of the consumer's namespaces have a bound object, by what the consumer's own API server shows (threats A25).

Claimed objects flow in these alone. That a provider has made a record for a namespace, or given one an answer, opens
nothing: it can write whatever a record says.
"""

from collections import Counter
from collections.abc import Callable

from bind_agent.runtime.informer import Event

Listener = Callable[[str], None]
"""Called with a namespace in which the first bound object has appeared."""


class BoundNamespaces:
    """The namespaces with bound objects of one provider session."""

    def __init__(self) -> None:
        self._objects: Counter[str] = Counter()
        self._listeners: list[Listener] = []

    def __contains__(self, namespace: str) -> bool:
        return self._objects[namespace] > 0

    def tally(self) -> "Tally":
        """For one sync, which tells what appears and goes."""
        return Tally(self)

    def change(self, namespace: str, objects: int) -> None:
        """Count bound objects that have appeared, or are gone (negative)."""
        before = self._objects[namespace]
        self._objects[namespace] += objects
        if self._objects[namespace] <= 0:
            del self._objects[namespace]
        elif before <= 0:
            for listener in tuple(self._listeners):
                listener(namespace)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of namespaces from now on; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


class Tally:
    """What one sync has counted, so that it can be taken back when nobody follows its objects any more."""

    def __init__(self, bound: BoundNamespaces) -> None:
        self._bound = bound
        self._objects: Counter[str] = Counter()

    def count(self, event: Event, namespace: str) -> None:
        """Take an event of a bound object; cluster-scoped ones (empty namespace) open nothing."""
        if not namespace or event is Event.MODIFIED:
            return
        change = 1 if event is Event.ADDED else -1
        self._objects[namespace] += change
        self._bound.change(namespace, change)

    def end(self) -> None:
        """Take all of it back."""
        for namespace, objects in self._objects.items():
            self._bound.change(namespace, -objects)
        self._objects.clear()
