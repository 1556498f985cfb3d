"""Which answer of the browser is good, and why another is not. Pure.

A Go backend sends the whole BindingResponse in the address; a backend with a back channel sends a code that is worth
nothing without our verifier. In both cases the answer has to name the session, which nobody else knows.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bind_agent.api.payloads import BindingResponse, parse_binding_response
from bind_agent.api.validation import InvalidObject
from cli.login.session import Attempt

_CODE: Final = re.compile(r"[A-Za-z0-9._~=+/-]{16,32768}")
"""A code of our backend holds, sealed, who logged in: some 14,000 characters for somebody in hundreds of groups."""

Query = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    """What the back channel takes once, together with the verifier."""

    code: str = field(repr=False)


Answer = OneTimeCode | BindingResponse


class WrongAnswer(Exception):  # noqa: N818 - reads as the statement that it makes
    """An answer that is not taken; the message is for the browser's page and repeats nothing of the answer."""


def judge(attempt: Attempt, query: Query) -> Answer:
    """Take an answer, or say why not.

    Args:
        attempt: the login that was begun.
        query: the parameters of the callback, each with all its values.

    Raises:
        WrongAnswer: it is no answer, or one to another login.
    """
    return _code(attempt, query) if attempt.back_channel else _response(attempt, query)


def _code(attempt: Attempt, query: Query) -> OneTimeCode:
    if not secrets.compare_digest(_only(query, "s").encode(), attempt.session_id.encode()):
        raise WrongAnswer("This answer belongs to another session.")
    code = _only(query, "code")
    if not _CODE.fullmatch(code):
        raise WrongAnswer("This answer holds no usable code.")
    return OneTimeCode(code)


def _response(attempt: Attempt, query: Query) -> BindingResponse:
    text = _only(query, "response")
    try:
        return parse_binding_response(text, session_id=attempt.session_id)
    except InvalidObject as error:
        problems = "; ".join(str(problem) for problem in error.problems)
        raise WrongAnswer(f"This answer cannot be used: {problems}.") from None


def _only(query: Query, name: str) -> str:
    values = query.get(name) or ()
    if len(values) != 1 or not values[0]:
        raise WrongAnswer("This is not an answer of the provider: parameters are missing.")
    return values[0]
