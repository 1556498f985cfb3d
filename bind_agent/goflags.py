"""Command lines of the Go programs, understood by ours: how values are written, and flags about their logging.

Whoever moves from the Go programs has manifests, scripts and `overrides.args` that are written as pflag reads them:
``--dry-run=true``, ``-v=4``, ``--vmodule=…``. click reads neither a value of a switch nor a sign of equality after a
short flag, so arguments are put into click's form before it sees them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEBUG_FROM: Final = 4
"""The verbosity of klog from which on steps of the work are logged: what is `debug` here."""

LOG_VALUES: Final = (
    "--vmodule",
    "--log-flush-frequency",
    "--log-text-info-buffer-size",
    "--log-json-info-buffer-size",
)
"""Flags of Go's logging that have a value, and no meaning here."""

LOG_SWITCHES: Final = ("--log-text-split-stream", "--log-json-split-stream")
"""Switches of Go's logging without a meaning here."""


class GoCommand(click.Command):
    """A command whose flags may be written as for Go programs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the arguments into click's form."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        arguments, switched = _plain(ctx, args, options)
        rest = super().parse_args(ctx, arguments)
        # Most switches have no word for "off" that click could be given, and the environment may have said "on".
        for name, on in switched.items():
            if name in ctx.params:
                ctx.params[name] = on
        return rest


class GoGroup(click.Group):
    """A group of such commands."""

    command_class = GoCommand


def log_flags(command: F) -> F:
    """Accept the flags of Go's logging that have no meaning here, without offering them."""
    for flag in LOG_VALUES:
        command = click.option(flag, hidden=True, expose_value=False)(command)
    for flag in LOG_SWITCHES:
        command = click.option(flag, hidden=True, expose_value=False, is_flag=True)(command)
    return command


def verbosity(default: int, **settings: Any) -> Callable[[F], F]:
    """The option ``-v`` as klog has it, passed as `verbosity`."""
    level = click.IntRange(min=0)
    return click.option("-v", "--v", "verbosity", type=level, default=default, metavar="LEVEL", **settings)


def log_level(chosen: str, verbosity: int) -> str:
    """The level that is meant: ``-v=4`` asks for details, unless a level was chosen.

    Args:
        chosen: the value of ``--log-level``, `info` by default.
        verbosity: the value of ``-v``.
    """
    return "debug" if verbosity >= DEBUG_FROM and chosen == "info" else chosen


def _plain(
    ctx: click.Context, args: Sequence[str], options: Sequence[click.Option]
) -> tuple[list[str], dict[str, bool]]:
    """Arguments in click's form, and the switches among them with what they were last set to."""
    known = {flag: one for one in options for flag in (*one.opts, *one.secondary_opts)}
    found: list[str] = []
    switched: dict[str, bool] = {}
    rest = iter(args)
    for argument in rest:
        if argument == "--":
            found.append(argument)
            break
        pieces = _long(argument, known) if argument.startswith("--") else _short(argument, known)
        for flag, value in pieces:
            option = known.get(flag)
            if option is None or (value is None and not _is_switch(option)):
                found.append(flag)
                if option is not None:  # its value is the next argument, whatever that looks like
                    found += [one for one in (next(rest, None),) if one is not None]
            elif _is_switch(option):
                on = (flag in option.opts) is _boolean(ctx, option, value)
                switched[str(option.name)] = on
                word = (option.opts if on else option.secondary_opts)[:1]
                found += word
            else:
                found += [flag, str(value)]
    return found + list(rest), switched


def _long(argument: str, known: dict[str, click.Option]) -> Iterator[tuple[str, str | None]]:
    flag, sign, value = argument.partition("=")
    if flag in known:
        yield flag, value if sign else None
    else:
        yield argument, None


def _short(argument: str, known: dict[str, click.Option]) -> Iterator[tuple[str, str | None]]:
    """Short flags may stand together, the last of them with a value: ``-dv4``, ``-dv=4``."""
    if len(argument) < 2 or not argument.startswith("-") or argument[:2] not in known:
        yield argument, None
        return
    rest = argument[1:]
    while rest:
        flag, rest = f"-{rest[0]}", rest[1:]
        option = known.get(flag)
        if option is None or (_is_switch(option) and not rest.startswith("=")):
            yield flag, None
            continue
        yield flag, rest.removeprefix("=") if rest else None
        return


def _is_switch(option: click.Option) -> bool:
    return option.is_flag and option.is_bool_flag


def _boolean(ctx: click.Context, option: click.Option, value: str | None) -> bool:
    if value is None:
        return True
    if not value:
        raise click.BadParameter("'' is not a valid boolean.", ctx=ctx, param=option)
    return bool(click.BOOL.convert(value, option, ctx))
