"""Flags of control plane mode (spec 4.1, 5)."""

import functools
from dataclasses import dataclass
from typing import Any

import click

from bind_agent.api import naming
from bind_agent.backend.controlplane import deployment, secret_plan
from bind_agent.backend.options.types import F, option

_LONGEST_IMAGE = 500


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Flags of control plane mode.

    Attributes:
        enabled: whether AppClusterBindings are looked after.
        konnector_image: of konnectors whose overrides name none.
        secret_namespaces: namespaces whose Secrets every AppClusterBinding may refer to; `*` for any.
    """

    enabled: bool = False
    konnector_image: str = deployment.IMAGE
    secret_namespaces: frozenset[str] = frozenset()


def control_plane_options(command: F) -> F:
    """Add the flags of `ControlPlane` and pass them as `control_plane`."""

    @option(
        "--control-plane-mode",
        is_flag=True,
        help="Look after AppClusterBindings: app clusters that are reached from here.",
    )
    @option(
        "--konnector-image",
        default=deployment.IMAGE,
        show_default=True,
        help="Image of the konnectors that AppClusterBindings have deployed.",
    )
    @option(
        "--allow-secret-namespaces",
        multiple=True,
        metavar="NAMESPACE[,NAMESPACE]",
        help="Namespaces whose Secrets every AppClusterBinding may refer to, besides its own; '*' for any.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        control_plane_mode: bool,
        konnector_image: str,
        allow_secret_namespaces: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        control_plane = ControlPlane(
            enabled=control_plane_mode,
            konnector_image=check_image(konnector_image),
            secret_namespaces=secret_namespaces(allow_secret_namespaces),
        )
        return command(*args, control_plane=control_plane, **rest)

    return wrapped  # type: ignore[return-value]


def check_image(image: str) -> str:
    """Check `--konnector-image`.

    Raises:
        click.BadParameter: it is no image reference.
    """
    if not image or len(image) > _LONGEST_IMAGE or not image.isprintable() or " " in image:
        raise click.BadParameter(
            f"{image[:80]!r} is no image reference: write REPOSITORY:TAG, for instance {deployment.IMAGE}",
            param_hint="--konnector-image",
        )
    return image


def secret_namespaces(values: tuple[str, ...]) -> frozenset[str]:
    """Check `--allow-secret-namespaces`; each value may list several with commas.

    Raises:
        click.BadParameter: one of them is no namespace.
    """
    found = {word.strip() for value in values for word in value.split(",") if word.strip()}
    for word in found:
        if word != secret_plan.EVERY_NAMESPACE and not naming.is_label(word):
            raise click.BadParameter(
                f"{word[:80]!r} is no name of a namespace", param_hint="--allow-secret-namespaces"
            )
    return frozenset(found)
