"""Flags of the Go project's plugin (spec 7.1) that have no meaning here, or one that this program refuses.

A flag that changes nothing is accepted and not offered. One that would change something and cannot is refused with the
way that leads there: a script whose flag is dropped does something else than it says.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from cli.errors import UsageError
from cli.output import inert

F = TypeVar("F", bound=Callable[..., Any])

_PASSWORD: Final = ("API servers take no passwords", "give --token, or a user of the kubeconfig with --user")
_IMPERSONATION: Final = (
    "a UID alone does not make another user, so API servers refuse it",
    "use the credential of that user: --user NAME or --context NAME",
)
_REFUSED: Final = {"--username": _PASSWORD, "--password": _PASSWORD, "--as-uid": _IMPERSONATION}

_PRINTERS: Final = ("go-template", "template", "jsonpath", "custom-columns")
"""What the forms begin with that take parts out of a result."""


class Form(click.Choice[str]):
    """A form of the result on stdout; forms of the Go plugin that are missing are told apart from typing errors."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """One of the forms.

        Raises:
            UsageError: a form that takes parts out of the result.
        """
        if isinstance(value, str) and value.lower().startswith(_PRINTERS):
            raise _no_printer(f"-o {inert(value.partition('=')[0], limit=40)}", self.choices)
        return super().convert(value, param, ctx)


def connection_flags(function: F) -> F:
    """Take what says how to reach the app cluster, or how to log, and does not apply here."""
    for flag in _REFUSED:
        function = click.option(flag, hidden=True, expose_value=False, callback=_refuse)(function)
    function = click.option("--logging-format", hidden=True, expose_value=False)(function)
    # No answer is ever compressed: see `cli.bounded`.
    return click.option("--disable-compression", is_flag=True, hidden=True, expose_value=False)(function)


def print_flags(function: F) -> F:
    """Take the flags that belong to templates, and pass `show_managed_fields`."""
    for option in (
        click.option(
            "--show-managed-fields", is_flag=True, help="Keep managedFields in a result as json or yaml."
        ),
        click.option("--template", hidden=True, expose_value=False, callback=_refuse_template),
        click.option("--allow-missing-template-keys", is_flag=True, hidden=True, expose_value=False),
    ):
        function = option(function)
    return function


def _refuse(_: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        (flag,) = option.opts
        reason, next_step = _REFUSED[flag]
        raise UsageError(f"{flag} is not supported: {reason}", next_step=next_step)


def _refuse_template(_: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise _no_printer(option.opts[0], ("json", "yaml"))


def _no_printer(what: str, forms: Any) -> UsageError:
    return UsageError(
        f"{what} is not supported; the forms are {', '.join(forms)}",
        next_step="take parts out of the whole, for instance: -o json | jq -r .metadata.name, or -o yaml | yq",
    )
