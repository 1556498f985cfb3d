"""Request paths: names are checked and percent-encoded, fixed parts are put together once.

The rules for a path piece are those of API servers: not empty, not `.` or `..`, no `/` and no `%`.  On top of
that control characters and over-long names are refused here, so that nothing odd ever reaches a request line.
"""

import re
from functools import lru_cache
from urllib.parse import quote, urlencode

from bind_agent.api.resource import Resource
from bind_agent.kube.errors import InvalidName, clean

MAX_SEGMENT = 253
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}")
_GROUP = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_VERSION = re.compile(r"[a-z][a-z0-9]{0,62}")
_PLURAL = re.compile(r"[a-z][a-z0-9.-]{0,252}")
_SUBRESOURCE = re.compile(r"[a-z]{1,63}")


def segment(name: str, what: str = "name") -> str:
    """One percent-encoded path piece.

    Args:
        name: name of an object or a namespace.
        what: how the message calls it.

    Returns:
        The piece, ready to stand between two slashes.

    Raises:
        InvalidName: the name is empty, `.`, `..`, longer than 253 characters, or holds `/`, `%` or an
            unprintable character.
    """
    if _PLAIN.fullmatch(name):
        return name
    if not name:
        raise InvalidName(f"the {what} is empty")
    if name in {".", ".."} or len(name) > MAX_SEGMENT or "/" in name or "%" in name or not name.isprintable():
        raise InvalidName(
            f"{clean(name, 64)!r} cannot be used as {what}: it must not be '.' or '..', be longer than "
            f"{MAX_SEGMENT} characters, or hold '/', '%' or unprintable characters"
        )
    return quote(name, safe="")


@lru_cache(maxsize=1024)
def _stem(resource: Resource) -> str:
    """`/api/v1/` or `/apis/<group>/<version>/`; checked once per resource."""
    if not _VERSION.fullmatch(resource.version):
        raise InvalidName(f"{clean(resource.version, 64)!r} is no API version")
    if not _PLURAL.fullmatch(resource.plural):
        raise InvalidName(f"{clean(resource.plural, 64)!r} is no resource name")
    if not resource.group:
        return f"/api/{resource.version}/"
    if not _GROUP.fullmatch(resource.group) or ".." in resource.group:
        raise InvalidName(f"{clean(resource.group, 64)!r} is no API group")
    return f"/apis/{resource.group}/{resource.version}/"


@lru_cache(maxsize=4096)
def collection(resource: Resource, namespace: str | None = None) -> str:
    """Path of a collection.

    Args:
        resource: what is asked for.
        namespace: one namespace; None for all of them, or for a cluster-scoped resource.

    Returns:
        The path, without query and without a slash at its end.

    Raises:
        InvalidName: a part cannot stand in a path, or a namespace is given for a cluster-scoped resource.
    """
    if not namespace:
        return _stem(resource) + resource.plural
    if not resource.namespaced:
        raise InvalidName(f"{resource.plural} are cluster-scoped, but a namespace is given")
    return f"{_stem(resource)}namespaces/{segment(namespace, 'namespace')}/{resource.plural}"


def item(resource: Resource, name: str, namespace: str | None = None, subresource: str = "") -> str:
    """Path of one object, or of one of its subresources.

    Args:
        resource: its kind.
        name: its name.
        namespace: its namespace; needed exactly when the resource is namespaced.
        subresource: such as `status`; empty for the object itself.

    Returns:
        The path, without query.

    Raises:
        InvalidName: a part cannot stand in a path, or the namespace is missing or superfluous.
    """
    if resource.namespaced and not namespace:
        raise InvalidName(
            f"{resource.plural} are namespaced, but no namespace is given for {clean(name, 64)!r}"
        )
    path = f"{collection(resource, namespace)}/{segment(name)}"
    if not subresource:
        return path
    if not _SUBRESOURCE.fullmatch(subresource):
        raise InvalidName(f"{clean(subresource, 64)!r} is no subresource")
    return f"{path}/{subresource}"


def query(**parameters: str | int | bool | None) -> str:
    """A query string with its `?`; parameters that are empty, zero, false or None are left out."""
    pairs = [(key, "true" if value is True else str(value)) for key, value in parameters.items() if value]
    return "?" + urlencode(pairs, quote_via=quote, safe="") if pairs else ""


def is_secret(resource: Resource) -> bool:
    """Whether answers about this resource may quote Secret content."""
    return resource.plural == "secrets" and not resource.group
