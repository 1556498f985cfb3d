"""Flags of the web half as the command line knows them: names, defaults, help (spec 4.1)."""

from collections.abc import Callable
from typing import Final

import click

from bind_agent.backend.oidc.config import DEFAULT_SCOPES
from bind_agent.backend.options.types import F, option

DEFAULT_LISTEN: Final = "127.0.0.1:8080"
DEFAULT_RATE: Final = 20
DEFAULT_CONNECTIONS: Final = 1000
DEFAULT_CONNECTIONS_EACH: Final = 100
"""A browser opens six, and a network behind one address has more than one browser."""

OPTIONS: Final[tuple[Callable[[F], F], ...]] = (
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

NAMES: Final = (
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
"""Parameters that these flags become."""
