"""Which of the consumer's namespaces have bound objects, by what the consumer's own API server shows (threats A25).

A claim lets objects cross in namespaces that have an object of its API, and in no others. That a provider has made a
record for a namespace, or given one an answer, opens nothing: it can write whatever a record says.
"""

from collections import Counter, defaultdict
from collections.abc import Callable

from bind_agent.runtime.informer import Event

Listener = Callable[[str], None]
"""Called with a namespace in which the first object of an API has appeared."""


class BoundNamespaces:
    """The namespaces with bound objects of one provider session."""

    def __init__(self) -> None:
        self._objects: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._listeners: list[Listener] = []

    def apis(self, namespace: str) -> frozenset[str]:
        """The bound APIs (`plural.group`) that have an object in a namespace."""
        return frozenset(self._objects.get(namespace, ()))

    def tally(self, api: str) -> "Tally":
        """For the sync of an API, which tells what appears and goes."""
        return Tally(self, api)

    def change(self, api: str, namespace: str, objects: int) -> None:
        """Count objects of an API that have appeared, or are gone (negative)."""
        found = self._objects[namespace]
        before = found[api]
        found[api] += objects
        if found[api] <= 0:
            del found[api]
            if not found:
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

    def __init__(self, bound: BoundNamespaces, api: str) -> None:
        self._bound = bound
        self._api = api
        self._objects: Counter[str] = Counter()

    def count(self, event: Event, namespace: str) -> None:
        """Take an event of a bound object; cluster-scoped ones (empty namespace) open nothing."""
        if not namespace or event is Event.MODIFIED:
            return
        change = 1 if event is Event.ADDED else -1
        self._objects[namespace] += change
        self._bound.change(self._api, namespace, change)

    def end(self) -> None:
        """Take all of it back."""
        for namespace, objects in self._objects.items():
            if objects:
                self._bound.change(self._api, namespace, -objects)
        self._objects.clear()
