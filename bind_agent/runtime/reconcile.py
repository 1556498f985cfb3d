"""What a reconciler is, what it returns, and what its errors mean.

A reconciler gets a key, nothing else: it reads what is known from stores, decides, and writes through a
client. It is level-based: however many events came, one run looks at the present state. Errors propagate;
`judge` is the one place that says what becomes of the key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from bind_agent.kube.errors import ApiError, Conflict, KubeError, TooManyRequests, Unavailable

MAX_RETRY_AFTER: Final = 60.0
"""Seconds; a server that asks for more is asked again after this long (threats A63)."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a reconcile went well.

    Attributes:
        after: seconds after which the key is looked at again without an event; None for not before one.
    """

    after: float | None = None


class TerminalError(Exception):
    """Trying again would end the same way: the key is left alone until its next event.

    Raise it after the condition that tells a person what to change has been written. The text goes to the
    log: it must not quote content of objects.
    """


class LostLease(Exception):  # noqa: N818 - an event more than a defect, like CancelledError
    """This process may not write any more: somebody else leads, or may by now (see `leader`)."""


Reconcile: TypeAlias = Callable[[str], Awaitable[Result | None]]
"""Brings the world of one key (`namespace/name` or `name`) up to date."""


class Outcome(StrEnum):
    """Ends of a reconcile, as they appear in metrics."""

    SUCCESS = "success"
    REQUEUE = "requeue"
    CONFLICT = "conflict"
    THROTTLED = "throttled"
    TERMINAL = "terminal"
    TIMEOUT = "timeout"
    LOST = "lost_lease"
    ERROR = "error"
    PANIC = "panic"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a key whose reconcile failed.

    Attributes:
        outcome: the label of the metric.
        retry: it is tried again, with the back-off of its key.
        at_least: seconds that the server asked to wait, 0 when it did not.
        loud: the log shows it as a problem; quiet ends are part of normal life.
    """

    outcome: Outcome
    retry: bool = True
    at_least: float = 0.0
    loud: bool = True


# From harmless to serious: of several errors in a group the most serious one decides.
_SERIOUSNESS: Final = (
    Outcome.TERMINAL,
    Outcome.CONFLICT,
    Outcome.THROTTLED,
    Outcome.TIMEOUT,
    Outcome.ERROR,
    Outcome.PANIC,
    Outcome.LOST,
)


def judge(error: BaseException, *, timed_out: bool = False) -> Verdict:
    """Decide about a failed reconcile.

    Args:
        error: what it raised, possibly a group (reconcilers use task groups).
        timed_out: it was ended by the controller's own limit.
    """
    if timed_out:
        return Verdict(Outcome.TIMEOUT)
    verdicts = [_judge_one(leaf) for leaf in leaves(error)]
    worst = max(verdicts, key=lambda verdict: _SERIOUSNESS.index(verdict.outcome))
    at_least = max(verdict.at_least for verdict in verdicts)
    return Verdict(worst.outcome, worst.retry, at_least, worst.loud)


def _judge_one(error: BaseException) -> Verdict:  # noqa: PLR0911 - a table
    match error:
        case TerminalError():
            return Verdict(Outcome.TERMINAL, retry=False)
        case LostLease():
            # Retried after all: if the lease is won again by the same process, the key is still to be done.
            return Verdict(Outcome.LOST, loud=False)
        case Conflict():
            return Verdict(Outcome.CONFLICT, loud=False)
        case TooManyRequests() | Unavailable():
            wait = min(error.retry_after or 0.0, MAX_RETRY_AFTER)
            quiet = isinstance(error, TooManyRequests)
            return Verdict(Outcome.THROTTLED if quiet else Outcome.ERROR, at_least=wait, loud=not quiet)
        case ApiError():
            return Verdict(Outcome.ERROR, at_least=min(error.retry_after or 0.0, MAX_RETRY_AFTER))
        case KubeError():
            return Verdict(Outcome.ERROR)
        case TimeoutError():
            return Verdict(Outcome.ERROR)
        case asyncio.CancelledError():
            # Not ours (the worker looked): something that the reconciler waited for was cancelled.
            return Verdict(Outcome.ERROR)
        case _:
            return Verdict(Outcome.PANIC)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The single errors inside a group of groups; the error itself when it is none."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
