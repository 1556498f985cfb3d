"""Turning the one-time code into the credential, over a channel that no browser sees (threat A54)."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from bind_agent.api.payloads import BindingResponse, check_binding_response
from bind_agent.api.validation import InvalidObject
from cli.errors import CliError
from cli.login.answers import OneTimeCode
from cli.login.session import Attempt
from cli.output import inert
from cli.web import TooLargeError, Web

MAX_BYTES: Final = 1024 * 1024
_PATIENCE: Final = 90.0
"""Least seconds for one try: the provider may have to set up a tenant, and a code that was used is lost."""

_NEXT: Final = {
    403: "ask the provider's operators, or choose another API: the same again will be refused again",
    410: "run the command again: a code can be used once, and within a minute",
    429: "the provider is overloaded; run the command again later",
    503: "the provider is not ready; run the command again later",
}


def redeem(
    web: Web,
    url: str,
    code: OneTimeCode,
    attempt: Attempt,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> BindingResponse:
    """Redeem the code.

    Args:
        web: how web servers are reached.
        url: the provider's back channel.
        code: what the browser brought.
        attempt: the login, which has the verifier.
        sleep: replaced in tests.

    Raises:
        CliError: the provider refused, with its words; or answered something else.
        UnreachableError: no answer came.
    """
    web = replace(web, timeout=max(web.timeout, _PATIENCE))
    body = {"code": code.code, "code_verifier": attempt.verifier}
    try:
        answer = web.patiently(lambda: web.post(url, body, limit=MAX_BYTES), sleep=sleep)
    except TooLargeError:
        raise _unusable("it is too large") from None
    document = _object(answer.body)
    if answer.status != 200:
        raise _refused(answer.status, document, secrets=(code.code, attempt.verifier))
    try:
        return check_binding_response(document, session_id=attempt.session_id)
    except InvalidObject as error:
        raise _unusable("; ".join(str(problem) for problem in error.problems)) from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refused(status: int, document: dict[str, Any], *, secrets: tuple[str, ...]) -> CliError:
    said = document.get("message") or document.get("error") or ""
    text = said if isinstance(said, str) and not any(secret in said for secret in secrets) else ""
    words = f": {inert(text, limit=200)}" if text else ""
    return CliError(
        f"the provider does not hand out the credential ({status}){words}",
        next_step=_NEXT.get(status, "run the command again; ask the provider if it goes on"),
    )


def _unusable(why: str) -> CliError:
    return CliError(
        f"the provider's answer cannot be used: {inert(why, limit=300)}",
        next_step="run the command again; tell the provider if it goes on",
    )
