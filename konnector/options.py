"""Flags and environment of the konnector (spec 6.1), checked before anything starts."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import click

from bind_agent import claim_flag, goflags
from bind_agent._version import __version__
from bind_agent.api import guards, keys
from konnector.limit_options import Limits, limit_options, take_limits
from konnector.mode_options import ControlPlane, control_plane_options, take_control_plane

DEFAULT_LEASE_NAMESPACE = "kube-system"
HEARTBEAT_INTERVAL_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Options:
    """What one konnector process was told.

    Attributes:
        kubeconfig: path of the kubeconfig of the cluster with the bindings (the app cluster, or the control plane
            in control plane mode); None: standard loading rules, then in-cluster.
        lease_name: the Lease shared with any other konnector, also one of the Go project (spec 2.2).
        lease_namespace: where the Lease lives; also where kubeconfig Secrets are accepted from.
        identity: this process among its replicas.
        secret_namespace: the only namespace whose Secrets bindings may name (threat A47); in control plane mode
            that is the root namespace.
        health_host: address of the health and metrics server.
        health_port: its port; 0 picks a free one.
        workers: objects of one resource that are worked on at the same time.
        max_in_flight: requests to one API server at the same time.
        allow_private_addresses: also connect to providers (in control plane mode: to an app cluster) on private
            addresses.
        allow_loopback: likewise on this machine; None: only when the cluster with the bindings is reached like
            that itself, as in a playground.
        adopt: take provider-made objects over for every binding, those that a Go konnector had adopted included
            (spec 6.7.5). Off: an object that is not marked as ours is left alone, unless its binding says otherwise
            (design 4.2).
        claimable: group resources whose objects may be claimed (threat A23).
        heartbeat_interval: seconds advertised in the ClusterBinding; refreshed at half of it.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
        log_format: ``json``, or ``console`` for people.
        leader_elect: False runs without a Lease, for a single process under a supervisor of its own.
        limits: what the far cluster may cost.
        control_plane: set in control plane mode.
    """

    kubeconfig: str | None = None
    lease_name: str = keys.LEASE
    lease_namespace: str = DEFAULT_LEASE_NAMESPACE
    identity: str = ""
    secret_namespace: str = keys.CONSUMER_NAMESPACE
    health_host: str = "0.0.0.0"  # noqa: S104 - probes come from the node
    health_port: int = 8080
    workers: int = 32
    max_in_flight: int = 64
    allow_private_addresses: bool = True
    allow_loopback: bool | None = None
    adopt: bool = False
    claimable: frozenset[str] = guards.CLAIMABLE
    heartbeat_interval: float = HEARTBEAT_INTERVAL_SECONDS
    log_level: str = "info"
    log_format: Literal["json", "console"] = "json"
    leader_elect: bool = True
    limits: Limits = field(default_factory=Limits)
    control_plane: ControlPlane | None = None


def default_identity() -> str:
    """The pod's name, else a random number as the Go konnector takes one."""
    return os.environ.get("POD_NAME") or str(secrets.randbits(31))


def default_lease_namespace(control_plane: ControlPlane | None = None) -> str:
    """The pod's namespace, else ``kube-system`` (spec 6.1).

    In control plane mode it is else the root namespace: the roles of that mode allow Leases only there (spec 5.3).
    """
    fallback = control_plane.root_namespace if control_plane else DEFAULT_LEASE_NAMESPACE
    return os.environ.get("POD_NAMESPACE") or fallback


