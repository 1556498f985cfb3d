"""The decision table of failed reconciles, and errors as log fields."""

import asyncio

import pytest

from bind_agent.kube.errors import (
    AlreadyExists,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    TooManyRequests,
    Unavailable,
)
from bind_agent.runtime.faults import describe, place
from bind_agent.runtime.reconcile import LostLease, Outcome, TerminalError, Verdict, judge

pytestmark = pytest.mark.unit

CONFLICT = Conflict("changed", code=409)
THROTTLED = TooManyRequests("slow", code=429, retry_after=3.0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TerminalError(), Verdict(Outcome.TERMINAL, retry=False)),
        (LostLease(), Verdict(Outcome.LOST, loud=False)),
        (CONFLICT, Verdict(Outcome.CONFLICT, loud=False)),
        (AlreadyExists("there", code=409), Verdict(Outcome.CONFLICT, loud=False)),
        (THROTTLED, Verdict(Outcome.THROTTLED, at_least=3.0, loud=False)),
        (TooManyRequests("slow", code=429), Verdict(Outcome.THROTTLED, loud=False)),
        (
            TooManyRequests("years", code=429, retry_after=1e9),
            Verdict(Outcome.THROTTLED, at_least=60.0, loud=False),
        ),
        (Unavailable("down", code=503, retry_after=5.0), Verdict(Outcome.ERROR, at_least=5.0)),
        (Forbidden("no", code=403), Verdict(Outcome.ERROR)),
        (Invalid("bad", code=422), Verdict(Outcome.ERROR)),
        (ConnectionFailed("refused"), Verdict(Outcome.ERROR)),
        (TimeoutError(), Verdict(Outcome.ERROR)),
        (asyncio.CancelledError(), Verdict(Outcome.ERROR)),
        (KeyError("x"), Verdict(Outcome.PANIC)),
        (ExceptionGroup("", [CONFLICT, THROTTLED]), Verdict(Outcome.THROTTLED, at_least=3.0, loud=False)),
        (ExceptionGroup("", [TerminalError(), CONFLICT]), Verdict(Outcome.CONFLICT, loud=False)),
        (
            ExceptionGroup("", [ExceptionGroup("", [KeyError()]), THROTTLED]),
            Verdict(Outcome.PANIC, at_least=3.0),
        ),
        (ExceptionGroup("", [KeyError(), LostLease()]), Verdict(Outcome.LOST, loud=False)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_verdicts(error: BaseException, expected: Verdict) -> None:
    assert judge(error) == expected


def test_the_own_limit_is_told_apart_from_other_timeouts() -> None:
    assert judge(TimeoutError(), timed_out=True).outcome is Outcome.TIMEOUT


def raised(error: Exception) -> Exception:
    try:
        raise error  # noqa: TRY301 - an error with a traceback is what is wanted
    except Exception as caught:
        return caught


def test_own_errors_speak_for_themselves() -> None:
    assert (
        describe(Forbidden("not allowed", code=403, reason="Forbidden"))
        == "Forbidden: 403 Forbidden: not allowed"
    )
    assert describe(TerminalError("a\x1b[31m\nb")) == "TerminalError: a [31m b"
    assert describe(LostLease()) == "LostLease"


def test_other_errors_tell_type_and_place_only() -> None:
    told = describe(raised(ValueError("s3cr3t")))
    assert told.startswith("ValueError at test_reconcile.py:")
    assert "s3cr3t" not in told
    assert describe(ValueError("s3cr3t")) == "ValueError"
    assert place(ValueError()) == ""


def test_groups_are_told_by_their_members_each_once() -> None:
    group = ExceptionGroup(
        "s3cr3t", [TerminalError("x"), TerminalError("x"), ExceptionGroup("", [LostLease()])]
    )
    assert describe(group) == "TerminalError: x; LostLease"
    many = ExceptionGroup("", [TerminalError(str(number)) for number in range(20)])
    assert describe(many).endswith("and 12 more")
