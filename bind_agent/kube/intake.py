"""Kubeconfigs of the other side: hostile until checked (design section 5, threats A41 to A45).

Such a kubeconfig comes out of a Secret that a provider wrote.  It may say where its API server is, which CA
signed it, and with which token or client certificate to go there: nothing else.  Everything that would make
this process run a program, read a file, use a proxy, act as somebody else, or trust blindly is refused by
name, and what is taken over is copied field by field.

Pure: no file is read and no name is resolved here.  Addresses behind names are checked again when connections
are made (`ClusterConfig.addresses`).
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

import yaml

from bind_agent.api import consumer_side
from bind_agent.kube import intake_fields as check
from bind_agent.kube.addresses import AddressPolicy
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from bind_agent.kube.errors import clean
from bind_agent.kube.intake_fields import IntakeError as IntakeError  # noqa: PLC0414 - part of the interface
from bind_agent.kube.strictyaml import Node, StrictYamlError, parse

MAX_SIZE: Final = 64 * 1024

# What a user entry must not have, with the reason word and what to do instead.
_USER: Final = {
    "exec": ("ExecNotAllowed", "a command would be run; put a token into the kubeconfig"),
    "auth-provider": ("AuthProviderNotAllowed", "put a token into the kubeconfig"),
    "tokenFile": (
        "FileNotAllowed",
        "put the token itself into the kubeconfig (kubectl config view --flatten)",
    ),
    "client-certificate": ("FileNotAllowed", "use client-certificate-data (kubectl config view --flatten)"),
    "client-key": ("FileNotAllowed", "use client-key-data (kubectl config view --flatten)"),
    "username": ("PasswordNotAllowed", "API servers take no passwords; use a token"),
    "password": ("PasswordNotAllowed", "API servers take no passwords; use a token"),
    "as": ("ImpersonationNotAllowed", "use the credential of that user"),
    "as-uid": ("ImpersonationNotAllowed", "use the credential of that user"),
    "as-groups": ("ImpersonationNotAllowed", "use the credential of that user"),
    "as-user-extra": ("ImpersonationNotAllowed", "use the credential of that user"),
}
_CLUSTER: Final = {
    "certificate-authority": (
        "FileNotAllowed",
        "use certificate-authority-data (kubectl config view --flatten)",
    ),
    "proxy-url": ("ProxyNotAllowed", "the server has to be reachable directly"),
}


@dataclass(frozen=True, slots=True)
class ProviderKubeconfig:
    """What was taken over from a kubeconfig of the other side.

    Attributes:
        server: https URL, normalised (lower-case host, no default port, no slash at its end).
        namespace: of the context; empty only when that was allowed.
        ca_pem: CA certificates; None for the system's own.
        tls_server_name: expected in the server's certificate instead of the host.
        token: bearer token.
        certificate: client certificate, PEM; given with `key` or not at all.
        key: its private key, PEM.
        addresses: where connections may go.
        ignored: fields that were not looked at, for a message to people.
    """

    server: str
    namespace: str
    ca_pem: bytes | None = field(default=None, repr=False)
    tls_server_name: str = ""
    token: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    addresses: AddressPolicy = field(default_factory=AddressPolicy)
    ignored: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Digest of which provider and tenant this is: server, CA and namespace, but not the credential."""
        return _digest(self.server, self.tls_server_name, self.ca_pem or b"", self.namespace)

    @property
    def digest(self) -> str:
        """Digest of everything; equal means that nothing has to be taken over."""
        return _digest(self.identity, self.token, self.certificate, self.key)

    def document(self) -> bytes:
        """A clean kubeconfig with these parts and nothing else: what is stored on the app cluster."""
        clean_document = consumer_side.kubeconfig(
            server=self.server,
            ca_pem=self.ca_pem,
            tls_server_name=self.tls_server_name,
            namespace=self.namespace,
            token=self.token,
            certificate=self.certificate,
            key=self.key,
        )
        return str(yaml.safe_dump(clean_document)).encode()

    def config(self) -> ClusterConfig:
        """The configuration to connect with."""
        return ClusterConfig(
            server=self.server,
            credential=Credential(token=self.token, certificate=self.certificate, key=self.key),
            ca_pem=self.ca_pem,
            tls_server_name=self.tls_server_name,
            namespace=self.namespace,
            addresses=self.addresses,
        )


