"""The flags of control plane mode (spec 5.6 and 6.1): all of them together, or none."""

# ruff: noqa: S105 - names of flags about Secrets, none of which is one

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import click

from bind_agent.api import keys, naming

_MODE: Final = "--control-plane-mode"
_SECRET_NAME: Final = "--app-cluster-kubeconfig-secret-name"
_SECRET_NAMESPACE: Final = "--app-cluster-kubeconfig-secret-namespace"
_SECRET_KEY: Final = "--app-cluster-kubeconfig-secret-key"
_ROOT: Final = "--binding-root-namespace"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What a konnector is told that runs on the provider's cluster, for one app cluster (spec 5.6).

    Attributes:
        root_namespace: holds the bindings; at the same time the tenant's cluster namespace.
        secret_namespace: of the Secret with the app cluster's kubeconfig.
        secret_name: its name.
        secret_key: which entry of it.
    """

    root_namespace: str
    secret_namespace: str
    secret_name: str
    secret_key: str = keys.KUBECONFIG


def control_plane_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags of control plane mode to a command line."""
    for option in (
        click.option(_ROOT, help="Control plane mode: the namespace that holds the bindings."),
        click.option(
            _SECRET_KEY,
            default=None,
            show_default=keys.KUBECONFIG,
            help="Control plane mode: the entry of that Secret.",
        ),
        click.option(_SECRET_NAMESPACE, help="Control plane mode: the namespace of that Secret."),
        click.option(
            _SECRET_NAME, help="Control plane mode: the Secret that holds the kubeconfig of the app cluster."
        ),
        click.option(
            _MODE,
            is_flag=True,
            help="Run on the provider's cluster, for one app cluster that is reached with a kubeconfig.",
        ),
    ):
        command = option(command)
    return command


def take_control_plane(values: dict[str, Any]) -> ControlPlane | None:
    """Take the flags of control plane mode out of the flags, checked.

    Args:
        values: flags by name of their parameter; those of the mode are removed.

    Returns:
        None without the mode.

    Raises:
        click.UsageError: a flag is missing, malformed, or given without the mode; one message per flag, in the order
            of spec 6.1.
    """
    on = values.pop("control_plane_mode")
    given = {
        flag: values.pop(flag[2:].replace("-", "_"))
        for flag in (_SECRET_NAME, _SECRET_NAMESPACE, _SECRET_KEY, _ROOT)
    }
    if not on:
        alone = [flag for flag, value in given.items() if value is not None]
        if alone:
            raise click.UsageError(
                f"{', '.join(alone)}: only together with {_MODE}; add that, or leave this out"
            )
        return None
    if given[_SECRET_KEY] is None:
        given[_SECRET_KEY] = keys.KUBECONFIG
    for flag, value in given.items():
        if not value:
            raise click.UsageError(f"{flag} is required with {_MODE} and must not be empty")
        valid = {_SECRET_NAME: naming.is_subdomain, _SECRET_KEY: _is_entry}.get(flag, naming.is_label)
        if not valid(value):
            raise click.UsageError(f"{flag}: {value!r} cannot be a name in Kubernetes")
    return ControlPlane(
        root_namespace=given[_ROOT],
        secret_namespace=given[_SECRET_NAMESPACE],
        secret_name=given[_SECRET_NAME],
        secret_key=given[_SECRET_KEY],
    )


def _is_entry(text: str) -> bool:
    """Whether a Secret can have an entry of that name."""
    return len(text) <= 253 and text not in {".", ".."} and re.fullmatch(r"[-._a-zA-Z0-9]+", text) is not None
