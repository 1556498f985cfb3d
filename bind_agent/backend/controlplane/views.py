"""What control plane mode watches beside the views of all controllers."""

from collections.abc import Iterable
from typing import Final

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import APP_CLUSTER_BINDINGS, BINDINGS
from bind_agent.backend.access import Kind
from bind_agent.runtime.informer import Informer
from bind_agent.runtime.pool import InformerPool

BY_NAMESPACE: Final = "namespace"
BY_KIND: Final = "kind"


class ControlPlaneViews:
    """The informers of control plane mode.

    Attributes:
        app_cluster_bindings: of all namespaces, found by the kinds that they list.
        bindings: APIServiceBindings of all namespaces, found by namespace.
    """

    def __init__(self, pool: InformerPool) -> None:
        """Start the informers.

        Args:
            pool: entered; stops them in the end.
        """
        self.app_cluster_bindings = pool.acquire(APP_CLUSTER_BINDINGS, indexes={BY_KIND: _kinds})
        self.bindings = pool.acquire(BINDINGS, indexes={BY_NAMESPACE: _namespace})

    async def wait_synced(self) -> None:
        """Wait until both are complete."""
        for informer in (self.app_cluster_bindings, self.bindings):
            await informer.wait_synced()

    def listing(self, kind: Kind) -> Iterable[str]:
        """Keys of the AppClusterBindings that list a kind."""
        return self.app_cluster_bindings.store.by_index(BY_KIND, str(kind))


def objects_in(informer: Informer, namespace: str, index: str = BY_NAMESPACE) -> list[Object]:
    """The objects of one namespace, by name."""
    entries = (informer.store.get(key) for key in informer.store.by_index(index, namespace))
    return sorted((entry.object() for entry in entries if entry is not None), key=meta.name)


def _namespace(obj: Object) -> Iterable[str]:
    return (meta.namespace(obj),)


def _kinds(obj: Object) -> Iterable[str]:
    spec = obj.get("spec")
    listed = spec.get("apiExports") if isinstance(spec, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("resource"), str):
            yield str(Kind(str(entry.get("group") or ""), entry["resource"]))
