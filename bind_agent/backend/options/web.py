"""Flags of the web half (spec 4.1): login, cookies, listener. Everything is checked before anything listens."""

import functools
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import SplitResult, urlsplit

import click

from bind_agent.api import encoding, naming
from bind_agent.api.encoding import EncodingError
from bind_agent.backend.access import Kind
from bind_agent.backend.oidc.config import DEFAULT_SCOPES, OidcConfig
from bind_agent.backend.options.types import F, option, parse_address

SIGNING_SIZES: Final = (32, 64)
ENCRYPTION_SIZES: Final = (16, 24, 32)
CALLBACK_PATH: Final = "/callback"
LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
DEFAULT_LISTEN: Final = "127.0.0.1:8080"
DEFAULT_RATE: Final = 20
DEFAULT_CONNECTIONS: Final = 1000
DEFAULT_CONNECTIONS_EACH: Final = 100
"""A browser opens six, and a network behind one address has more than one browser."""

_MAX_FILE: Final = 64 * 1024
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


_OPTIONS: Final[tuple[Callable[[F], F], ...]] = (
    option("--web/--no-web", default=True, show_default=True, help="Serve the login pages."),
    option("--oidc-issuer-url", default="", help="URL of the OIDC issuer, as in its discovery document."),
    option("--oidc-issuer-client-id", default="", help="Client id at the issuer."),
    option("--oidc-issuer-client-secret", default="", help="Client secret; none for a public client."),
    option("--oidc-issuer-client-secret-file", default="", help="File with the client secret."),
    option("--oidc-callback-url", default="", help="Registered redirect URI, https://HOST/callback."),
    option(
        "--oidc-authorize-url", default="", help="Login URL to advertise; default https://HOST/authorize."
    ),
    option(
        "--oidc-scope",
        multiple=True,
        default=DEFAULT_SCOPES,
        show_default=True,
        help="A scope to ask for; may be repeated, openid is always asked for.",
    ),
    option("--oidc-groups-claim", default="groups", show_default=True, help="Claim with a person's groups."),
    option("--oidc-ca-file", default="", help="PEM file with the issuer's CA; default: the system's."),
    option(
        "--cookie-signing-key",
        multiple=True,
        metavar="BASE64",
        help="Key of 32 or 64 bytes; may be repeated, the first writes and all read.",
    ),
    option("--cookie-signing-key-file", default="", help="File with such keys, one a line."),
    option(
        "--cookie-encryption-key",
        multiple=True,
        metavar="BASE64",
        help="Further key of 16, 24 or 32 bytes; may be repeated, the first writes and all read.",
    ),
    option("--cookie-encryption-key-file", default="", help="File with such keys, one a line."),
    option("--listen-address", default="", help=f"Address of the web server.  [default: {DEFAULT_LISTEN}]"),
    option("--listen-ip", default="", hidden=True, help="Deprecated: use --listen-address."),
    option("--listen-port", default="", hidden=True, help="Deprecated: use --listen-address."),
    option("--tls-cert-file", default="", help="PEM file with the certificate chain; read again on change."),
    option("--tls-key-file", default="", help="PEM file with its private key."),
    option("--admin-group", multiple=True, help="Group whose members see the operators' pages."),
    option("--admin-user", multiple=True, help="Subject or verified address of an operator."),
    option(
        "--compat-plain-get-bind",
        is_flag=True,
        help="GET /bind binds without proof that the click came from our own page.",
    ),
    option(
        "--trusted-proxies",
        type=click.IntRange(0, 8),
        default=0,
        show_default=True,
        help="Number of own proxies in front whose X-Forwarded-For and -Proto count.",
    ),
    option(
        "--rate-limit",
        type=click.IntRange(0, 100_000),
        default=DEFAULT_RATE,
        show_default=True,
        help="Requests a second of one client address; 0 for no limit.",
    ),
    option(
        "--max-connections",
        type=click.IntRange(1, 100_000),
        default=DEFAULT_CONNECTIONS,
        show_default=True,
        help="Connections that are open at once; further ones are closed.",
    ),
    option(
        "--max-connections-per-address",
        type=click.IntRange(0, 100_000),
        default=DEFAULT_CONNECTIONS_EACH,
        show_default=True,
        help="Of these, those of one client address; 0 for no bound. Not looked at behind --trusted-proxies.",
    ),
    option("--testing-auto-select", default="", hidden=True, help="RESOURCE.GROUP bound after each login."),
)