def command(run: Callable[[Options], None]) -> click.Command:
    """The konnector's command line.

    Args:
        run: called with the checked options.
    """

    @click.command(
        name="konnector",
        cls=goflags.GoCommand,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    @click.option(
        "--kubeconfig",
        help="Kubeconfig of the app cluster (in control plane mode: of the control plane cluster); default: "
        "$KUBECONFIG, then in-cluster.",
    )
    @click.option("--lease-name", default=keys.LEASE, show_default=True, help="Name of the leader Lease.")
    @click.option(
        "--lease-namespace",
        default=None,
        show_default="$POD_NAMESPACE, else kube-system, in control plane mode the root namespace",
        help="Namespace of the leader Lease.",
    )
    @click.option(
        "--leader-elect/--no-leader-elect",
        default=True,
        show_default=True,
        help="Take part in the leader election.",
    )
    @click.option(
        "--secret-namespace",
        default=None,
        show_default=f"{keys.CONSUMER_NAMESPACE}, in control plane mode the root namespace",
        help="The namespace that kubeconfig Secrets of bindings are accepted from.",
    )
    @control_plane_options
    @click.option(
        "--health-address",
        default="0.0.0.0:8080",
        show_default=True,
        help="Address of /healthz, /readyz, /metrics.",
    )
    @click.option(
        "--workers",
        type=click.IntRange(1, 512),
        default=32,
        show_default=True,
        help="Objects of one resource worked on at once.",
    )
    @click.option(
        "--max-in-flight",
        type=click.IntRange(1, 1024),
        default=64,
        show_default=True,
        help="Requests to one API server at once.",
    )
    @limit_options
    @click.option(
        "--allow-private-providers/--refuse-private-providers",
        "allow_private_addresses",
        default=True,
        show_default=True,
        help="Connect to providers (in control plane mode: to an app cluster) on private addresses.",
    )
    @click.option(
        "--allow-loopback-providers/--refuse-loopback-providers",
        "allow_loopback",
        default=None,
        help="Connect to providers (in control plane mode: to an app cluster) on this machine; default: only when "
        "the cluster with the bindings is there too.",
    )
    @click.option(
        "--adopt/--no-adopt",
        default=False,
        show_default=True,
        help="Take objects over that the provider made in our service namespaces, and those that a Go konnector had "
        "adopted there, for every binding, as that one does; else only for bindings whose conflict policy is Adopt.",
    )
    @click.option(
        claim_flag.FLAG,
        multiple=True,
        type=claim_flag.ClaimedKind(),
        metavar=claim_flag.METAVAR,
        help="A kind that may be claimed besides Secrets and ConfigMaps; may be repeated. Claims still need consent.",
    )
    @click.option(
        "--heartbeat-interval",
        type=click.FloatRange(1, 86400),
        default=HEARTBEAT_INTERVAL_SECONDS,
        show_default=True,
        help="Seconds between the heartbeats that the provider is told to expect.",
    )
    @click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="The least severe messages shown.",
    )
    @click.option(
        "--logging-format",
        "log_format",
        type=click.Choice(["json", "text"]),
        default="json",
        show_default=True,
        help="Format of the log.",
    )
    @goflags.verbosity(2, hidden=True)
    @goflags.log_flags
    @click.version_option(__version__, prog_name="konnector")
    def konnector(
        health_address: str,
        verbosity: int,
        lease_namespace: str | None,
        allow_claim: tuple[str, ...],
        **values: Any,
    ) -> None:
        """Mirror bound objects between an app cluster and its providers.

        It runs on the app cluster and serves all its bindings. With --control-plane-mode it runs on the provider's
        cluster instead and serves the bindings of one namespace there, for one app cluster.
        """
        host, port = parse_address(health_address)
        values["log_format"] = "console" if values["log_format"] == "text" else "json"
        values["log_level"] = goflags.log_level(values["log_level"], verbosity)
        control_plane = take_control_plane(values)
        home = control_plane.root_namespace if control_plane else keys.CONSUMER_NAMESPACE
        values["secret_namespace"] = values["secret_namespace"] or home
        if control_plane is not None and values["secret_namespace"] != home:
            raise click.UsageError(
                "--secret-namespace is the root namespace in control plane mode: leave it out, or give "
                "--binding-root-namespace the same value"
            )
        run(
            Options(
                identity=default_identity(),
                lease_namespace=lease_namespace or default_lease_namespace(control_plane),
                health_host=host,
                health_port=port,
                limits=take_limits(values),
                control_plane=control_plane,
                claimable=claim_flag.claimable(allow_claim),
                **values,
            )
        )

    return konnector


def parse_address(text: str) -> tuple[str, int]:
    """Split ``host:port``.

    Raises:
        click.BadParameter: not an address; the message says what is expected.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is not host:port, for instance 127.0.0.1:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - an empty host means every address
