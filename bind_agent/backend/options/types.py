"""What flags are made of: durations, words, addresses, and options that the environment can give as well."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from bind_agent.api import goduration

F = TypeVar("F", bound=Callable[..., Any])


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


def option(*flags: str, **settings: Any) -> Callable[[F], F]:
    """A click option that can also be given as `BIND_BACKEND_<FLAG>`."""
    flag = max(flags, key=len).split("/", maxsplit=1)[0].lstrip("-")
    settings.setdefault("envvar", "BIND_BACKEND_" + flag.upper().replace("-", "_"))
    return click.option(*flags, **settings)


def not_empty(value: str, hint: str) -> str:
    """Refuse blanks."""
    if not value.strip():
        raise click.BadParameter("must not be empty", param_hint=hint)
    return value


def parse_address(text: str, hint: str) -> tuple[str, int]:
    """Split `host:port`.

    Args:
        text: the flag's value.
        hint: the flag's name.

    Raises:
        click.BadParameter: not an address.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is not host:port, for instance 127.0.0.1:8081", param_hint=hint)
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - an empty host means every address
