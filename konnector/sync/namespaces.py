"""Which consumer namespace is which service namespace (design 4.5, spec 6.6.2 and 6.7.1).

One APIServiceNamespace per consumer namespace that has a bound object; the backend answers with
``status.namespace``. The record carries the UID of the consumer namespace: a namespace that was deleted and made
again has another UID and gets nothing of the old one's data before that is gone.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Literal

import structlog

from bind_agent.api import keys, meta
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.meta import Object
from bind_agent.api.resource import NAMESPACES, SERVICE_NAMESPACES
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AlreadyExists, Forbidden
from bind_agent.runtime.controller import Controller, Result
from bind_agent.runtime.faults import describe
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.store import Entry
from konnector.clusters import AppCluster
from konnector.sync import remedies
from konnector.sync.bound_namespaces import BoundNamespaces
from konnector.sync.placement import unusable_answer

log = structlog.get_logger(__name__)

Listener = Callable[[str, str | None], None]
"""Called with (consumer namespace, service namespace or None when the mapping has ended)."""

Verdict = Literal["create", "delete", "adopt", "foreign", "use", "wait"]


class ServiceNamespaces:
    """The mapping of one provider session, and the controller that keeps it.

    Attributes:
        bound: the consumer's namespaces that have a bound object.
    """

    def __init__(
        self,
        app: AppCluster,
        provider: Client,
        cluster_namespace: str,
        records: Informer,
        namespaces: Informer,
    ) -> None:
        """Follow the records and the consumer's namespaces.

        Args:
            app: the app cluster.
            provider: client of the provider.
            cluster_namespace: the tenant's namespace on the provider.
            records: informer of its APIServiceNamespaces.
            namespaces: informer of the consumer's namespaces.
        """
        self._app = app
        self._provider = provider
        self._cluster_namespace = cluster_namespace
        self._records = records
        self._namespaces = namespaces
        self.bound = BoundNamespaces()
        self._wanted: set[str] = set()
        self._down: dict[str, str] = {}
        self._up: dict[str, str] = {}
        self._refusals: dict[str, str] = {}
        self._listeners: list[Listener] = []
        self.controller = Controller("service-namespaces", self._reconcile, workers=8)
        self._remove_handlers = [records.add_handler(self._on_event), namespaces.add_handler(self._on_event)]

    def __enter__(self) -> "ServiceNamespaces":
        """Follow for as long as the block lasts."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop following."""
        for remove in self._remove_handlers:
            remove()

    def service_namespace(self, consumer_namespace: str) -> str | None:
        """The provider's namespace for one of the consumer's, None while there is none."""
        return self._up.get(consumer_namespace)

    def consumer_namespace(self, service_namespace: str) -> str | None:
        """The consumer's namespace for one of the provider's."""
        return self._down.get(service_namespace)

    def refusal(self, consumer_namespace: str) -> str:
        """Why one of the consumer's namespaces gets no service namespace, empty when nothing is wrong."""
        return self._refusals.get(consumer_namespace, "")

    def mappings(self) -> dict[str, str]:
        """All mappings, consumer namespace to service namespace."""
        return dict(self._up)

    def want(self, consumer_namespace: str) -> None:
        """Ask for a service namespace; listeners hear of it."""
        if consumer_namespace not in self._wanted:
            self._wanted.add(consumer_namespace)
            self.controller.enqueue(consumer_namespace)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of each mapping, those of now included; returns the function that ends it."""
        self._listeners.append(listener)
        for consumer_namespace, service_namespace in self._up.items():
            listener(consumer_namespace, service_namespace)
        return lambda: self._listeners.remove(listener)

    def _on_event(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        if entry is not None:
            self.controller.enqueue(meta.split_key(entry.key)[1])

    async def _reconcile(self, name: str) -> Result | None:
        record_entry = self._records.store.get(meta.join_key(self._cluster_namespace, name))
        record = record_entry.object() if record_entry else None
        namespace_entry = self._namespaces.store.get(name)
        namespace = namespace_entry.object() if namespace_entry else None
        match judge(record, namespace, cluster_id=self._app.cluster_id, wanted=name in self._wanted):
            case "create":
                assert namespace is not None  # noqa: S101 - judge never says create without one
                await self._create(name, meta.uid(namespace))
                return None
            case "adopt":
                assert namespace is not None  # noqa: S101
                assert record is not None  # noqa: S101
                await self._adopt(record, meta.uid(namespace))
                return None
            case "delete":
                assert record is not None  # noqa: S101
                self._end(name)
                await self._delete(record)
            case "foreign":
                self._end(name)
                self._refuse(
                    name,
                    f"{keys.KIND_SERVICE_NAMESPACE} {name} on the provider belongs to another app cluster: use a "
                    "tenant of its own for each cluster (`bind-backend tenant add` with another --cluster-id), or "
                    "have the provider delete that object when the other cluster is gone",
                )
            case "use":
                assert record is not None  # noqa: S101
                self._use(name, record["status"]["namespace"])
            case "wait":
                if record is None:
                    self._refuse(name, "")
                    self._end(name)
        return None

    def _refuse(self, name: str, message: str) -> None:
        """Note why a namespace gets no counterpart, or (empty) that nothing speaks against one; listeners look."""
        if self._refusals.get(name, "") == message:
            return
        if not message:
            del self._refusals[name]
            return
        self._refusals[name] = message
        log.warning("no service namespace", namespace=name, message=message)
        self._tell(name, None)

    async def _create(self, name: str, uid: str) -> None:
        record = {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_SERVICE_NAMESPACE,
            "metadata": {
                "name": name,
                "namespace": self._cluster_namespace,
                "annotations": {keys.CONSUMER_CLUSTER: self._app.cluster_id, keys.SOURCE_UID: uid},
            },
            "spec": {},
        }
        log.info("asking for a service namespace", namespace=name)
        try:
            await self._provider.create(SERVICE_NAMESPACES, record)
        except AlreadyExists:
            return  # the watch will show it
        except Forbidden as error:
            self._refuse(name, remedies.may_not_ask(error.message, self._cluster_namespace))
            raise
        self._refuse(name, "")

    async def _adopt(self, record: Object, uid: str) -> None:
        """Mark a record that a Go konnector made, so that it is known for which namespace it stands.

        The server itself has to know the namespace by that UID: a mark from an old view would have the record deleted,
        with all data behind it, as soon as the view is up to date. The namespace's event looks at the record again.
        """
        live = await self._app.client.get_or_none(NAMESPACES, meta.name(record))
        if live is None or meta.uid(live) != uid:
            return
        patch = {
            "metadata": {
                "uid": meta.uid(record),
                "resourceVersion": meta.resource_version(record),
                "annotations": {keys.CONSUMER_CLUSTER: self._app.cluster_id, keys.SOURCE_UID: uid},
            }
        }
        await self._provider.merge_patch(
            SERVICE_NAMESPACES, meta.name(record), patch, namespace=self._cluster_namespace
        )

    async def _delete(self, record: Object) -> None:
        name = meta.name(record)
        live = await self._app.client.get_or_none(NAMESPACES, name)
        if live is not None and meta.annotation(record, keys.SOURCE_UID) in {"", meta.uid(live)}:
            return  # the store was behind: it is there, and nothing says that the record is an earlier one's
        log.info("consumer namespace is gone, ending its service namespace", namespace=name)
        await self._provider.delete(
            SERVICE_NAMESPACES, name, namespace=self._cluster_namespace, uid=meta.uid(record)
        )
        if live is None:
            self._wanted.discard(name)

    def _use(self, name: str, service_namespace: str) -> None:
        present = self._up.get(name)
        if present == service_namespace:
            return
        if present is not None:
            self._tell_changed(name, present)
            return
        unusable = unusable_answer(
            name,
            service_namespace,
            cluster_namespace=self._cluster_namespace,
            taken_by=self._down.get(service_namespace, name),
        )
        self._refuse(name, unusable)
        if unusable:
            return
        self._up[name] = service_namespace
        self._down[service_namespace] = name
        self._tell(name, service_namespace)

    def _tell_changed(self, name: str, present: str) -> None:
        """The mapping of a live namespace never changes: its objects would be taken for deleted (design 4.5)."""
        message = (
            f"the provider changed the service namespace of {name}; the first one, {present}, stays in use: ask the "
            f"provider to set status.namespace of {keys.KIND_SERVICE_NAMESPACE} {name} back to it"
        )
        log.error("service namespace changed", namespace=name, message=message)
        entry = self._namespaces.store.get(name)
        if entry is not None:
            self._app.recorder.event(
                entry.object(), type="Warning", reason=Reason.NAMESPACE_CONFLICT, message=message
            )

    def _tell(self, name: str, service_namespace: str | None) -> None:
        """Tell all listeners; one that is just ending must not keep it from the others, nobody tells them again."""
        for listener in list(self._listeners):
            try:
                listener(name, service_namespace)
            except Exception as error:
                log.warning("a sync did not hear of a mapping", namespace=name, error=describe(error))

    def _end(self, name: str) -> None:
        service_namespace = self._up.pop(name, None)
        if service_namespace is not None:
            self._down.pop(service_namespace, None)
            for listener in list(self._listeners):
                listener(name, None)


def judge(record: Object | None, namespace: Object | None, *, cluster_id: str, wanted: bool) -> Verdict:  # noqa: PLR0911 - a decision table
    """What to do about one consumer namespace.

    Args:
        record: the APIServiceNamespace, if there is one.
        namespace: the consumer's namespace, if there is one.
        cluster_id: identity of this app cluster.
        wanted: whether a bound object needs the mapping.

    Returns:
        ``create`` a record; ``delete`` it (its namespace is gone or was made anew); ``adopt`` a record without our
        marks; ``foreign``: another cluster's record; ``use`` its answer; ``wait`` for the next event.
    """
    if record is None:
        # Also for a namespace that is going: objects in it that we guard wait for their place, and it for them.
        return "create" if wanted and namespace is not None else "wait"
    if meta.annotation(record, keys.CONSUMER_CLUSTER) not in {"", cluster_id}:
        return "foreign"
    if meta.is_deleting(record):
        return "wait"
    if namespace is None:
        return "delete"
    recorded = meta.annotation(record, keys.SOURCE_UID)
    if not recorded:
        # Nothing tells for which namespace of that name it was made: the times of creation are by the clocks of two
        # clusters. What an earlier one left behind goes object by object, each after a look at this cluster.
        return "adopt"
    if recorded != meta.uid(namespace):
        return "delete"
    answer = (record.get("status") or {}).get("namespace")
    return "use" if isinstance(answer, str) and answer else "wait"
