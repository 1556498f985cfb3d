"""Which event makes which controller look at which key."""

from collections.abc import Callable, Iterable

from bind_agent.api import keys, meta
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.meta import Object
from bind_agent.backend import roots
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.templates import choose, selected_kind
from bind_agent.backend.views import BY_KIND, BY_NAME, BY_NAMESPACE
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.store import Entry

_AGGREGATED = (0.5, 2.0)
"""Seconds that a cluster takes to sum up aggregated roles: mostly the first, at times more."""

Map = Callable[[Object], Iterable[str]]


class Wiring:
    """Connects informers with controllers; `close` disconnects them (the lease was lost)."""

    def __init__(
        self,
        context: Context,
        *,
        requests: Controller,
        exports: Controller,
        service_namespaces: Controller,
        cluster_bindings: Controller,
    ) -> None:
        """Connect. Objects that are present are enqueued at once."""
        self._context = context
        self._removers: list[Callable[[], None]] = []
        views = context.views
        self._on(views.requests, requests, _own)
        self._on(views.exports, exports, _own)
        self._on(views.service_namespaces, service_namespaces, _own)
        self._on(views.cluster_bindings, cluster_bindings, _own)

        self._on(views.exports, requests, self._requests_for)
        self._on(views.exports, cluster_bindings, _tenant_of)
        self._on(views.crds, requests, lambda crd: views.requests.store.by_index(BY_KIND, meta.name(crd)))
        self._on(views.crds, exports, lambda crd: views.exports.store.by_index(BY_NAME, meta.name(crd)))
        self._on(views.templates, requests, self._requests_offered)
        self._on(views.templates, exports, self._exports_offered)
        self._on(views.namespaces, service_namespaces, self._mappings_of)
        self._on(views.namespaces, cluster_bindings, self._tenant_itself)
        self._on(views.namespaces, requests, self._requests_in)
        self._on(views.cluster_roles, exports, self._exports_of_role)
        self._on(views.cluster_roles, cluster_bindings, _tenant_of_role, present=False)
        self._on(views.role_bindings, cluster_bindings, _tenant_of, present=False)
        self._on(views.role_bindings, service_namespaces, self._mapping_of_binding, present=False)
        if views.cluster_role_bindings is not None:
            self._on(views.cluster_role_bindings, cluster_bindings, _tenant_of_role, present=False)
        self._granting = (exports, cluster_bindings)
        self._asking = (requests, exports, service_namespaces)
        self._removers.append(views.cluster_bindings.add_handler(self._reconsider))
        self._removers.append(views.export_roles.add_handler(self._regrant))
        self._removers.append(views.templates.add_handler(self._report_shadowed))

    def close(self) -> None:
        """Disconnect."""
        for remove in self._removers:
            remove()
        self._removers.clear()

    def _on(self, informer: Informer, controller: Controller, keys_of: Map, *, present: bool = True) -> None:
        """Enqueue what a relevant change maps to, by the object as it was and as it is.

        Args:
            informer: whose events.
            controller: whose queue.
            keys_of: from an object to keys.
            present: also for objects that were there before; off where another handler enqueues the same
                keys.
        """

        def handle(event: Event, old: Entry | None, new: Entry | None) -> None:
            if event is Event.MODIFIED and old is not None and new is not None and old.digest == new.digest:
                return
            if not present and informer.initial:
                return
            for entry in (old, new):
                if entry is not None:
                    for key in keys_of(entry.object()):
                        controller.enqueue(key, priority=informer.priority)

        self._removers.append(informer.add_handler(handle))

    def _requests_for(self, export: Object) -> Iterable[str]:
        found = self._context.views.requests.store.by_index(BY_KIND, meta.name(export))
        return [key for key in found if meta.split_key(key)[0] == meta.namespace(export)]

    def _requests_offered(self, template: Object) -> Iterable[str]:
        return self._context.views.requests.store.by_index(BY_KIND, str(selected_kind(template)))

    def _exports_offered(self, template: Object) -> Iterable[str]:
        return self._context.views.exports.store.by_index(BY_NAME, str(selected_kind(template)))

    def _requests_in(self, namespace: Object) -> Iterable[str]:
        return self._in(self._context.views.requests, namespace)

    def _mappings_of(self, namespace: Object) -> Iterable[str]:
        record = meta.annotation(namespace, keys.API_SERVICE_NAMESPACE)
        cns, _, name = record.partition("/")
        if cns and name and "/" not in name:
            yield record
        yield from self._in(self._context.views.service_namespaces, namespace)

    def _tenant_itself(self, namespace: Object) -> Iterable[str]:
        if roots.is_tenant(self._context.views.with_owner(namespace)):
            yield f"{meta.name(namespace)}/{keys.CLUSTER_BINDING_NAME}"

    def _exports_of_role(self, role: Object) -> Iterable[str]:
        owner = meta.controller_reference(role)
        if owner is None:
            return ()
        return self._context.views.exports.store.by_index(BY_NAMESPACE, str(owner.get("name")))

    def _mapping_of_binding(self, binding: Object) -> Iterable[str]:
        entry = self._context.views.namespaces.store.get(meta.namespace(binding))
        return () if entry is None else self._mappings_of(entry.object())

    def _in(self, informer: Informer, namespace: Object) -> Iterable[str]:
        if not roots.is_tenant(self._context.views.with_owner(namespace)):
            return ()
        return informer.store.by_index(BY_NAMESPACE, meta.name(namespace))

    def _regrant(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        """A platform team changed what may be handed on; the sum of the roles follows in a moment."""
        views = self._context.views
        if views.export_roles.initial or (old is not None and new is not None and old.digest == new.digest):
            return
        self._context.rights.changed()
        for controller, informer in zip(self._granting, (views.exports, views.cluster_bindings), strict=True):
            for key in tuple(informer.store.keys()):
                for after in _AGGREGATED:
                    controller.enqueue(key, after=after)

    def _reconsider(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        """What is noted about a tenant changed: other groups by a login, another list by an operator, or whose it is.

        Heartbeats, which are most of the events, change none of it.
        """
        views = self._context.views
        if new is None or views.cluster_bindings.initial:
            return
        binding = new.object()
        if old is not None and _noted(old.object()) == _noted(binding):
            return
        concerned = (views.requests, views.exports, views.service_namespaces)
        for controller, informer in zip(self._asking, concerned, strict=True):
            for key in tuple(informer.store.by_index(BY_NAMESPACE, meta.namespace(binding))):
                controller.enqueue(key)

    def _report_shadowed(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        """Say on a template that it does not count: its status has no place for it."""
        if new is None or (old is not None and old.generation == new.generation):
            return
        choice = choose(self._context.views.templates_of(selected_kind(new.object())))
        if choice is None:
            return
        for shadowed in choice.shadowed:
            self._context.recorder.event(
                shadowed,
                type="Warning",
                reason=Reason.TEMPLATE_AMBIGUOUS,
                message=(
                    f"{choice.all_keys} offer the same resource, so new requests for it are refused:"
                    " delete all but one"
                ),
            )


def _noted(binding: Object) -> tuple[dict[str, str], dict[str, str]]:
    return dict(meta.annotations(binding)), dict(meta.labels(binding))


def _own(obj: Object) -> Iterable[str]:
    return (meta.key(obj),)


def _tenant_of(obj: Object) -> Iterable[str]:
    return (f"{meta.namespace(obj)}/{keys.CLUSTER_BINDING_NAME}",)


def _tenant_of_role(role: Object) -> Iterable[str]:
    owner = meta.controller_reference(role)
    return () if owner is None else (f"{owner.get('name')}/{keys.CLUSTER_BINDING_NAME}",)
