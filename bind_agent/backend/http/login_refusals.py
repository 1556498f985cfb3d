"""What a person reads when a sign-in comes to nothing, and where it begins again."""

from typing import Final
from urllib.parse import urlencode

import structlog

from bind_agent.backend.http.flowstate import Flow
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.oidc.errors import IssuerAway, LoginError

log = structlog.get_logger(__name__)

_RETRY: Final = 5


def again(flow: Flow) -> str:
    """The address that begins the same login once more."""
    bind = flow.bind
    if bind is None:
        return f"/login?{urlencode({'next': flow.back})}"
    parameters = {"u": bind.redirect, "s": bind.sid, "c": bind.cluster_id}
    if bind.challenge:
        parameters["code_challenge"] = bind.challenge
    return f"/authorize?{urlencode(parameters)}"


def expired(flow: Flow) -> Refusal:
    """The issuer's answer came too late."""
    return Refusal(
        403,
        "login_expired",
        "This sign-in took longer than ten minutes.",
        "Start again.",
        link=again(flow),
        title="The sign-in took too long",
    )


def not_begun_here() -> Refusal:
    """The issuer's answer is forged, or of another browser."""
    return Refusal(
        403,
        "login_not_yours",
        "This answer belongs to no sign-in that was begun in this browser.",
        "Start again from your command line or from the start page, and allow cookies for this site.",
        title="This sign-in was not begun here",
    )


def used(flow: Flow) -> Refusal:
    """The issuer's answer came a second time."""
    return Refusal(
        403,
        "login_used",
        "This sign-in was completed before; going back in the browser leads here.",
        "Start again.",
        link=again(flow),
        title="This sign-in is already complete",
    )


def too_many_groups() -> Refusal:
    """What the issuer says about a person is more than a browser keeps."""
    return Refusal(
        403,
        "too_many_groups",
        "The sign-in service lists more groups for you than a cookie can hold.",
        "Ask the operators of this provider to have it send only the groups that matter here.",
        title="You are in too many groups",
    )


def refused(flow: Flow, failure: LoginError, *, cancelled: bool) -> Refusal:
    """The issuer said no, or what it said is not believed.

    Args:
        flow: the login.
        failure: why.
        cancelled: whether the issuer says that the person, or the issuer itself, did not want to.
    """
    return Refusal(
        403,
        "login_refused",
        failure.message,
        ""
        if cancelled
        else f"Start again; if it goes on, tell the operators of this provider: {failure.reason}.",
        link=again(flow),
        title="You cancelled the sign-in" if cancelled else "The sign-in did not succeed",
    )


def issuer_away(failure: IssuerAway) -> Refusal:
    """Nobody can sign in for now."""
    log.warning("nobody can log in", reason=failure.reason)
    return Refusal(
        503, "issuer_away", failure.message, "Try again in a moment.", retry_after=_RETRY, retry=True
    )
