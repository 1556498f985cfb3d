"""Names: what the API server accepts, and the names that the product makes (spec 3.11.2, 4.9, 12.3).

Made names are readable where they can be and get a digest where they would be too long. A readable name of
two parts joined by a dash is not unique: (`a`, `b-c`) and (`a-b`, `c`) both give `a-b-c` (threats A30).
Therefore a name never proves anything; the record on the object does, and `choose_service_namespace` steps
aside when it belongs to others.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Final

from bind_agent.api import keys

LABEL_LIMIT: Final = 63
"""Most characters of a DNS label: namespaces, services, label values."""

SUBDOMAIN_LIMIT: Final = 253
"""Most characters of a DNS subdomain: names of most objects."""

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_GROUP: Final = re.compile(r"|[a-z0-9]([-a-z0-9]*[a-z0-9](\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?")
_RESOURCE: Final = re.compile(r"[a-z][-a-z0-9]*[a-z0-9]")
_VERSION: Final = re.compile(r"v[1-9][0-9]*([a-z]+[1-9][0-9]*)?")
_LABEL_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_NOT_NAME: Final = re.compile(r"[^a-z0-9]+")

_DIGEST_LENGTH: Final = 10
"""Base-32 characters of a digest in a name: 50 bits."""

_REQUEST_PREFIX: Final = "appclusterbinding"
_REQUEST_PART: Final = 24


class NameTooLongError(ValueError):
    """A name would exceed what an API server accepts."""


def is_label(text: str) -> bool:
    """Whether the text is a DNS label, as names of namespaces are."""
    return len(text) <= LABEL_LIMIT and _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Whether the text is a DNS subdomain, as names of most objects are."""
    return len(text) <= SUBDOMAIN_LIMIT and _SUBDOMAIN.fullmatch(text) is not None


def is_group(text: str) -> bool:
    """Whether the text is an API group (pattern G of spec 3.2.2); the empty one is the core group."""
    return len(text) <= SUBDOMAIN_LIMIT and _GROUP.fullmatch(text) is not None


def is_resource(text: str) -> bool:
    """Whether the text is a plural resource (pattern R of spec 3.2.2)."""
    return len(text) <= LABEL_LIMIT and _RESOURCE.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Whether the text is an API version such as `v1` or `v1alpha1` (spec 3.5)."""
    return len(text) <= LABEL_LIMIT and _VERSION.fullmatch(text) is not None


def is_label_key(text: str) -> bool:
    """Whether the text may be the key of a label or annotation: `name` or `prefix/name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return len(name) <= LABEL_LIMIT and _LABEL_NAME.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    """Whether the text may be the value of a label; it may be empty."""
    return not text or (len(text) <= LABEL_LIMIT and _LABEL_NAME.fullmatch(text) is not None)


def is_protected_group(group: str) -> bool:
    """Whether a group belongs to Kubernetes: core, undotted ones (`apps`), `*.k8s.io` and `*.kubernetes.io`.

    Exports and CRDs of such groups are refused, whatever a provider says.
    """
    parts = group.split(".")
    return len(parts) == 1 or parts[-2:] in (["k8s", "io"], ["kubernetes", "io"])


def is_bindable_group(group: str) -> bool:
    """Whether kinds of a group may be bound at all: it is neither Kubernetes' nor the product's own."""
    return not is_protected_group(group) and group not in {keys.GROUP, keys.TEMPLATE_GROUP}


def digest(*parts: str) -> str:
    """Ten characters that stand for the parts and for how they are divided; fit for any name."""
    data = "".join(f"{len(part)}:{part}" for part in parts).encode()
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    number = int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
    return "".join(alphabet[(number >> (5 * position)) & 31] for position in range(_DIGEST_LENGTH))


def shortened(name: str, limit: int = LABEL_LIMIT) -> str:
    """The name, or as much of it as fits before a digest of the whole."""
    return name if len(name) <= limit else _with_digest(name, digest(name), limit)


def label_value(text: str) -> str:
    """The text where it may be a label value, else a digest of it."""
    return text if is_label_value(text) else digest(text)


def service_namespace(cluster_namespace: str, consumer_namespace: str) -> str:
    """Preferred name of the service namespace: `<cns>-<consumer namespace>`, with a digest when over 63."""
    joined = f"{cluster_namespace}-{consumer_namespace}"
    if len(joined) <= LABEL_LIMIT:
        return joined
    return _with_digest(joined, digest(cluster_namespace, consumer_namespace), LABEL_LIMIT)


def service_namespace_alternative(cluster_namespace: str, consumer_namespace: str) -> str:
    """Name for when the preferred one belongs to others; the digest says how the parts are divided."""
    joined = f"{cluster_namespace}-{consumer_namespace}"
    return _with_digest(joined, digest("alternative", cluster_namespace, consumer_namespace), LABEL_LIMIT)


def service_namespace_record(cluster_namespace: str, consumer_namespace: str) -> str:
    """Value of the annotation that proves whose a service namespace is (spec 4.9)."""
    return f"{cluster_namespace}/{consumer_namespace}"


def choose_service_namespace(
    cluster_namespace: str, consumer_namespace: str, record_of: Callable[[str], str | None]
) -> str | None:
    """Name to use for the service namespace of a consumer namespace.

    Args:
        cluster_namespace: `<cns>`.
        consumer_namespace: name on the app cluster.
        record_of: for the name of an existing namespace its record (empty when it has none), None for a
            name that is free.

    Returns:
        The first candidate that is free or already recorded for this pair; None when others have them all,
        which is a conflict to report. A namespace without a record is never taken over.
    """
    mine = service_namespace_record(cluster_namespace, consumer_namespace)
    for candidate in (
        service_namespace(cluster_namespace, consumer_namespace),
        service_namespace_alternative(cluster_namespace, consumer_namespace),
    ):
        if record_of(candidate) in {None, mine}:
            return candidate
    return None


def cluster_namespace_prefix(prefix: str) -> str:
    """`generateName` of cluster namespaces: a dash is added only if the prefix lacks one (spec 3.11.2)."""
    return prefix if prefix.endswith("-") else f"{prefix}-"


def export_request(app_cluster_binding: str, template: str) -> str:
    """Name of an export request in control plane mode (spec 12.3)."""
    binding = _sanitised(app_cluster_binding) or "binding"
    part = _sanitised(template) or "export"
    suffix = f"{_fnv1a_32(template.encode()):08x}"
    name = f"{_REQUEST_PREFIX}-{binding}-{part}-{suffix}"
    if len(name) > LABEL_LIMIT:
        room = max(LABEL_LIMIT - (len(_REQUEST_PREFIX) + len(binding) + len(suffix) + 3), 1)
        name = f"{_REQUEST_PREFIX}-{binding}-{part[:room]}-{suffix}"
    return name


def binding_root_namespace(namespace: str, name: str) -> str:
    """Binding root namespace of an AppClusterBinding (spec section 0), with a digest when over 63."""
    joined = f"klutch-bind-{namespace}-{name}"
    if len(joined) <= LABEL_LIMIT:
        return joined
    return _with_digest(joined, digest(namespace, name), LABEL_LIMIT)


def _with_digest(name: str, suffix: str, limit: int) -> str:
    return f"{name[: limit - len(suffix) - 1].rstrip('-.')}-{suffix}"


def _sanitised(text: str) -> str:
    return _NOT_NAME.sub("-", text.strip().lower()).strip("-")[:_REQUEST_PART]


def _fnv1a_32(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value
