"""The own configuration of a cluster: kubeconfig files, bytes, or the pod's service account.

These kubeconfigs belong to the person or pod that runs the program and are trusted: files are read and exec
plugins are run.  Kubeconfigs that come from the other side go through `bind_agent.kube.intake` instead.

What other clients accept and this one refuses, with a message: user/password (API servers dropped it),
auth-provider plugins (clients dropped them), impersonation (would silently act with other rights than
configured), SOCKS proxies.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from bind_agent.kube.addresses import AddressPolicy
from bind_agent.kube.credentials import Credential, require
from bind_agent.kube.errors import ConfigError, clean
from bind_agent.kube.execplugin import API_VERSIONS, ExecPlugin
from bind_agent.kube.kubeconfig import Kubeconfig, Source, inline, merge

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Everything needed to talk to one cluster.

    Attributes:
        server: base URL without a slash at its end; may have a path (some providers put clusters under one).
        credential: how we prove who we are.
        ca_pem: CA certificates that the server's certificate must lead to; None for the system's own.
        tls_server_name: name expected in the server's certificate instead of the host of `server`.
        namespace: namespace of the context, empty when it has none.
        insecure_skip_tls_verify: the server's certificate is not checked.
        proxy: HTTP proxy, empty for none.  Proxy variables of the environment are not looked at.
        strict_x509: certificates must obey RFC 5280 to the letter, as Python 3.13 and later demand by
            default; switch it off for a cluster whose old CA lacks an Authority Key Identifier.
        addresses: where connections may go; None for anywhere.
        in_cluster: the server is the own cluster's (answers are not compressed then).
    """

    server: str
    credential: Credential
    ca_pem: bytes | None = field(default=None, repr=False)
    tls_server_name: str = ""
    namespace: str = ""
    insecure_skip_tls_verify: bool = False
    proxy: str = field(default="", repr=False)
    strict_x509: bool = True
    addresses: AddressPolicy | None = None
    in_cluster: bool = False

    @property
    def host(self) -> str:
        """Host part of the server's address."""
        return urlsplit(self.server).hostname or ""


def load(
    kubeconfig: str | None = None, *, context: str | None = None, user: str | None = None
) -> ClusterConfig:
    """The configuration by the usual rules.

    Args:
        kubeconfig: path of a kubeconfig (or several, separated like PATH); without it `$KUBECONFIG`, then
            `~/.kube/config`, then the pod's service account.
        context: name of the context; without it the current one.
        user: name of a user of the kubeconfig instead of the one of the context.

    Returns:
        A configuration with a credential.

    Raises:
        ConfigError: nothing is found, or what is found cannot be used.
    """
    named = kubeconfig or os.environ.get("KUBECONFIG", "")
    if named:
        paths = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
        present = [path for path in paths if path.is_file()]
        if not present or (kubeconfig and len(present) < len(paths)):
            raise ConfigError(f"there is no kubeconfig at {clean(named)}")
        return _from_sources(present, context, user)
    default = Path("~/.kube/config").expanduser()
    if default.is_file():
        return _from_sources([default], context, user)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        if user:
            raise ConfigError(f"there is no kubeconfig that could have a user {clean(user, 64)!r}")
        return in_cluster()
    raise ConfigError("no cluster is configured: give --kubeconfig, set KUBECONFIG, or run inside a cluster")


def from_kubeconfig(
    data: bytes | str | Path | Mapping[str, Any], *, context: str | None = None
) -> ClusterConfig:
    """The configuration from one trusted kubeconfig.

    Args:
        data: a path, or the document itself as text, bytes or decoded mapping.
        context: name of the context; without it the current one.

    Returns:
        A configuration with a credential.

    Raises:
        ConfigError: it cannot be read or used.
    """
    if isinstance(data, Path):
        return _from_sources([data], context)
    document = data if isinstance(data, Mapping) else _parse(data, "the kubeconfig")
    return _build(merge([Source(document, directory="")]), context)