_NAMES: Final = (
    "web",
    "oidc_issuer_url",
    "oidc_issuer_client_id",
    "oidc_issuer_client_secret",
    "oidc_issuer_client_secret_file",
    "oidc_callback_url",
    "oidc_authorize_url",
    "oidc_scope",
    "oidc_groups_claim",
    "oidc_ca_file",
    "cookie_signing_key",
    "cookie_signing_key_file",
    "cookie_encryption_key",
    "cookie_encryption_key_file",
    "listen_address",
    "listen_ip",
    "listen_port",
    "tls_cert_file",
    "tls_key_file",
    "admin_group",
    "admin_user",
    "compat_plain_get_bind",
    "trusted_proxies",
    "rate_limit",
    "max_connections",
    "max_connections_per_address",
    "testing_auto_select",
)


def web_options(command: F) -> F:
    """Add the flags of `WebOptions` and pass them as `web`; None when there is no web half."""

    @functools.wraps(command)
    def wrapped(*args: Any, **values: Any) -> Any:
        own = {name: values.pop(name) for name in _NAMES}
        web = check(own, control_plane=bool(values.get("control_plane_mode", False)))
        return command(*args, web=web, **values)

    decorated = cast("F", wrapped)
    for one in reversed(_OPTIONS):
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
    secret = values["oidc_issuer_client_secret"] or _line(
        values["oidc_issuer_client_secret_file"], "--oidc-issuer-client-secret-file"
    )
    given = {**values, "oidc_issuer_client_secret": secret}
    if not values["web"] or (control_plane and not any(given[name] for name in _OIDC)):
        return None
    signing = _keys(values, "cookie_signing_key", SIGNING_SIZES)
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
    cert, key = _tls(values["tls_cert_file"], values["tls_key_file"])
    return WebOptions(
        oidc=_oidc(values, secret, callback),
        authorize_url=_optional_url(values["oidc_authorize_url"], "--oidc-authorize-url"),
        cookie_keys=CookieKeys(signing, _keys(values, "cookie_encryption_key", ENCRYPTION_SIZES)),
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
        auto_select=_auto_select(values["testing_auto_select"], callback),
    )


def check_url(text: str, hint: str) -> str:
    """Check an address of ours or of the issuer.

    Raises:
        click.BadParameter: not an https URL, or http elsewhere than on this machine.
    """
    parts = _split(text)
    if parts is None:
        raise click.BadParameter(
            f"{text!r} is not an https URL with a host (http is for localhost only)", param_hint=hint
        )
    if parts.fragment or (hint == "--oidc-issuer-url" and parts.query):
        raise click.BadParameter(f"{text!r} must have no fragment and no query", param_hint=hint)
    return text.strip()


def check_callback(text: str) -> str:
    """Check the registered redirect URI.

    Raises:
        click.BadParameter: as above, or its path is another one than ours.
    """
    hint = "--oidc-callback-url"
    url = check_url(text, hint)
    parts = urlsplit(url)
    if parts.path != CALLBACK_PATH or parts.query:
        raise click.BadParameter(
            f"the path of {url} must be {CALLBACK_PATH}: the pages are served at the root of a host",
            param_hint=hint,
        )
    return url


def listen_address(address: str, ip: str, port: str) -> tuple[str, int]:
    """Host and port of the listener; the two deprecated flags count together when the first is given.

    Raises:
        click.BadParameter: not an address.
    """
    if ip:
        click.echo("--listen-ip and --listen-port are deprecated: use --listen-address", err=True)
        host = f"[{ip}]" if ":" in ip else ip
        return parse_address(f"{host}:{port or DEFAULT_LISTEN.rpartition(':')[2]}", "--listen-ip")
    return parse_address(address or DEFAULT_LISTEN, "--listen-address")


