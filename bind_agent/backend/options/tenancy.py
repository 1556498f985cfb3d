"""Flags about tenants and how they reach the provider (spec 4.1)."""

import functools
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from bind_agent.api import goduration, keys, naming
from bind_agent.backend.options.types import Duration, F, not_empty, option
from bind_agent.backend.tenancy import address
from bind_agent.backend.tenancy.address import External
from bind_agent.backend.tenancy.credentials import DEFAULT_TTL, LONGEST_TTL, SHORTEST_TTL
from bind_agent.backend.tenancy.identity import MAX_ISSUER, MAX_PREFIX
from bind_agent.backend.tenancy.reaper import Limits

SHORTEST_SILENCE: Final = timedelta(hours=1)
LONGEST_SILENCE: Final = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Tenancy:
    """Flags about tenants, shared by `serve` and `tenant`.

    Attributes:
        namespace_prefix: of cluster namespaces.
        pretty_name: of the provider, shown to consumers.
        external: how consumers reach the API server.
        token_ttl: wished life of tokens.
        legacy_issuer: the issuer that vouches for tenants of a Go backend; empty: the command line's.
    """

    namespace_prefix: str = keys.DEFAULT_NAMESPACE_PREFIX
    pretty_name: str = "Example Backend"
    external: External = field(default_factory=External)
    token_ttl: timedelta = DEFAULT_TTL
    legacy_issuer: str = ""


def tenancy_options(command: F) -> F:
    """Add the flags of `Tenancy` and pass them as `tenancy`."""

    @option(
        "--namespace-prefix",
        default=keys.DEFAULT_NAMESPACE_PREFIX,
        show_default=True,
        help="Prefix of the tenants' namespaces.",
    )
    @option(
        "--pretty-name",
        default="Example Backend",
        show_default=True,
        help="Name of the provider shown to consumers.",
    )
    @option("--external-address", default="", help="https URL at which consumers reach this API server.")
    @option("--external-ca-file", default="", help="PEM file with the CA of that address.")
    @option(
        "--external-server-name", default="", help="Name in its certificate, if it is not the URL's host."
    )
    @option(
        "--token-ttl",
        type=Duration(SHORTEST_TTL, LONGEST_TTL),
        default=goduration.format(DEFAULT_TTL),
        show_default=True,
        help="Life of a tenant's token; it is renewed at about half of it.",
    )
    @option(
        "--legacy-issuer",
        default="",
        metavar="URL",
        help="Issuer of the Go backend that was replaced: its tenants are those of this issuer's accounts.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        namespace_prefix: str,
        pretty_name: str,
        external_address: str,
        external_ca_file: str,
        external_server_name: str,
        token_ttl: timedelta,
        legacy_issuer: str,
        **rest: Any,
    ) -> Any:
        tenancy = Tenancy(
            namespace_prefix=check_prefix(namespace_prefix),
            pretty_name=not_empty(pretty_name, "--pretty-name"),
            external=external(external_address, external_ca_file, external_server_name),
            token_ttl=token_ttl,
            legacy_issuer=check_issuer(legacy_issuer, "--legacy-issuer"),
        )
        return command(*args, tenancy=tenancy, **rest)

    return wrapped  # type: ignore[return-value]


def reaper_options(command: F) -> F:
    """Add the flags of `Limits` and pass them as `reaper`."""
    duration = Duration(SHORTEST_SILENCE, LONGEST_SILENCE)

    @option(
        "--revoke-unseen-after",
        type=duration,
        default=None,
        help="Revoke consumers without a heartbeat for so long; default: never.",
    )
    @option(
        "--delete-unseen-after",
        type=duration,
        default=None,
        help="Delete consumers that were revoked for their silence, and all that they have, after so long"
        " without a heartbeat; default: never.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        revoke_unseen_after: timedelta | None,
        delete_unseen_after: timedelta | None,
        **rest: Any,
    ) -> Any:
        return command(*args, reaper=reaper_limits(revoke_unseen_after, delete_unseen_after), **rest)

    return wrapped  # type: ignore[return-value]


def reaper_limits(revoke_after: timedelta | None, delete_after: timedelta | None) -> Limits:
    """Check `--revoke-unseen-after` and `--delete-unseen-after` together.

    Raises:
        click.BadParameter: deleting without revoking before.
    """
    if delete_after is not None and (revoke_after is None or revoke_after >= delete_after):
        raise click.BadParameter(
            "consumers are revoked before they are deleted: give a shorter --revoke-unseen-after as well",
            param_hint="--delete-unseen-after",
        )
    return Limits(revoke_after, delete_after)


def check_prefix(prefix: str) -> str:
    """Check `--namespace-prefix`.

    Raises:
        click.BadParameter: it is empty, too long, or cannot begin a namespace's name.
    """
    hint = "--namespace-prefix"
    not_empty(prefix, hint)
    if len(prefix) > MAX_PREFIX or not naming.is_label(f"{prefix}x"):
        raise click.BadParameter(
            f"{prefix!r} cannot begin the name of a namespace: use at most {MAX_PREFIX} lower-case"
            " letters, digits and"
            " dashes",
            param_hint=hint,
        )
    return prefix


def check_issuer(issuer: str, hint: str) -> str:
    """Check the URL of an issuer, which is compared letter for letter with what ID tokens say.

    Args:
        issuer: the flag's value; empty for none.
        hint: the flag's name.

    Raises:
        click.BadParameter: no URL that an issuer can have.
    """
    if not issuer:
        return ""
    try:
        parts = urlsplit(issuer)
        usable = parts.scheme in {"https", "http"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or len(issuer) > MAX_ISSUER or not issuer.isprintable():
        raise click.BadParameter(
            f"{issuer!r} is no issuer: write its URL exactly as it stands in `iss` of its tokens",
            param_hint=hint,
        )
    return issuer


def external(server: str, ca_file: str, server_name: str) -> External:
    """Check the `--external-*` flags and read the CA.

    Raises:
        click.BadParameter: one of them cannot be used.
    """
    hint = "--external-address"
    try:
        checked = address.check_address(server) if server else ""
        hint = "--external-ca-file"
        ca_pem = address.check_ca(Path(ca_file).read_bytes()) if ca_file else b""
    except address.AddressError as error:
        raise click.BadParameter(str(error), param_hint=hint) from None
    except OSError as error:
        raise click.BadParameter(f"cannot read {ca_file}: {error.strerror}", param_hint=hint) from None
    return External(checked, ca_pem, server_name)
