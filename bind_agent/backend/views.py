"""What the backend watches: one informer per kind, indexes over them, and typed access.

Nothing is listed or read per reconcile. CRDs are kept without their schemas (a provider may have a thousand
of them); the few that are exported are read when they change, see `crds`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions_catalogue import ConditionType, Severity, Status
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CRDS,
    EXPORT_REQUESTS,
    EXPORT_TEMPLATES,
    EXPORTS,
    NAMESPACES,
    ROLEBINDINGS,
    SERVICE_NAMESPACES,
)
from bind_agent.backend import names, roots, templates
from bind_agent.backend.access import Kind
from bind_agent.backend.controllers import request_plan
from bind_agent.backend.schemas import SharedSchemas
from bind_agent.backend.tenancy.identity import Identity
from bind_agent.runtime.informer import Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.transform import strip

log = structlog.get_logger(__name__)

BY_NAMESPACE: Final = "namespace"
BY_NAME: Final = "name"
BY_KIND: Final = "kind"
BY_RECORD: Final = "record"
BY_ROLE: Final = "role"
BY_STATE: Final = "state"

TENANT: Final = "tenant"
"""Value of `BY_ROLE` for the namespace of a tenant."""
TROUBLED: Final = "troubled"
"""Value of `BY_STATE` for what an operator has to look at."""
BY_SUBJECT: Final = "subject"

_GRANTED: Final = f"{names.AGGREGATE_TO_BACKEND}={keys.TRUE}"
_OURS: Final = f"{keys.MANAGED_BY}={keys.MANAGER}"
_LOUD: Final = 10.0
_VERSION_HEAD: Final = ("name", "served", "storage", "deprecated", "deprecationWarning")
_DESCRIPTION: Final = 2000


class Views:
    """The informers of one backend.

    Attributes:
        namespaces: all, reduced to metadata and phase.
        crds: all, without schemas.
        templates: of all namespaces, found by kind.
        requests: of all tenants, found by the kinds that they ask for.
        exports: of all tenants, found by namespace and by name; without schemas (see `export`).
        service_namespaces: of all tenants, found by namespace.
        cluster_bindings: of all tenants.
        cluster_roles: those that we generated.
        role_bindings: likewise.
        export_roles: ClusterRoles that platform teams ship beside templates.
        cluster_role_bindings: likewise; None when the backend may not use them.
    """

    def __init__(
        self, pool: InformerPool, *, cluster_role_bindings: bool, app_clusters: bool = False
    ) -> None:
        """Start the informers.

        Args:
            pool: entered; stops them in the end.
            cluster_role_bindings: whether the backend may watch these (see the cluster-scope overlay).
            app_clusters: control plane mode, in which root namespaces that a Go backend made are looked after.
        """
        self._app_clusters = app_clusters
        namespaced = {BY_NAMESPACE: _namespace}
        self.namespaces = pool.acquire(
            NAMESPACES,
            transform=slim_namespace,
            indexes={BY_RECORD: _record, BY_SUBJECT: _subject, BY_ROLE: _role},
        )
        self.crds = pool.acquire(CRDS, transform=slim_crd)
        self.templates = pool.acquire(EXPORT_TEMPLATES, indexes={BY_KIND: _template_kind})
        self.requests = pool.acquire(EXPORT_REQUESTS, indexes={**namespaced, BY_KIND: _request_kinds})
        self._schemas = SharedSchemas()
        self.exports = pool.acquire(
            EXPORTS, transform=self._schemas.without, indexes={**namespaced, BY_NAME: _name, BY_STATE: _state}
        )
        self.service_namespaces = pool.acquire(SERVICE_NAMESPACES, indexes=namespaced)
        self.cluster_bindings = pool.acquire(CLUSTER_BINDINGS, indexes={BY_STATE: _state})
        self.cluster_roles = pool.acquire(CLUSTERROLES, label_selector=_OURS)
        self.role_bindings = pool.acquire(ROLEBINDINGS, label_selector=_OURS)
        self.export_roles = pool.acquire(CLUSTERROLES, label_selector=_GRANTED)
        self.cluster_role_bindings = (
            pool.acquire(CLUSTERROLEBINDINGS, label_selector=_OURS) if cluster_role_bindings else None
        )

    def informers(self) -> tuple[Informer, ...]:
        """All of them."""
        optional = (self.cluster_role_bindings,) if self.cluster_role_bindings else ()
        return (
            self.namespaces,
            self.crds,
            self.templates,
            self.requests,
            self.exports,
            self.service_namespaces,
            self.cluster_bindings,
            self.cluster_roles,
            self.role_bindings,
            self.export_roles,
            *optional,
        )

    async def wait_synced(self) -> None:
        """Wait until all are complete, saying now and then what is missing (a right, a CRD, a connection)."""
        while True:
            try:
                async with asyncio.timeout(_LOUD):
                    for informer in self.informers():
                        await informer.wait_synced()
            except TimeoutError:
                for informer in self.informers():
                    if not informer.has_synced:
                        log.warning(
                            "still waiting for a first list",
                            resource=informer.resource.group_resource,
                            error=str(informer.last_error or "no answer yet"),
                        )
            else:
                return

    @property
    def ready(self) -> bool:
        """Whether all have been complete once."""
        return all(informer.has_synced for informer in self.informers())

    def templates_of(self, kind: Kind) -> list[Object]:
        """All templates for one kind."""
        return self._objects(self.templates, BY_KIND, str(kind))

    def export(self, key: str) -> Object | None:
        """An export with its schemas."""
        found = get(self.exports, key)
        return None if found is None else self._schemas.whole(found)

    def exports_in(self, cluster_namespace: str) -> list[Object]:
        """All exports of one tenant, by name; without schemas."""
        return sorted(self._objects(self.exports, BY_NAMESPACE, cluster_namespace), key=meta.name)

    def recorded(self, record: str) -> list[Object]:
        """Namespaces whose record is this, the oldest first."""
        found = self._objects(self.namespaces, BY_RECORD, record)
        return sorted(found, key=lambda one: (meta.creation_timestamp(one), meta.name(one)))

    def tenants(self) -> list[Object]:
        """The namespaces of all tenants that are handed a credential; root namespaces are not among them."""
        names_ = list(self.namespaces.store.keys())
        found = [self.tenant(name) for name in names_]
        return [one for one in found if one is not None and not roots.is_root(one)]

    def namespaces_of(self, subject: str) -> list[Object]:
        """The namespaces of all tenants whose identity has this subject, whoever vouches for it."""
        return self._objects(self.namespaces, BY_SUBJECT, subject)

    def binding(self, cluster_namespace: str) -> Object | None:
        """The ClusterBinding of a tenant."""
        return get(self.cluster_bindings, f"{cluster_namespace}/{keys.CLUSTER_BINDING_NAME}")

    def namespace(self, name: str) -> Object | None:
        """A Namespace, with its record (see `with_owner`); None when there is none."""
        found = get(self.namespaces, name)
        return None if found is None else self.with_owner(found)

    def with_owner(self, namespace: Object) -> Object:
        """A Namespace with the record that it has, or that its ClusterBinding stands for (see `roots`)."""
        if not self._app_clusters:
            return namespace
        key = roots.proof(namespace, self.binding(meta.name(namespace)))
        return roots.recorded(namespace, key) if key else namespace

    def tenant(self, cluster_namespace: str) -> Object | None:
        """The Namespace of a tenant; None when there is none, it is on its way out, or it is no tenant's (yet)."""
        namespace = self.namespace(cluster_namespace)
        if namespace is None or meta.is_deleting(namespace) or not roots.is_tenant(namespace):
            return None
        if roots.is_proven(namespace) and not roots.is_taken(namespace, self.binding(cluster_namespace)):
            return None
        return namespace

    @staticmethod
    def _objects(informer: Informer, index: str, value: str) -> list[Object]:
        entries = (informer.store.get(key) for key in informer.store.by_index(index, value))
        return [entry.object() for entry in entries if entry is not None]


