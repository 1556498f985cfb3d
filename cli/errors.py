"""The one error of the command line, and what its exit codes mean.

Every failure that a person sees is a `CliError`: what happened, what to do next, and the exit code. Anything
else that reaches the top is a defect of the program and is reported as such.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit codes of every command; scripts may rely on them (``docs/cli.md``)."""

    OK = 0
    FAILURE = 1
    """A cluster or the provider refused or failed; the message says which and why."""
    USAGE = 2
    """Wrong options, or an input file that cannot be what is asked for; nothing was written to the app cluster."""
    REFUSED = 3
    """The person said no: a required claim was rejected, or a question stayed without an answer."""
    TIMEOUT = 4
    """Something that was waited for did not come in time; running the command again goes on from there."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


class CliError(Exception):
    """A failure with its next step.

    Args:
        message: what happened, naming the object and the rule, in one or two sentences.
        next_step: what the person can do about it; empty only when there is nothing to do.
        code: the exit code.
        left: what stays behind in the clusters, one entry per object, in words.
    """

    def __init__(
        self,
        message: str,
        *,
        next_step: str = "",
        code: ExitCode = ExitCode.FAILURE,
        left: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.code = code
        self.left = left

    def with_left(self, left: tuple[str, ...]) -> "CliError":
        """The same error, telling also what stays behind."""
        return CliError(self.message, next_step=self.next_step, code=self.code, left=self.left + left)


class UsageError(CliError):
    """Wrong options or unusable input: exit code 2, and nothing was written to the app cluster."""

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step, code=ExitCode.USAGE)


class WaitTimeoutError(CliError):
    """A bounded wait ended: exit code 4."""

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step, code=ExitCode.TIMEOUT)


class RequestRefusedError(CliError):
    """An API server answered with a failure.

    Args:
        message: which server, which object, and the server's words.
        status: the HTTP status code.
        reason: the server's reason word, for instance ``Forbidden``.
        next_step: as in `CliError`.
        answer: the server's Status as it came, to look things up in; never to be shown.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        reason: str = "",
        next_step: str = "",
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.status = status
        self.reason = reason
        self.answer = answer or {}


class UnreachableError(CliError):
    """No usable answer from a server: refused, reset, TLS, name resolution, too slow, or no API server."""
