"""Which event makes an AppClusterBinding be looked at (spec 5.2)."""

from collections.abc import Callable, Iterable

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.backend import roots
from bind_agent.backend.access import Kind
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controlplane.views import ControlPlaneViews
from bind_agent.backend.templates import selected_kind
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.store import Entry

Map = Callable[[Object], Iterable[str]]


class Wiring:
    """Connects informers with the controller; `close` disconnects them."""

    def __init__(self, context: Context, views: ControlPlaneViews, controller: Controller) -> None:
        """Connect. AppClusterBindings that are present are enqueued at once."""
        self._context = context
        self._views = views
        self._controller = controller
        self._removers: list[Callable[[], None]] = []
        shared = context.views
        self._on(views.app_cluster_bindings, lambda one: (meta.key(one),), present=True)
        # All that stands in a root namespace leads to its AppClusterBinding by the namespace's record: an owner
        # reference cannot, because it does not cross namespaces.
        self._on(shared.namespaces, lambda namespace: _owner(shared.with_owner(namespace)))
        # Also one that is not believed yet, or not any more: the namespace may have no record of its own.
        self._on(shared.cluster_bindings, _labelled)
        for informer in (
            views.bindings,
            shared.exports,
            shared.requests,
            shared.cluster_bindings,
            shared.role_bindings,
            shared.service_namespaces,
        ):
            self._on(informer, self._owner_of_its_namespace)
        self._on(shared.templates, lambda template: views.listing(selected_kind(template)))
        self._on(shared.crds, lambda crd: views.listing(_defined(crd)))

    def close(self) -> None:
        """Disconnect."""
        for remove in self._removers:
            remove()
        self._removers.clear()

    def _on(self, informer: Informer, keys_of: Map, *, present: bool = False) -> None:
        """Enqueue what a relevant change maps to, by the object as it was and as it is.

        Args:
            informer: whose events.
            keys_of: from an object to keys.
            present: also for objects that were there before; the AppClusterBindings alone suffice for these.
        """

        def handle(event: Event, old: Entry | None, new: Entry | None) -> None:
            if old is not None and new is not None and old.digest == new.digest:
                return
            if not present and informer.initial:
                return
            for entry in (old, new):
                if entry is not None:
                    for key in keys_of(entry.object()):
                        self._controller.enqueue(key, priority=informer.priority)

        self._removers.append(informer.add_handler(handle))

    def _owner_of_its_namespace(self, obj: Object) -> Iterable[str]:
        namespace = self._context.views.namespace(meta.namespace(obj))
        return () if namespace is None else _owner(namespace)


def _owner(namespace: Object) -> Iterable[str]:
    key = roots.owner(namespace)
    return (key,) if key else ()


def _labelled(obj: Object) -> Iterable[str]:
    labels = meta.labels(obj)
    own, name = labels.get(keys.APP_CLUSTER_BINDING_NAMESPACE), labels.get(keys.APP_CLUSTER_BINDING_NAME)
    return (meta.join_key(own, name),) if own and name else ()


def _defined(crd: Object) -> Kind:
    plural, _, group = meta.name(crd).partition(".")
    return Kind(group, plural)
