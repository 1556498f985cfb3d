"""Flags of the web half (spec 4.1): login, cookies, listener. Everything is checked before anything listens."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlsplit

import click

from bind_agent.backend.access import Kind
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.options.types import F
from bind_agent.backend.options.web_flags import (
    DEFAULT_CONNECTIONS,
    DEFAULT_CONNECTIONS_EACH,
    DEFAULT_RATE,
    NAMES,
    OPTIONS,
)
from bind_agent.backend.options.web_values import (
    auto_select,
    check_callback,
    keys,
    line,
    listen_address,
    oidc,
    optional_url,
    tls,
)

SIGNING_SIZES: Final = (32, 64)
ENCRYPTION_SIZES: Final = (16, 24, 32)

_REQUIRED: Final = {
    "oidc_issuer_url": "--oidc-issuer-url",
    "oidc_issuer_client_id": "--oidc-issuer-client-id",
    "oidc_callback_url": "--oidc-callback-url",
}
_OIDC: Final = (*_REQUIRED, "oidc_issuer_client_secret", "oidc_authorize_url")


@dataclass(frozen=True, slots=True)
class CookieKeys:
    """Keys of operators for what browsers keep for us; the first of each writes, all read.

    Attributes:
        signing: 32 or 64 bytes each, at least one.
        encryption: 16, 24 or 32 bytes each; may be empty, cookies are encrypted either way.
    """

    signing: tuple[bytes, ...] = field(repr=False)
    encryption: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Checked flags of the web half.

    Attributes:
        oidc: the issuer, and how we are registered there.
        cookie_keys: see there.
        authorize_url: advertised instead of `<own origin>/authorize`; empty for that.
        listen_host: address listened on.
        listen_port: its port; 0 picks a free one.
        tls_cert_file: certificate chain; empty without TLS.
        tls_key_file: its key.
        admin_groups: groups whose members see the pages of operators.
        admin_users: subjects or verified addresses of operators.
        plain_get_bind: GET `/bind` binds without proof of a click on our own page.
        trusted_proxies: how many proxies of one's own stand in front; their X-Forwarded-* headers count.
        rate_limit: requests a second of one client; 0 for no limit.
        max_connections: open at once, of everybody together.
        max_connections_per_address: open at once, of one client; 0 for no bound.
        auto_select: bound right after each login; for tests of browsers on loopback only.
    """

    oidc: OidcConfig
    cookie_keys: CookieKeys = field(repr=False)
    authorize_url: str = ""
    listen_host: str = "127.0.0.1"
    listen_port: int = 8080
    tls_cert_file: str = ""
    tls_key_file: str = ""
    admin_groups: tuple[str, ...] = ()
    admin_users: tuple[str, ...] = ()
    plain_get_bind: bool = False
    trusted_proxies: int = 0
    rate_limit: int = DEFAULT_RATE
    max_connections: int = DEFAULT_CONNECTIONS
    max_connections_per_address: int = DEFAULT_CONNECTIONS_EACH
    auto_select: Kind | None = None

    @property
    def callback_url(self) -> str:
        """The registered redirect URI, `https://<host>/callback`; http on loopback hosts only."""
        return self.oidc.callback_url

    @property
    def origin(self) -> str:
        """Scheme, host and port under which browsers see us."""
        parts = urlsplit(self.callback_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def secure(self) -> bool:
        """Whether browsers see us over TLS; if not, this is a laptop or a test."""
        return urlsplit(self.callback_url).scheme == "https"


def web_options(command: F) -> F:
    """Add the flags of `WebOptions` and pass them as `web`; None when there is no web half."""

    @functools.wraps(command)
    def wrapped(*args: Any, **values: Any) -> Any:
        own = {name: values.pop(name) for name in NAMES}
        web = check(own, control_plane=bool(values.get("control_plane_mode", False)))
        return command(*args, web=web, **values)

    decorated = cast("F", wrapped)
    for one in reversed(OPTIONS):
        decorated = one(decorated)
    return decorated


def check(values: Mapping[str, Any], *, control_plane: bool) -> WebOptions | None:
    """Check the flags together.

    Args:
        values: by parameter name.
        control_plane: control plane mode, where the web half is on only if an `--oidc-*` flag is given.

    Returns:
        The checked flags, or None when nothing listens (W-B15).

    Raises:
        click.UsageError: flags are missing or contradict each other.
        click.BadParameter: a flag cannot be used.
    """
    secret = values["oidc_issuer_client_secret"] or line(
        values["oidc_issuer_client_secret_file"], "--oidc-issuer-client-secret-file"
    )
    given = {**values, "oidc_issuer_client_secret": secret}
    if not values["web"] or (control_plane and not any(given[name] for name in _OIDC)):
        return None
    signing = keys(values, "cookie_signing_key", SIGNING_SIZES)
    missing = [flag for name, flag in _REQUIRED.items() if not values[name].strip()]
    if not signing:
        missing.append("--cookie-signing-key")
    if missing:
        raise click.UsageError(
            f"the login pages need {', '.join(missing)}; without pages add --no-web, and add tenants with"
            " `bind-backend tenant add NAME --cluster-id ID`"
        )
    callback = check_callback(values["oidc_callback_url"])
    host, port = listen_address(values["listen_address"], values["listen_ip"], values["listen_port"])
    cert, key = tls(values["tls_cert_file"], values["tls_key_file"])
    return WebOptions(
        oidc=oidc(values, secret, callback),
        authorize_url=optional_url(values["oidc_authorize_url"], "--oidc-authorize-url"),
        cookie_keys=CookieKeys(signing, keys(values, "cookie_encryption_key", ENCRYPTION_SIZES)),
        listen_host=host,
        listen_port=port,
        tls_cert_file=cert,
        tls_key_file=key,
        admin_groups=tuple(values["admin_group"]),
        admin_users=tuple(values["admin_user"]),
        plain_get_bind=values["compat_plain_get_bind"],
        trusted_proxies=values["trusted_proxies"],
        rate_limit=values["rate_limit"],
        max_connections=values["max_connections"],
        max_connections_per_address=values["max_connections_per_address"],
        auto_select=auto_select(values["testing_auto_select"], callback),
    )
