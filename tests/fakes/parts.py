"""Parts that stand in for the rest of the konnector when one decision of a shell is looked at: no server, no time."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, NAMESPACES, SECRETS, Resource
from bind_agent.kube.errors import KubeError
from bind_agent.runtime.informer import Event, Handler
from bind_agent.runtime.store import Store, make_entry
from konnector.clusters import AppCluster, Collection, Home, Provider
from konnector.options import Options
from konnector.sync import remedies

CLUSTER_ID = "cluster-uid"


class StillInformer:
    """An informer that shows what a test puts into it, and tells its handlers."""

    def __init__(self, resource: Resource = BINDINGS, *objects: Object, synced: bool = True) -> None:
        self.resource = resource
        self.store = Store()
        self.handlers: list[Handler] = []
        self.list_handlers: list[Callable[[], None]] = []
        self.namespace: str | None = None
        self.last_error: KubeError | None = None
        self.resource_version = ""
        self.priority = 0
        self.nudged = 0
        self.refreshed = 0
        self._synced = asyncio.Event()
        if synced:
            self._synced.set()
        for obj in objects:
            self.put(obj)

    @property
    def has_synced(self) -> bool:
        """As told by the test."""
        return self._synced.is_set()

    def sync(self) -> None:
        """A first list has arrived."""
        self._synced.set()

    async def wait_synced(self) -> None:
        """Wait for `sync`."""
        await self._synced.wait()

    def add_handler(self, handler: Handler) -> Callable[[], None]:
        """As the real one: what is there is told first."""
        self.handlers.append(handler)
        for entry in self.store.entries():
            handler(Event.ADDED, None, entry)
        return lambda: self.handlers.remove(handler)

    def add_list_handler(self, handler: Callable[[], None]) -> Callable[[], None]:
        """As the real one."""
        self.list_handlers.append(handler)
        return lambda: self.list_handlers.remove(handler)

    def list_again(self, resource_version: str) -> None:
        """A list is complete, and shows what is in the store."""
        for handler in list(self.list_handlers):
            handler()
        self.resource_version = resource_version

    def put(self, obj: Object) -> None:
        """An object comes or changes."""
        entry = make_entry(obj)
        old = self.store.put(entry)
        for handler in list(self.handlers):
            handler(Event.MODIFIED if old else Event.ADDED, old, entry)

    def remove(self, key: str) -> None:
        """An object goes."""
        old = self.store.remove(key)
        for handler in list(self.handlers):
            handler(Event.DELETED, old, None)

    def nudge(self) -> None:
        """Counted."""
        self.nudged += 1

    def refresh(self) -> None:
        """Counted."""
        self.refreshed += 1


class StillPool:
    """Hands out one informer per collection, and notes what is given back."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str], StillInformer] = {}
        self.released: list[Any] = []
        self.synced = True

    def acquire(self, resource: Resource, *, namespace: str | None = None, **selectors: str) -> StillInformer:
        """The informer of a kind and the rest of what selects."""
        key = (resource.plural, "/".join([namespace or "", *filter(None, selectors.values())]))
        informer = self.made.setdefault(key, StillInformer(resource, synced=self.synced))
        informer.namespace = namespace
        return informer

    def release(self, informer: Any) -> None:
        """Noted."""
        self.released.append(informer)

    def informers(self) -> tuple[StillInformer, ...]:
        """All that were handed out."""
        return tuple(self.made.values())


class CannedClient:
    """Answers each verb with what the test laid down, in order; the last answer of a verb repeats.

    An answer is an object, an error to raise, or a function of the call's arguments.
    """

    def __init__(self, **answers: Any) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._answers: dict[str, deque[Any]] = defaultdict(deque)
        for verb, answer in answers.items():
            self._answers[verb].extend(answer if isinstance(answer, list) else [answer])

    @property
    def verbs(self) -> list[str]:
        """What was called, in order."""
        return [verb for verb, _, _ in self.calls]

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if verb.startswith("_"):
            raise AttributeError(verb)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((verb, args, kwargs))
            queue = self._answers[verb]
            assert queue, f"unexpected {verb} {args}"
            answer = queue.popleft() if len(queue) > 1 else queue[0]
            if isinstance(answer, BaseException):
                raise answer
            return answer(*args, **kwargs) if callable(answer) else answer

        return call


class NotedEvents:
    """A recorder that keeps what it is told, as (name, reason, message)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def event(self, obj: Object, *, type: str, reason: str, message: str, action: str = "") -> None:  # noqa: A002
        """Kept."""
        assert type in {"Normal", "Warning"}
        assert not action
        self.events.append((obj["metadata"]["name"], reason, message))


def app_cluster(client: Any = None, **options: Any) -> AppCluster:
    """An app cluster that consists of parts."""
    return AppCluster(
        client=cast("Any", client or CannedClient()),
        pool=cast("Any", StillPool()),
        cluster_id=CLUSTER_ID,
        recorder=cast("Any", NotedEvents()),
        options=Options(**options),
        own_namespaces=frozenset({"klutch-bind"}),
        roles=remedies.BASE_ROLES,
    )


def home_of(app: AppCluster) -> Home:
    """The same cluster as the one that holds the bindings."""
    return Home(
        client=app.client,
        pool=app.pool,
        bindings=Collection(BINDINGS),
        needed=(Collection(SECRETS, app.options.secret_namespace), Collection(NAMESPACES)),
        title="the app cluster",
        roles=remedies.BASE_ROLES,
        options=app.options,
        allow_loopback=False,
    )


def provider(client: Any = None, namespace: str = "cns", pool: Any = None) -> Provider:
    """A provider that consists of parts."""
    client = cast("Any", client or CannedClient())
    return Provider(client, client, cast("Any", pool or StillPool()), namespace, "provider-id")


def stated() -> Any:
    """Where conditions are stated, as a list of (keys, conditions)."""
    said: list[Any] = []
    return SimpleNamespace(said=said, state=lambda keys, *found: said.append((tuple(keys), found)))
