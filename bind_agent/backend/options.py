"""Flags of `bind-backend`, checked before anything starts (spec 4.1)."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from bind_agent.api import goduration, guards, keys, naming
from bind_agent.api.export import CLUSTER, ISOLATION_PREFIXED, ISOLATIONS, NAMESPACED
from bind_agent.backend import claims, names
from bind_agent.backend.controllers.request_plan import FAIL_AFTER, PRUNE_AFTER
from bind_agent.backend.tenancy import address
from bind_agent.backend.tenancy.address import External
from bind_agent.backend.tenancy.credentials import DEFAULT_TTL, LONGEST_TTL, SHORTEST_TTL
from bind_agent.backend.tenancy.identity import MAX_PREFIX

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_LEASE_NAMESPACE: Final = "kube-system"

WEB_FLAGS: Final = (
    "--oidc-issuer-client-id",
    "--oidc-issuer-client-secret",
    "--oidc-issuer-url",
    "--oidc-callback-url",
    "--oidc-authorize-url",
    "--cookie-signing-key",
    "--cookie-encryption-key",
    "--listen-address",
    "--listen-ip",
    "--listen-port",
    "--tls-cert-file",
    "--tls-key-file",
    "--testing-auto-select",
)
"""Flags of the web half. Known, so that a Go deployment's arguments get an answer that helps."""

GO_LOG_FLAGS: Final = (
    "--vmodule",
    "--log-flush-frequency",
    "--log-text-split-stream",
    "--log-text-info-buffer-size",
)
"""Logging flags of Go programs without a meaning here."""


