"""Flags of every command that talks to the provider."""

import functools
from dataclasses import dataclass
from typing import Any

import click

from bind_agent import goflags
from bind_agent.backend.options.types import F, option


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
    @goflags.verbosity(2, hidden=True)
    @goflags.log_flags
    @functools.wraps(command)
    def wrapped(
        *args: Any, kubeconfig: str | None, log_level: str, log_format: str, verbosity: int, **rest: Any
    ) -> Any:
        log_level = goflags.log_level(log_level, verbosity)
        form = "console" if log_format == "text" else log_format
        return command(*args, connection=Connection(kubeconfig, log_level, form), **rest)

    return wrapped  # type: ignore[return-value]