def accept_kubeconfig(
    data: bytes,
    *,
    allow_private_addresses: bool = True,
    allow_loopback: bool = False,
    require_namespace: bool = True,
    require_ca: bool = False,
) -> ProviderKubeconfig:
    """Check a kubeconfig of the other side and take over what is allowed.

    Args:
        data: the document, YAML or JSON.
        allow_private_addresses: the server may have a private address or an in-cluster name.
        allow_loopback: the server may be this machine (playground and tests).
        require_namespace: the context must name a namespace (everywhere but in control plane mode).
        require_ca: the CA must be inline.  Without it the system's own are used when there is none, because
            providers behind publicly trusted certificates send none.

    Returns:
        The parts that were taken over.

    Raises:
        IntakeError: it is refused; nothing of it was used.
    """
    if len(data) > MAX_SIZE:
        raise IntakeError(
            "TooLarge",
            f"the kubeconfig has {len(data)} bytes",
            f"at most {MAX_SIZE} are read; keep one context only (kubectl config view --minify --flatten)",
        )
    document = _document(data)
    context, cluster, user = _chosen(document)
    ignored: list[str] = []
    for section, refused, known in (
        (user, _USER, {"token", "client-certificate-data", "client-key-data", "extensions"}),
        (
            cluster,
            _CLUSTER,
            {
                "server",
                "certificate-authority-data",
                "tls-server-name",
                "insecure-skip-tls-verify",
                "disable-compression",
                "extensions",
            },
        ),
    ):
        _refuse(section, refused)
        ignored += [clean(name, 32) for name in section if name not in known and name not in refused]
    if _text(cluster, "insecure-skip-tls-verify") not in {"", "false", "False", "FALSE"}:
        raise IntakeError(
            "InsecureNotAllowed",
            "the kubeconfig has insecure-skip-tls-verify",
            "put the CA into certificate-authority-data instead",
        )
    ca_pem = check.authorities(_text(cluster, "certificate-authority-data"))
    if ca_pem is None and require_ca:
        raise IntakeError(
            "CAMissing", "the kubeconfig has no certificate-authority-data", "add the server's CA"
        )
    token, certificate, key = _credential(user)
    policy = AddressPolicy(private=allow_private_addresses, loopback=allow_loopback)
    return ProviderKubeconfig(
        server=check.server(_text(cluster, "server"), policy),
        namespace=check.namespace(_text(context, "namespace"), required=require_namespace),
        ca_pem=ca_pem,
        tls_server_name=check.server_name(_text(cluster, "tls-server-name")),
        token=token,
        certificate=certificate,
        key=key,
        addresses=policy,
        ignored=tuple(ignored[:16]),
    )


def _document(data: bytes) -> dict[str, Node]:
    if b"\0" in data:
        raise IntakeError("Malformed", "the kubeconfig holds NUL characters", "write it as UTF-8 YAML")
    try:
        document = parse(data)
    except StrictYamlError as error:
        raise IntakeError(
            "Malformed", f"the kubeconfig cannot be read: {error}", "write plain YAML or JSON"
        ) from None
    if not isinstance(document, dict):
        raise IntakeError(
            "Malformed", "the kubeconfig is empty or no mapping", "put a kubeconfig into the Secret"
        )
    if _text(document, "kind") not in {"", "Config"} or _text(document, "apiVersion") not in {"", "v1"}:
        raise IntakeError(
            "Malformed",
            "the document is no kubeconfig (apiVersion v1, kind Config)",
            "put a kubeconfig into the Secret",
        )
    return document


def _chosen(document: dict[str, Node]) -> tuple[dict[str, Node], dict[str, Node], dict[str, Node]]:
    """The one context with its cluster and user."""
    name, context = _only(document, "context")
    current = _text(document, "current-context")
    if current != name:
        raise IntakeError(
            "ContextMissing",
            "current-context of the kubeconfig is not the name of its context"
            if current
            else "the kubeconfig has no current-context",
            "set current-context",
        )
    found = []
    for kind in ("cluster", "user"):
        name, entry = _only(document, kind)
        if _text(context, kind) != name:
            raise IntakeError(
                "ContextMissing",
                f"the context of the kubeconfig names no {kind} that it has",
                f"set {kind} of the context to {name!r}",
            )
        found.append(entry)
    return context, found[0], found[1]


def _only(document: dict[str, Node], kind: str) -> tuple[str, dict[str, Node]]:
    entries = document.get(f"{kind}s")
    count = len(entries) if isinstance(entries, list) else 0
    if not isinstance(entries, list) or count != 1:
        raise IntakeError(
            "ContextNotUnique" if count else "ContextMissing",
            f"the kubeconfig has {count or 'no'} {kind}s instead of exactly one",
            "reduce it with kubectl config view --minify --flatten",
        )
    entry = entries[0]
    name = _text(entry, "name") if isinstance(entry, dict) else ""
    body = entry.get(kind) if isinstance(entry, dict) else None
    if not name or not isinstance(body, dict):
        raise IntakeError(
            "Malformed", f"the {kind} of the kubeconfig has no name or no content", "fix the kubeconfig"
        )
    return clean(name, 128), body


def _refuse(section: dict[str, Node], refused: dict[str, tuple[str, str]]) -> None:
    for name, (reason, next_step) in refused.items():
        # Present and empty (`exec: null`, `as: ""`) says nothing, and some programs write it.
        if section.get(name):
            raise IntakeError(
                reason, f"the kubeconfig has {name}, which is not accepted from the other side", next_step
            )


def _credential(user: dict[str, Node]) -> tuple[str, bytes, bytes]:
    token = check.token(_text(user, "token"))
    certificate, key = (
        check.pem(_text(user, name), name, block)
        for name, block in (
            ("client-certificate-data", check.CERTIFICATE),
            ("client-key-data", check.PRIVATE_KEY),
        )
    )
    if bool(certificate) != bool(key):
        raise IntakeError(
            "CredentialInvalid",
            "the kubeconfig has a client certificate without its key, or the reverse",
            "give both, or a token",
        )
    if not token and not certificate:
        raise IntakeError(
            "CredentialMissing",
            "the kubeconfig has neither a token nor a client certificate",
            "add the token of the provider's service account",
        )
    return token, certificate, key


def _text(section: Node, name: str) -> str:
    value = section.get(name) if isinstance(section, dict) else None
    if isinstance(value, dict | list):
        raise IntakeError("Malformed", f"{name} of the kubeconfig must be text", "fix the kubeconfig")
    return value or ""


def _digest(*parts: str | bytes) -> str:
    """Digest over a list of values that cannot be shifted from one into the next."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        value = part.encode() if isinstance(part, str) else part
        hashed.update(len(value).to_bytes(8, "big") + value)
    return hashed.hexdigest()