def decode_key(text: str, sizes: tuple[int, ...], hint: str) -> bytes:
    """A cookie key of its text; no message repeats it.

    Raises:
        click.BadParameter: not base64, or not of one of the sizes.
    """
    allowed = " or ".join(str(size) for size in sizes)
    how = f"make one with `openssl rand -base64 {max(sizes[:2])}`"
    try:
        key = encoding.from_base64(text)
    except EncodingError:
        raise click.BadParameter(f"the key is not base64: {how}", param_hint=hint) from None
    if len(key) not in sizes:
        raise click.BadParameter(
            f"the key has {len(key)} bytes, and {allowed} are needed: {how}", param_hint=hint
        )
    return key


def _oidc(values: Mapping[str, Any], secret: str, callback: str) -> OidcConfig:
    ca_file = values["oidc_ca_file"]
    try:
        if ca_file:
            ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise click.BadParameter(
            f"{ca_file} cannot be used: {error.strerror or error}", param_hint="--oidc-ca-file"
        ) from None
    try:
        return OidcConfig(
            issuer_url=check_url(values["oidc_issuer_url"], "--oidc-issuer-url"),
            client_id=values["oidc_issuer_client_id"].strip(),
            client_secret=secret,
            callback_url=callback,
            scopes=tuple(dict.fromkeys(("openid", *values["oidc_scope"]))),
            groups_claim=values["oidc_groups_claim"].strip(),
            ca_file=Path(ca_file) if ca_file else None,
        )
    except ValueError as error:
        raise click.UsageError(f"the --oidc-* flags: {error}") from None


def _keys(values: Mapping[str, Any], name: str, sizes: tuple[int, ...]) -> tuple[bytes, ...]:
    flag = "--" + name.replace("_", "-")
    lines = _read(values[f"{name}_file"], f"{flag}-file").splitlines() if values[f"{name}_file"] else []
    texts = [text for text in (*values[name], *lines) if text.strip()]
    return tuple(decode_key(text, sizes, flag) for text in texts)


def _split(text: str) -> SplitResult | None:
    """The parts of a usable URL."""
    try:
        parts = urlsplit(text.strip())
        fine = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    local = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not fine or parts.username is not None or parts.password is not None:
        return None
    return parts if parts.scheme == "https" or local else None


def _optional_url(text: str, hint: str) -> str:
    return check_url(text, hint) if text else ""


def _tls(cert: str, key: str) -> tuple[str, str]:
    """Both files or none, and a pair (Go never checks, W-B15)."""
    if not cert and not key:
        return "", ""
    if not cert or not key:
        given, lacking = ("--tls-cert-file", "--tls-key-file")[:: 1 if cert else -1]
        raise click.UsageError(f"{given} needs {lacking} as well")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password=_no_password)
    except OSError as error:
        raise click.BadParameter(
            f"{cert} and {key} cannot be used: {error.strerror or error}", param_hint="--tls-cert-file"
        ) from None
    return cert, key


def _no_password() -> str:
    """Instead of a prompt on the terminal."""
    return ""


def _auto_select(text: str, callback: str) -> Kind | None:
    if not text:
        return None
    hint = "--testing-auto-select"
    if urlsplit(callback).hostname not in LOOPBACK_HOSTS:
        raise click.BadParameter(
            "binds without asking anybody, so it works on localhost only", param_hint=hint
        )
    plural, _, group = text.partition(".")
    if not naming.is_label(plural) or not group:
        raise click.BadParameter(f"{text!r} is not RESOURCE.GROUP", param_hint=hint)
    return Kind(group, plural)


def _line(path: str, hint: str) -> str:
    return _read(path, hint).strip() if path else ""


def _read(path: str, hint: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise click.BadParameter(f"{path} is larger than {_MAX_FILE} bytes", param_hint=hint)
        return data.decode()
    except OSError as error:
        raise click.BadParameter(f"cannot read {path}: {error.strerror}", param_hint=hint) from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{path} is not a text file", param_hint=hint) from None
