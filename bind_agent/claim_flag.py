"""The flag ``--allow-claim``, which all programs have: kinds that may be claimed besides Secrets and ConfigMaps.

Provider, konnector and the person who binds decide for themselves, so each program has to be told. None of them can
be told to allow a kind that carries power over a cluster: the list of these stands in `bind_agent.api.guards`.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

import click

from bind_agent.api import guards

FLAG: Final = "--allow-claim"
METAVAR: Final = "PLURAL[.GROUP]"


class ClaimedKind(click.ParamType[str]):
    """A kind that may be claimed if somebody says so, as `plural` or `plural.group`."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        try:
            return guards.group_resource(*guards.parse_kind(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def claimable(extra: Iterable[str]) -> frozenset[str]:
    """What may be claimed with these values of the flag."""
    return guards.CLAIMABLE | frozenset(extra)


def arguments(allowed: Collection[str]) -> list[str]:
    """The flags that tell a konnector to allow the same."""
    return [f"{FLAG}={one}" for one in sorted(set(allowed) - guards.CLAIMABLE)]
