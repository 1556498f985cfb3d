"""Credentials of one cluster: what they are, and a source that keeps them fresh.

`Credential` is data from a kubeconfig.  `TokenSource` makes the Authorization header of it and knows when to
ask again: a file is re-read once a minute, an exec plugin is run again before its token expires, and anything
is asked again after a 401.  Whoever needs a fresh token while another is already fetching it waits for that
one (single flight).

The library's own handling is not used: it runs plugins once, never re-reads token files, and goes on without
any credential when a plugin fails.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bind_agent.kube.errors import ConfigError, CredentialError
from bind_agent.kube.execplugin import ExecPlugin, run_plugin

# Kubelets renew projected tokens at 80 % of their life, which is never below ten minutes.
FILE_INTERVAL = 60.0
# A token is renewed this long before it expires, so that a request under way does not outlive it.
SKEW = 60.0
# A source that failed, or that gave the very token that was just rejected, is left alone for so long.
PAUSE = 5.0
MAX_TOKEN_FILE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Credential:
    """How to prove who we are; exactly what a kubeconfig user can say, minus what this program refuses.

    Attributes:
        token: a bearer token.
        token_file: path of a file that holds one and may change; wins over `token`, as in other clients.
        certificate: client certificate chain, PEM.
        key: its private key, PEM.
        certificate_file: path of the chain, read again when it is rejected.
        key_file: path of the key.
        plugin: command that gives a token or a certificate.
    """

    token: str = field(default="", repr=False)
    token_file: str = ""
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    certificate_file: str = ""
    key_file: str = ""
    plugin: ExecPlugin | None = None

    def __bool__(self) -> bool:
        return bool(self.token or self.token_file or self.plugin or self.has_certificate)

    @property
    def has_certificate(self) -> bool:
        """Whether a client certificate is given, inline or as files."""
        return bool((self.certificate and self.key) or (self.certificate_file and self.key_file))


@dataclass(frozen=True, slots=True)
class Material:
    """What a source gave: ready to use, and for how long.

    Attributes:
        token: bearer token, or empty.
        certificate: client certificate chain and key as PEM, or two times empty.
        key: see certificate.
        lifetime: seconds until it must be asked again; infinite for what does not expire.
    """

    token: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    lifetime: float = float("inf")


class TokenSource:
    """The current credential of one cluster.

    Args:
        credential: where it comes from.
        server: address of the cluster, told to plugins that ask for it.
        ca_pem: its CA, likewise.
        on_certificate: called with (certificate, key) whenever a client certificate is new.
        clock: monotonic seconds.

    Attributes:
        authorization: value of the Authorization header; empty when a client certificate speaks for us.
        certificate: client certificate and key in force (PEM), or two times empty.
    """

    def __init__(
        self,
        credential: Credential,
        *,
        server: str = "",
        ca_pem: bytes | None = None,
        on_certificate: Callable[[bytes, bytes], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.authorization = ""
        self._credential = credential
        self._server, self._ca_pem = server, ca_pem
        self._on_certificate = on_certificate
        self._clock = clock
        self._lock = asyncio.Lock()
        self._stale_at = -1.0
        self._expires_at = -1.0
        self._pause_until = -1.0
        self._failure: CredentialError | None = None
        self.certificate = (b"", b"")

    @property
    def fresh(self) -> bool:
        """Whether `authorization` can be used as it is."""
        return self._clock() < self._stale_at

    async def refresh(self) -> str:
        """Fetch the credential unless it is fresh by now.

        Returns:
            The Authorization header (may be empty, see the class).

        Raises:
            CredentialError: it cannot be had and the last one has expired.
        """
        async with self._lock:
            if not self.fresh:
                await self._fetch()
        return self.authorization

    def forget(self, rejected: str) -> None:
        """Take note that the server answered 401.

        Args:
            rejected: the header that the request carried; a newer one is not thrown away for it.
        """
        if rejected == self.authorization and self._clock() >= self._pause_until:
            self._stale_at = self._expires_at = -1.0

    def replace(self, credential: Credential) -> None:
        """Go on with another credential for the same cluster; takes effect with the next request."""
        if credential != self._credential:
            self._credential = credential
            self._stale_at = self._expires_at = self._pause_until = -1.0
            self._failure = None

    async def _fetch(self) -> None:
        now = self._clock()
        if now < self._pause_until and self._failure is not None:
            raise self._failure
        credential = self._credential
        try:
            material = await resolve(credential, server=self._server, ca_pem=self._ca_pem)
            self._take_certificate(material)
        except CredentialError as error:
            self._failure, self._pause_until = error, self._clock() + PAUSE
            if self._clock() < self._expires_at:
                # The old one still holds; try again after the pause, not with every request.
                self._stale_at = min(self._pause_until, self._expires_at)
                return
            raise
        if credential is not self._credential:
            # Replaced while it was being fetched: what came is of the past.
            await self._fetch()
            return
        header = f"Bearer {material.token}" if material.token else ""
        now = self._clock()
        if header == self.authorization:
            self._pause_until = now + PAUSE
        self.authorization, self._failure = header, None
        self._expires_at = now + material.lifetime
        skew = SKEW if material.lifetime > 5 * SKEW else material.lifetime / 5
        self._stale_at = now + max(min(material.lifetime - skew, _interval(credential)), 1.0)

    def _take_certificate(self, material: Material) -> None:
        pair = (material.certificate, material.key)
        if pair[0] and pair != self.certificate and self._on_certificate is not None:
            self._on_certificate(*pair)
            self.certificate = pair


async def resolve(credential: Credential, *, server: str = "", ca_pem: bytes | None = None) -> Material:
    """Read, run or copy a credential, once.

    Args:
        credential: where it comes from.
        server: address of the cluster, for plugins.
        ca_pem: its CA, for plugins.

    Returns:
        The material; at least a token or a certificate.

    Raises:
        CredentialError: a file or plugin gives nothing usable.
    """
    certificate, key, lifetime = credential.certificate, credential.key, float("inf")
    if credential.certificate_file and credential.key_file:
        certificate, key = await asyncio.to_thread(
            lambda: (_read(credential.certificate_file), _read(credential.key_file))
        )
    token = credential.token
    if credential.token_file:
        token = (await asyncio.to_thread(_read, credential.token_file)).decode("utf-8", "replace").strip()
    if credential.plugin is not None and not token:
        answer = await run_plugin(credential.plugin, server=server, ca_pem=ca_pem)
        token = answer.token
        certificate, key = (answer.certificate, answer.key) if answer.certificate else (certificate, key)
        lifetime = answer.lifetime
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise CredentialError("the token holds characters that a header cannot carry")
    if not token and not certificate:
        raise CredentialError("neither a token nor a client certificate results from the configuration")
    return Material(token=token, certificate=certificate, key=key, lifetime=lifetime)


def require(credential: Credential) -> Credential:
    """The credential itself, or a refusal when it could never prove anything.

    Raises:
        ConfigError: nothing is given: requests would go out anonymously.
    """
    if not credential:
        raise ConfigError(
            "the kubeconfig names no credential: "
            "give the user a token, tokenFile, client certificate or exec plugin"
        )
    return credential


def _interval(credential: Credential) -> float:
    return FILE_INTERVAL if credential.token_file or credential.certificate_file else float("inf")


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_TOKEN_FILE + 1)
    except OSError as error:
        raise CredentialError(f"cannot read the credential file {path}: {error.strerror}") from None
    if not data.strip() or len(data) > MAX_TOKEN_FILE:
        raise CredentialError(f"the credential file {path} is {'empty' if not data.strip() else 'too large'}")
    return data
