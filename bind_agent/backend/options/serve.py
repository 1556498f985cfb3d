"""Flags of `serve` (spec 4.1)."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import click

from bind_agent import claim_flag, goflags
from bind_agent.api import goduration, guards
from bind_agent.api.export import CLUSTER, ISOLATION_PREFIXED, ISOLATIONS, NAMESPACED
from bind_agent.backend import names
from bind_agent.backend.controllers.request_plan import FAIL_AFTER, PRUNE_AFTER
from bind_agent.backend.exports import Policy
from bind_agent.backend.options.connection import Connection, connection_options
from bind_agent.backend.options.control_plane import ControlPlane, control_plane_options
from bind_agent.backend.options.tenancy import Tenancy, reaper_options, tenancy_options
from bind_agent.backend.options.types import Duration, Word, option, parse_address
from bind_agent.backend.options.web import WebOptions, web_options
from bind_agent.backend.tenancy.reaper import Limits

DEFAULT_LEASE_NAMESPACE: Final = "kube-system"


@dataclass(frozen=True, slots=True)
class Serve:
    """Flags of `serve`.

    Attributes:
        connection: see there.
        tenancy: see there.
        control_plane: see there.
        reaper: how long consumers may stay silent.
        web: the web half; None without one.
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
    control_plane: ControlPlane = field(default_factory=ControlPlane)
    reaper: Limits = field(default_factory=Limits)
    web: WebOptions | None = None
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

    @property
    def policy(self) -> Policy:
        """How this backend exports."""
        return Policy(self.consumer_scope, self.isolation, self.claimable)


def serve_command(run: Callable[[Serve], None]) -> click.Command:
    """The command `serve`.

    Args:
        run: called with the checked flags.
    """

    @click.command(name="serve", cls=goflags.GoCommand)
    @connection_options
    @tenancy_options
    @reaper_options
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
        claim_flag.FLAG,
        multiple=True,
        type=claim_flag.ClaimedKind(),
        metavar=claim_flag.METAVAR,
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
    @web_options
    # Below the web's flags, which want to know whether this mode is on.
    @control_plane_options
    def serve(
        *,
        connection: Connection,
        tenancy: Tenancy,
        reaper: Limits,
        control_plane: ControlPlane,
        allow_claim: tuple[str, ...],
        health_address: str,
        web: WebOptions | None,
        **values: Any,
    ) -> None:
        """Serve the login pages, and run the controllers: exports, namespaces, rights, credentials."""
        host, port = parse_address(health_address, "--health-address")
        run(
            Serve(
                connection=connection,
                tenancy=tenancy,
                control_plane=control_plane,
                reaper=reaper,
                web=web,
                claimable=claim_flag.claimable(allow_claim),
                identity=os.environ.get("POD_NAME", ""),
                health_host=host,
                health_port=port,
                **values,
            )
        )

    return serve