class Duration(click.ParamType[timedelta]):
    """A duration as Go writes it, within bounds."""

    name = "duration"

    def __init__(self, least: timedelta, most: timedelta) -> None:
        """Set the bounds, both included."""
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Parse; `24h`, `30m`, `1h30m`."""
        if isinstance(value, timedelta):
            return value
        try:
            found = goduration.parse(str(value))
        except goduration.DurationError:
            self.fail(f"{value!r} is no duration: write for instance 24h or 90m", param, ctx)
        if not self._least <= found <= self._most:
            self.fail(
                f"{value} is not between {goduration.format(self._least)} and"
                f" {goduration.format(self._most)}",
                param,
                ctx,
            )
        return found


class Word(click.ParamType[str]):
    """One of a few words in any case; the proper spelling comes out."""

    name = "word"

    def __init__(self, words: tuple[str, ...]) -> None:
        """Set the words in their proper spelling."""
        self._words = words

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Shown in the help."""
        return "|".join(self._words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Normalise."""
        found = next((word for word in self._words if str(value).lower() == word.lower()), None)
        if found is None:
            self.fail(f"{value!r} is none of {', '.join(self._words)}", param, ctx)
        return found


@dataclass(frozen=True, slots=True)
class Connection:
    """Flags of every command that talks to the provider.

    Attributes:
        kubeconfig: path; None: standard loading rules, then in-cluster.
        log_level: `debug`, `info`, `warning` or `error`.
        log_format: `json`, `console` or `auto`.
    """

    kubeconfig: str | None = None
    log_level: str = "info"
    log_format: str = "auto"


@dataclass(frozen=True, slots=True)
class Tenancy:
    """Flags about tenants, shared by `serve` and `tenant`.

    Attributes:
        namespace_prefix: of cluster namespaces.
        pretty_name: of the provider, shown to consumers.
        external: how consumers reach the API server.
        token_ttl: wished life of tokens.
    """

    namespace_prefix: str = keys.DEFAULT_NAMESPACE_PREFIX
    pretty_name: str = "Example Backend"
    external: External = field(default_factory=External)
    token_ttl: timedelta = DEFAULT_TTL


@dataclass(frozen=True, slots=True)
class Serve:
    """Flags of `serve`.

    Attributes:
        connection: see there.
        tenancy: see there.
        consumer_scope: `Namespaced` or `Cluster`.
        isolation: of cluster-scoped resources.
        claimable: group resources that templates may claim.
        install_crds: write CRDs where allowed.
        leader_elect: False runs without a Lease, for a single process under a supervisor of its own.
        lease_name: of the leader Lease.
        lease_namespace: where it is.
        identity: this process among its replicas; made up when empty.
        health_host: address of the health and metrics server.
        health_port: its port; 0 picks a free one.
        workers: keys of one kind worked on at once.
        fail_after: age at which a request that cannot be met fails.
        prune_after: age at which an ended request is removed.
    """

    connection: Connection = field(default_factory=Connection)
    tenancy: Tenancy = field(default_factory=Tenancy)
    consumer_scope: str = NAMESPACED
    isolation: str = ISOLATION_PREFIXED
    claimable: frozenset[str] = guards.CLAIMABLE
    install_crds: bool = True
    leader_elect: bool = True
    lease_name: str = names.LEASE
    lease_namespace: str = DEFAULT_LEASE_NAMESPACE
    identity: str = ""
    health_host: str = "0.0.0.0"  # noqa: S104 - probes come from the node
    health_port: int = 8081
    workers: int = 8
    fail_after: timedelta = FAIL_AFTER
    prune_after: timedelta = PRUNE_AFTER


def option(*flags: str, **settings: Any) -> Callable[[F], F]:
    """A click option that can also be given as `BIND_BACKEND_<FLAG>`."""
    flag = max(flags, key=len).split("/", maxsplit=1)[0].lstrip("-")
    settings.setdefault("envvar", "BIND_BACKEND_" + flag.upper().replace("-", "_"))
    return click.option(*flags, **settings)


def connection_options(command: F) -> F:
    """Add the flags of `Connection` and pass them as `connection`."""

    @option(
        "--kubeconfig",
        help="Kubeconfig of the provider; default: $KUBECONFIG, ~/.kube/config, then in-cluster.",
    )
    @option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="The least severe messages shown.",
    )
    @option(
        "--logging-format",
        "log_format",
        type=click.Choice(["auto", "json", "text"]),
        default="auto",
        show_default=True,
        help="Format of the log.",
    )
    @click.option("-v", "verbosity", default="2", hidden=True, metavar="N")
    @functools.wraps(command)
    def wrapped(
        *args: Any, kubeconfig: str | None, log_level: str, log_format: str, verbosity: str, **rest: Any
    ) -> Any:
        # pflag takes `-v=4`, click hands the sign through.
        level = verbosity.removeprefix("=")
        if not level.isdecimal():
            raise click.BadParameter(f"{level!r} is no number", param_hint="-v")
        if int(level) >= 4 and log_level == "info":
            log_level = "debug"
        form = "console" if log_format == "text" else log_format
        return command(*args, connection=Connection(kubeconfig, log_level, form), **rest)

    return wrapped  # type: ignore[return-value]


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
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        namespace_prefix: str,
        pretty_name: str,
        external_address: str,
        external_ca_file: str,
        external_server_name: str,
        token_ttl: timedelta,
        **rest: Any,
    ) -> Any:
        tenancy = Tenancy(
            namespace_prefix=check_prefix(namespace_prefix),
            pretty_name=_not_empty(pretty_name, "--pretty-name"),
            external=external(external_address, external_ca_file, external_server_name),
            token_ttl=token_ttl,
        )
        return command(*args, tenancy=tenancy, **rest)

    return wrapped  # type: ignore[return-value]


def check_prefix(prefix: str) -> str:
    """Check `--namespace-prefix`.

    Raises:
        click.BadParameter: it is empty, too long, or cannot begin a namespace's name.
    """
    hint = "--namespace-prefix"
    _not_empty(prefix, hint)
    if len(prefix) > MAX_PREFIX or not naming.is_label(f"{prefix}x"):
        raise click.BadParameter(
            f"{prefix!r} cannot begin the name of a namespace: use at most {MAX_PREFIX} lower-case"
            " letters, digits and"
            " dashes",
            param_hint=hint,
        )
    return prefix


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


def claimable(extra: tuple[str, ...]) -> frozenset[str]:
    """Kinds that templates may claim: the default ones and those of `--allow-claim`.

    Raises:
        click.BadParameter: one of them is no kind, or one that can never be claimed.
    """
    try:
        return guards.CLAIMABLE | {str(claims.parse_kind(one)) for one in extra}
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--allow-claim") from None


def parse_address(text: str) -> tuple[str, int]:
    """Split `host:port`.

    Raises:
        click.BadParameter: not an address.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise click.BadParameter(
            f"{text!r} is not host:port, for instance 127.0.0.1:8081", param_hint="--health-address"
        )
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - an empty host means every address


def serve_command(run: Callable[[Serve], None]) -> click.Command:
    """The command `serve`.

    Args:
        run: called with the checked flags.
    """

    @click.command(name="serve")
    @connection_options
    @tenancy_options
    @option(
        "--consumer-scope",
        type=Word((NAMESPACED, CLUSTER)),
        default=NAMESPACED,
        show_default=True,
        help="Whether konnectors watch exported kinds per namespace or in all of them.",
    )
    @option(
        "--cluster-scoped-isolation",
        "isolation",
        type=Word(ISOLATIONS),
        default=ISOLATION_PREFIXED,
        show_default=True,
        help="How cluster-scoped objects of tenants are told apart.",
    )
    @option(
        "--allow-claim",
        multiple=True,
        metavar="PLURAL[.GROUP]",
        help="A kind that templates may claim besides Secrets and ConfigMaps.",
    )
    @option(
        "--install-crds/--no-install-crds",
        default=True,
        show_default=True,
        help="Install and update our CRDs where allowed.",
    )
    @option(
        "--leader-elect/--no-leader-elect", default=True, show_default=True, help="Take part in the election."
    )
    @option("--lease-name", default=names.LEASE, show_default=True, help="Name of the leader Lease.")
    @option(
        "--lease-namespace",
        default=lambda: os.environ.get("POD_NAMESPACE") or DEFAULT_LEASE_NAMESPACE,
        show_default="$POD_NAMESPACE or kube-system",
        help="Namespace of the leader Lease.",
    )
    @option(
        "--health-address",
        default="0.0.0.0:8081",
        show_default=True,
        help="Address of /healthz, /readyz and /metrics.",
    )
    @option(
        "--workers",
        type=click.IntRange(1, 256),
        default=8,
        show_default=True,
        help="Objects of a kind worked on at once.",
    )
    @option(
        "--fail-requests-after",
        "fail_after",
        type=Duration(timedelta(seconds=1), timedelta(days=1)),
        default=goduration.format(FAIL_AFTER),
        show_default=True,
        help="Age at which a request that cannot be met fails.",
    )
    @option(
        "--prune-requests-after",
        "prune_after",
        type=Duration(timedelta(seconds=1), timedelta(days=30)),
        default=goduration.format(PRUNE_AFTER),
        show_default=True,
        help="Age at which an ended request is removed.",
    )
    @option("--no-web", is_flag=True, help="Do not serve the login pages (this release has none).")
    @_hidden(WEB_FLAGS, "web")
    @_hidden(GO_LOG_FLAGS, "ignored")
    def serve(
        *,
        connection: Connection,
        tenancy: Tenancy,
        allow_claim: tuple[str, ...],
        health_address: str,
        no_web: bool,
        web: list[str],
        ignored: list[str],
        **values: Any,
    ) -> None:
        """Run the controllers: exports, service namespaces, rights and credentials of tenants."""
        if web and not no_web:
            raise click.UsageError(
                f"this release has no web half, so {', '.join(web)} cannot be honoured: drop these"
                " flags or add"
                " --no-web, and add tenants with `bind-backend tenant add NAME --cluster-id ID`"
            )
        if not no_web:
            click.echo(
                "This release has no web half: add tenants with `bind-backend tenant add NAME"
                " --cluster-id ID`."
                " --no-web says that you know.",
                err=True,
            )
        host, port = parse_address(health_address)
        run(
            Serve(
                connection=connection,
                tenancy=tenancy,
                claimable=claimable(allow_claim),
                identity=os.environ.get("POD_NAME", ""),
                health_host=host,
                health_port=port,
                **values,
            )
        )

    return serve


def _hidden(flags: tuple[str, ...], into: str) -> Callable[[F], F]:
    """Accept flags without offering them; the names of those given are passed as one list."""

    def decorate(command: F) -> F:
        parameters = {flag: f"hidden_{flag.lstrip('-').replace('-', '_')}" for flag in flags}

        @functools.wraps(command)
        def wrapped(*args: Any, **values: Any) -> Any:
            given = [flag for flag, parameter in parameters.items() if values.pop(parameter) is not None]
            return command(*args, **{into: given}, **values)

        for flag, parameter in parameters.items():
            click.option(flag, parameter, default=None, hidden=True)(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def _not_empty(value: str, hint: str) -> str:
    if not value.strip():
        raise click.BadParameter("must not be empty", param_hint=hint)
    return value
