"""The kubeconfig that a consumer gets: pure (spec 4.5 step 6)."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from bind_agent.backend.tenancy.address import Endpoint

# Written in C where the wheel has it: the document holds two long texts, which cost milliseconds otherwise.
_Dumper: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NAME: Final = "default"
"""Name of the one cluster, context and user, as Go backends call them."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What an issued kubeconfig says.

    Attributes:
        endpoint: the API server.
        namespace: the tenant's namespace.
        token: the bearer token; never shown.
    """

    endpoint: Endpoint
    namespace: str
    token: str = field(repr=False)


def render(issued: Issued) -> bytes:
    """The document, with keys in alphabetical order as clientcmd writes them."""
    cluster: dict[str, Any] = {
        "certificate-authority-data": base64.b64encode(issued.endpoint.ca_pem).decode("ascii"),
        "server": issued.endpoint.server,
    }
    if issued.endpoint.tls_server_name:
        cluster["tls-server-name"] = issued.endpoint.tls_server_name
    document = {
        "apiVersion": "v1",
        "clusters": [{"cluster": cluster, "name": _NAME}],
        "contexts": [
            {"context": {"cluster": _NAME, "namespace": issued.namespace, "user": _NAME}, "name": _NAME}
        ],
        "current-context": _NAME,
        "kind": "Config",
        "preferences": {},
        "users": [{"name": _NAME, "user": {"token": issued.token}}],
    }
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=True, default_flow_style=False)
    return text.encode("utf-8")


def parse(data: bytes) -> Issued | None:
    """Read back a kubeconfig that a backend wrote (ours, or a Go one).

    Returns:
        What it says, or None when anything in it is not as a backend writes it.
    """
    try:
        document = yaml.load(data, Loader=_Loader)  # noqa: S506 - both are safe ones
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return None
    cluster = _named(document, "clusters", "cluster")
    context = _named(document, "contexts", "context")
    user = _named(document, "users", "user")
    try:
        ca_pem = base64.b64decode(_text(cluster, "certificate-authority-data"), validate=True)
    except binascii.Error:
        return None
    server, namespace, token = _text(cluster, "server"), _text(context, "namespace"), _text(user, "token")
    if not (server and namespace and token and ca_pem):
        return None
    return Issued(Endpoint(server, ca_pem, _text(cluster, "tls-server-name")), namespace, token)


def _named(document: object, many: str, one: str) -> Mapping[str, Any]:
    """The single entry of a list of named entries, or empty."""
    entries = document.get(many) if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], Mapping):
        return {}
    value = entries[0].get(one)
    return value if isinstance(value, Mapping) else {}


def _text(section: Mapping[str, Any], field_name: str) -> str:
    value = section.get(field_name)
    return value if isinstance(value, str) else ""