def get(informer: Informer, key: str) -> Object | None:
    """An object of a store, decoded; None when it is not there."""
    entry = informer.store.get(key)
    return None if entry is None else entry.object()


def slim_namespace(obj: Object) -> Object:
    """A Namespace reduced to what decides: metadata, and whether it is going."""
    obj = strip(obj)
    return {**_head(obj), "status": {"phase": _mapping(obj.get("status")).get("phase")}}


def slim_crd(obj: Object) -> Object:
    """A CRD without schemas; what they say about the kind as a whole stays, for the catalogue."""
    spec = _mapping(strip(obj).get("spec"))
    versions = spec.get("versions")
    return {
        **_head(obj),
        # Stands for the schemas: whoever watches must see that they changed.
        "generation": meta.generation(obj),
        "spec": {
            **{field: spec.get(field) for field in ("group", "names", "scope")},
            "versions": [slim_version(one) for one in versions] if isinstance(versions, list) else [],
        },
        "status": {"conditions": _mapping(obj.get("status")).get("conditions") or []},
    }


def slim_version(version: object) -> Object:
    """A version of a CRD without its schema, but for the beginning of its description."""
    found = _mapping(version)
    kept = {field: found[field] for field in _VERSION_HEAD if field in found}
    text = _mapping(_mapping(found.get("schema")).get("openAPIV3Schema")).get("description")
    if isinstance(text, str):
        kept["schema"] = {"openAPIV3Schema": {"description": text[:_DESCRIPTION]}}
    return kept


def _head(obj: Object) -> Object:
    return {field: obj[field] for field in ("apiVersion", "kind", "metadata") if field in obj}


def _namespace(obj: Object) -> Iterable[str]:
    return (meta.namespace(obj),)


def _name(obj: Object) -> Iterable[str]:
    return (meta.name(obj),)


def _record(obj: Object) -> Iterable[str]:
    record = meta.annotation(obj, keys.API_SERVICE_NAMESPACE)
    return (record,) if record else ()


def _subject(obj: Object) -> Iterable[str]:
    who = Identity.parse(meta.annotation(obj, keys.IDENTITY))
    return () if who is None else (who.subject,)


def _role(obj: Object) -> Iterable[str]:
    return (TENANT,) if meta.annotation(obj, keys.IDENTITY) and not meta.is_deleting(obj) else ()


def _state(obj: Object) -> Iterable[str]:
    """Whether a person has to do something; a condition that only tells of progress is none of it."""
    ready = conditions.get(conditions.of(obj), ConditionType.READY)
    bad = ready is not None and ready.status == Status.FALSE and ready.severity != Severity.INFO
    return (TROUBLED,) if bad or meta.annotation(obj, names.REVOKED) else ()


def _template_kind(obj: Object) -> Iterable[str]:
    return (str(templates.selected_kind(obj)),)


def _request_kinds(obj: Object) -> Iterable[str]:
    return (str(kind) for kind in request_plan.resources(obj))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
