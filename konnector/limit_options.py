"""The flags that bound what the other side may cost: memory of the konnector, writes and objects on the app cluster."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import click

MEMORY_FLAG: Final = "--provider-memory-budget"
COPIES_FLAG: Final = "--max-claimed-copies"
BYTES_FLAG: Final = "--max-claimed-bytes"

_LEAST_MEMORY: Final = 8 * 1024**2
_UNITS: Final = {"": 1, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the other side may cost, for each provider (in control plane mode: for the app cluster).

    Attributes:
        memory: bytes of objects that are kept in memory. The shipped pod has 512 MiB: the konnector itself takes
            70, each of two that use up their budget 128, an eighth of it for halves of events, and pages under way.
        claimed_copies: claimed objects of the provider that are copied to the app cluster, all kinds together.
        claimed_bytes: bytes of these. An etcd holds 2 GiB by default, for everything on the cluster.
    """

    memory: int = 128 * 1024**2
    claimed_copies: int = 10_000
    claimed_bytes: int = 100 * 1024**2


def size_of(text: str, least: int = 0) -> int:
    """Bytes, with or without one of the suffixes of Kubernetes.

    Args:
        text: as given.
        least: bytes that make sense.

    Raises:
        click.BadParameter: no size, or too little; the message says what is expected.
    """
    found = re.fullmatch(r"([0-9]{1,15})(|Ki|Mi|Gi)", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a number of bytes, for instance 256Mi")
    size = int(found[1]) * _UNITS[found[2]]
    if size < least:
        raise click.BadParameter(f"{text} is less than {size_text(least)}")
    return size


def size_text(size: int) -> str:
    """Bytes as they are written in a flag."""
    for unit in ("Gi", "Mi", "Ki"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add these flags to a command line."""
    default = Limits()
    for option in (
        click.option(
            BYTES_FLAG,
            callback=lambda _, __, text: size_of(text, 1024),
            default=size_text(default.claimed_bytes),
            show_default=True,
            help="Bytes of claimed objects of one provider that are copied to the app cluster.",
        ),
        click.option(
            COPIES_FLAG,
            type=click.IntRange(0),
            default=default.claimed_copies,
            show_default=True,
            help="Claimed objects of one provider that are copied to the app cluster.",
        ),
        click.option(
            MEMORY_FLAG,
            callback=lambda _, __, text: size_of(text, _LEAST_MEMORY),
            default=size_text(default.memory),
            show_default=True,
            help="Memory for what is followed of one provider (in control plane mode: of the app cluster); what does "
            "not fit is not followed, which the binding says. To be raised together with the pod's limit.",
        ),
    ):
        command = option(command)
    return command


def take_limits(values: dict[str, Any]) -> Limits:
    """Move the values of these flags out of those of a command line."""
    return Limits(
        memory=values.pop("provider_memory_budget"),
        claimed_copies=values.pop("max_claimed_copies"),
        claimed_bytes=values.pop("max_claimed_bytes"),
    )
