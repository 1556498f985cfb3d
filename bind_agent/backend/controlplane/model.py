"""What an AppClusterBinding asks for, and the names that follow from it: pure (spec 3.9, 5.2 to 5.5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bind_agent.api import keys, meta, naming
from bind_agent.api.app_cluster_binding import AppClusterBinding
from bind_agent.api.meta import Object
from bind_agent.api.shared import without_nulls
from bind_agent.backend.access import Kind


class MalformedError(ValueError):
    """The object breaks the schema of its kind; somebody must have changed the CRD."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One AppClusterBinding, read once.

    Attributes:
        namespace: its namespace.
        name: its name.
        secret_namespace: where the kubeconfig Secret is.
        secret: its name.
        secret_key: the key in it.
        kinds: what is to be bound, each once, in order.
        deploy: whether a konnector is to be deployed.
        overrides: of its container.
        accept_claims: value of the annotation `keys.ACCEPT_CLAIMS`, or empty.
    """

    namespace: str
    name: str
    secret_namespace: str
    secret: str
    secret_key: str
    kinds: tuple[Kind, ...] = ()
    deploy: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    accept_claims: str = ""

    @property
    def key(self) -> str:
        """Also the record on the root namespace."""
        return meta.join_key(self.namespace, self.name)

    @property
    def root(self) -> str:
        """Name of the binding root namespace, with a digest when it would be longer than 63 characters."""
        return naming.binding_root_namespace(self.namespace, self.name)

    @property
    def labels(self) -> dict[str, str]:
        """On everything that is made for it; a name that cannot be a label's value is replaced by its digest."""
        return {
            keys.APP_CLUSTER_BINDING_NAME: naming.label_value(self.name),
            keys.APP_CLUSTER_BINDING_NAMESPACE: naming.label_value(self.namespace),
        }

    @property
    def deployment(self) -> str:
        """Name of the konnector's Deployment."""
        return naming.shortened(keys.konnector_deployment(self.name), naming.SUBDOMAIN_LIMIT)

    def is_ours(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object carries both labels."""
        labels = meta.labels(obj)
        return all(labels.get(label) == value for label, value in self.labels.items())


def read(obj: Object) -> Wanted:
    """Read an AppClusterBinding.

    Raises:
        MalformedError: it is none.
    """
    try:
        typed = msgspec.convert(without_nulls(obj), AppClusterBinding)
    except (msgspec.ValidationError, ValueError) as error:
        raise MalformedError(f"the object cannot be read: {error}") from None
    reference = typed.spec.kubeconfig_secret_ref
    kinds = (Kind(one.group.strip(), one.resource.strip()) for one in typed.spec.api_exports)
    return Wanted(
        namespace=typed.metadata.namespace,
        name=typed.metadata.name,
        secret_namespace=reference.namespace,
        secret=reference.name,
        secret_key=reference.key,
        kinds=tuple(dict.fromkeys(kind for kind in kinds if kind.plural)),
        deploy=typed.spec.konnector.deploy,
        overrides=typed.spec.konnector.overrides or {},
        accept_claims=typed.metadata.annotations.get(keys.ACCEPT_CLAIMS, ""),
    )


def named(obj: Object) -> Wanted:
    """An AppClusterBinding that is on its way out: only whose it is matters, not what it asked for."""
    return Wanted(meta.namespace(obj), meta.name(obj), secret_namespace="", secret="", secret_key="")