def in_cluster(root: Path = SERVICE_ACCOUNT) -> ClusterConfig:
    """The configuration of the pod's service account.

    Args:
        root: folder of the mounted token.

    Returns:
        A configuration whose token is read again as the kubelet renews it.

    Raises:
        ConfigError: this is no pod, or its token is not mounted.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ConfigError(
            "not inside a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"
        )
    token = root / "token"
    if not token.is_file():
        raise ConfigError(
            f"no service account token at {token}: is automountServiceAccountToken switched off?"
        )
    try:
        ca_pem = (root / "ca.crt").read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the cluster's CA {root / 'ca.crt'}: {error.strerror}") from None
    namespace = root / "namespace"
    return ClusterConfig(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        credential=Credential(token_file=str(token)),
        ca_pem=ca_pem,
        namespace=namespace.read_text(encoding="utf-8").strip() if namespace.is_file() else "",
        in_cluster=True,
    )


def _from_sources(paths: list[Path], context: str | None, user: str | None = None) -> ClusterConfig:
    sources = []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read the kubeconfig {path}: {error.strerror}") from None
        sources.append(Source(_parse(data, f"the kubeconfig {path}"), directory=str(path.resolve().parent)))
    return _build(merge(sources), context, user)


def _parse(data: bytes | str, what: str) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        # The parser's message quotes the document, which holds secrets.
        raise ConfigError(f"{what} is not YAML") from None
    if not isinstance(document, Mapping):
        raise ConfigError(f"{what} is {'empty' if document is None else 'no mapping'}")
    return document


def _build(kubeconfig: Kubeconfig, context: str | None, user_name: str | None = None) -> ClusterConfig:
    chosen, cluster, user = kubeconfig.select(context, user=user_name)
    server = _server(cluster.text("server"))
    insecure = cluster.flag("insecure-skip-tls-verify")
    ca_pem = inline(cluster, "certificate-authority-data", "certificate-authority")
    if insecure and ca_pem:
        raise ConfigError(
            "insecure-skip-tls-verify and a certificate authority exclude each other: drop one of them"
        )
    proxy = cluster.text("proxy-url")
    if proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        raise ConfigError("proxy-url must be an http or https proxy")
    return ClusterConfig(
        server=server,
        credential=require(_credential(user)),
        ca_pem=ca_pem,
        tls_server_name=cluster.text("tls-server-name"),
        namespace=chosen.text("namespace"),
        insecure_skip_tls_verify=insecure,
        proxy=proxy,
    )


def _server(server: str) -> str:
    try:
        parts = urlsplit(server)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("server must be an http(s) URL with a host, and without user, query and fragment")
    return server.rstrip("/")


def _credential(user: Source) -> Credential:
    for refused, hint in (
        ("auth-provider", "use an exec plugin"),
        ("username", "API servers no longer take passwords; use a token"),
        ("password", "API servers no longer take passwords; use a token"),
        ("as", "impersonation is not supported; use the credential of that user"),
        ("as-uid", "impersonation is not supported"),
        ("as-groups", "impersonation is not supported"),
        ("as-user-extra", "impersonation is not supported"),
    ):
        if user.document.get(refused):
            raise ConfigError(f"the kubeconfig user has {refused}: {hint}")
    certificate = user.data("client-certificate-data")
    key = user.data("client-key-data")
    certificate_file = "" if certificate else user.path("client-certificate")
    key_file = "" if key else user.path("client-key")
    if certificate and key_file:
        key, key_file = inline(user, "client-key-data", "client-key") or b"", ""
    if key and certificate_file:
        certificate, certificate_file = (
            inline(user, "client-certificate-data", "client-certificate") or b"",
            "",
        )
    if bool(certificate or certificate_file) != bool(key or key_file):
        raise ConfigError("the kubeconfig user has a client certificate without its key, or the reverse")
    return Credential(
        token=user.text("token"),
        token_file=user.path("tokenFile"),
        certificate=certificate,
        key=key,
        certificate_file=certificate_file,
        key_file=key_file,
        plugin=_plugin(user),
    )


def _plugin(user: Source) -> ExecPlugin | None:
    section = user.section("exec")
    if section is None:
        return None
    version, command = section.text("apiVersion"), section.text("command")
    if version not in API_VERSIONS:
        raise ConfigError(
            f"the exec plugin speaks {clean(version, 64) or 'no version'}; "
            f"known are {' and '.join(API_VERSIONS)}"
        )
    if not command:
        raise ConfigError("the exec plugin of the kubeconfig names no command")
    return ExecPlugin(
        command=command,
        api_version=version,
        args=tuple(str(value) for value in section.sequence("args")),
        env=tuple(
            (str(pair["name"]), str(pair["value"]))
            for pair in section.sequence("env")
            if isinstance(pair, Mapping) and pair.get("name") and pair.get("value") is not None
        ),
        provide_cluster_info=section.flag("provideClusterInfo"),
        interactive_mode=section.text("interactiveMode") or "IfAvailable",
        install_hint=section.text("installHint"),
        directory=user.directory,
    )
