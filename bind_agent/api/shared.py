"""Types that several kinds share (spec 3.2), and what every own kind has in common."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from bind_agent.api import keys
from bind_agent.api.resource import Resource
from bind_agent.api.validation import Problem, not_empty, one_of

OPAQUE: Final = frozenset({"openAPIV3Schema", "parameters", "serviceProviderSpec", "overrides"})
"""Fields whose content is not ours: nothing below them is looked at or changed."""


_DEEPEST: Final = 64


class Part(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Base of every type here: immutable, camelCase on the wire, defaults left out when written."""


class OwnerReference(Part, frozen=True, kw_only=True):
    """Entry of `metadata.ownerReferences`."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(Part, frozen=True, kw_only=True):
    """The part of `metadata` that the product reads."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class OwnObject(Part, frozen=True, kw_only=True):
    """Base of the seven kinds.

    Each kind has `RESOURCE`, a `spec`, mostly a `status`, and says what is wrong with itself.
    """

    RESOURCE: ClassVar[Resource]

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()

    def problems(self) -> list[Problem]:
        """Rules that the object breaks by itself; empty when it is valid."""
        raise NotImplementedError

    def update_problems(self, old: Any) -> list[Problem]:
        """Rules that the change from `old` (of the same kind) to this object breaks."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """`namespace/name`, or `name`."""
        meta = self.metadata
        return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


class GroupResource(Part, frozen=True, kw_only=True):
    """Group and plural of a resource (spec 3.2.2)."""

    resource: str
    group: str = ""

    @property
    def group_resource(self) -> str:
        """`resource.group`, or `resource` for the core group."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


class LocalSecretKeyRef(Part, frozen=True, kw_only=True):
    """Key of a Secret in the object's own namespace (spec 3.2.3)."""

    name: str
    key: str

    def problems(self, path: str) -> list[Problem]:
        """Broken rules; `path` is where the reference stands."""
        return [*not_empty(f"{path}.name", self.name), *one_of(f"{path}.key", self.key, [keys.KUBECONFIG])]


class ClusterSecretKeyRef(LocalSecretKeyRef, frozen=True, kw_only=True):
    """Key of a Secret in any namespace (spec 3.2.3)."""

    namespace: str

    def problems(self, path: str) -> list[Problem]:
        """Broken rules; `path` is where the reference stands."""
        return [*super().problems(path), *not_empty(f"{path}.namespace", self.namespace)]


def without_nulls(value: Any, field: str = "", depth: int = 0) -> Any:
    """A copy without fields that are null.

    Go writes null for some empty fields, and API servers drop it for fields that may not be null; so do we.
    Content of opaque fields stays as it is.

    Raises:
        ValueError: nested far deeper than any own kind is.
    """
    if field in OPAQUE:
        return value
    if depth > _DEEPEST:
        message = "nested too deeply"
        raise ValueError(message)
    if isinstance(value, Mapping):
        return {k: without_nulls(v, str(k), depth + 1) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(item, depth=depth + 1) for item in value]
    return value


def to_wire(value: msgspec.Struct) -> dict[str, Any]:
    """The object as it goes to an API server: fresh plain data.

    `apiVersion` and `kind` are always written for own kinds.
    """
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    if isinstance(value, OwnObject):
        head = {"apiVersion": value.RESOURCE.api_version, "kind": value.RESOURCE.kind}
        return {**head, **{k: v for k, v in plain.items() if k not in head}}
    return plain
