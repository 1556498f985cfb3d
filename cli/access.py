"""How to reach one API server and prove who we are, for the synchronous client of the CLI.

Takes a `ClusterConfig` (whatever it came from: the person's kubeconfig, or one that passed the checks
for foreign kubeconfigs) and gives what a connection needs: a TLS context, an Authorization header,
proxies. Private keys go through a file that only this user can read, for as long as OpenSSL takes to
read it.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from bind_agent._version import __version__
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Material, resolve
from bind_agent.kube.errors import CredentialError
from bind_agent.kube.tls import harden, load_certificate
from cli.errors import CliError

USER_AGENT = f"kubectl-bind/{__version__}"


class Access:
    """The way into one cluster.

    Args:
        config: address and credential.
        environment: where proxy variables are looked up; None for a cluster that the person did not configure
            herself, which is reached directly.
    """

    def __init__(self, config: ClusterConfig, *, environment: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._material: Material | None = None
        self._context: ssl.SSLContext | None = None
        self.server = config.server
        self.namespace = config.namespace
        self.tls_server_name = config.tls_server_name
        self.user_agent = USER_AGENT
        self.proxies = _proxies(config, environment or {})

    @property
    def verifies(self) -> bool:
        """Whether the server's certificate is checked."""
        return not self._config.insecure_skip_tls_verify

    @property
    def can_refresh(self) -> bool:
        """Whether asking again may give another credential."""
        credential = self._config.credential
        return bool(credential.plugin or credential.token_file or credential.certificate_file)

    def authorization(self, *, fresh: bool = False) -> dict[str, str]:
        """The Authorization header, or nothing when a client certificate speaks for us.

        Args:
            fresh: the last one was rejected; ask its source again.

        Raises:
            CliError: the credential cannot be had.
        """
        if self._material is None or fresh:
            self._material = self._resolve()
            if self._context is not None:
                _load_certificate(self._context, self._material)
        token = self._material.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def ssl_context(self) -> ssl.SSLContext:
        """The TLS context: the cluster's CA only, or the system's where the kubeconfig names none.

        Raises:
            CliError: CA or client certificate are not usable.
        """
        if self._context is None:
            self._context = self._make_context()
        return self._context

    def check_address(self) -> None:
        """Refuse an address that is forbidden to foreign kubeconfigs, after name resolution (threat A43).

        Raises:
            CliError: naming the host and the rule.
        """
        policy = self._config.addresses
        host = urlsplit(self.server).hostname or ""
        if policy is None:
            return
        candidates = [host]
        with contextlib.suppress(OSError):
            candidates += [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
        for candidate in candidates:
            if reason := policy.refusal(candidate):
                raise CliError(
                    f"the provider's address {host} is refused: it {reason}",
                    next_step="ask the provider for a kubeconfig with an address that is public",
                )

    def _resolve(self) -> Material:
        try:
            return asyncio.run(
                resolve(self._config.credential, server=self._config.server, ca_pem=self._config.ca_pem)
            )
        except CredentialError as error:
            raise CliError(
                f"no credential for {self.server}: {error}",
                next_step="log in again, or check the user in the kubeconfig",
            ) from None

    def _make_context(self) -> ssl.SSLContext:
        config = self._config
        try:
            context = ssl.create_default_context(
                cadata=config.ca_pem.decode("ascii", "replace") if config.ca_pem else None
            )
        except ssl.SSLError:
            raise CliError(
                f"the certificate authority for {self.server} is not a PEM certificate",
                next_step="check certificate-authority-data in the kubeconfig",
            ) from None
        harden(context, strict_x509=config.strict_x509)
        if config.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if config.credential.has_certificate or config.credential.plugin:
            self._material = self._material or self._resolve()
            _load_certificate(context, self._material)
        return context


def _load_certificate(context: ssl.SSLContext, material: Material) -> None:
    if not material.certificate:
        return
    try:
        load_certificate(context, material.certificate, material.key)
    except CredentialError as error:
        raise CliError(
            str(error), next_step="check client-certificate-data and client-key-data in the kubeconfig"
        ) from None


def _proxies(config: ClusterConfig, environment: Mapping[str, str]) -> dict[str, str]:
    """The proxy for this server: the kubeconfig's, else the environment's where it applies."""
    if config.proxy:
        return {"http": config.proxy, "https": config.proxy}
    parts = urlsplit(config.server)
    host = (parts.hostname or "").lower()
    name = f"{parts.scheme}_proxy"
    value = environment.get(name) or environment.get(name.upper())
    if not value or _is_here(host):  # as kubectl does: no proxy knows the way to this machine
        return {}
    if _excluded(host, environment.get("no_proxy") or environment.get("NO_PROXY") or ""):
        return {}
    return {parts.scheme: value}


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _excluded(host: str, no_proxy: str) -> bool:
    entries = [entry.strip().lower().lstrip(".") for entry in no_proxy.split(",")]
    return "*" in entries or any(entry and (host == entry or host.endswith(f".{entry}")) for entry in entries)
