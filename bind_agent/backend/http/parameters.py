"""Parameters of requests: each at most once, bounded, without control characters."""

import re
from typing import Any, Final

from aiohttp import web
from multidict import MultiMapping

from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.tenancy.identity import IdentityError, identity

_SESSION: Final = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST: Final = 16 * 1024
_FORM: Final = web.RequestKey("form", object)


def one(values: MultiMapping[str] | MultiMapping[object], name: str, *, longest: int = _LONGEST) -> str:
    """A parameter; empty when it is not given.

    Raises:
        Refusal: it is given twice, so that two readers could see two different ones; or it is too long.
    """
    found = values.getall(name, [])
    if len(found) > 1:
        raise bad(f"The parameter {name} is given more than once.")
    text = found[0] if found else ""
    if not isinstance(text, str) or len(text) > longest:
        raise bad(f"The parameter {name} is too long or no text.")
    return text


async def form(request: web.Request) -> MultiMapping[Any]:
    """The fields of a form.

    Raises:
        Refusal: the body is no form that can be read.
    """
    try:
        found = await request.post()
    except (ValueError, LookupError):
        # Another character set, or another one than announced; a boundary that is missing.
        raise bad("The form cannot be read.") from None
    request[_FORM] = found
    return found


def given(request: web.Request) -> MultiMapping[Any]:
    """What a request brought along: the fields of its form as far as they were read, else its query."""
    return request.get(_FORM) or request.query


def session_id(query: MultiMapping[str] | MultiMapping[object]) -> str:
    """`s`: the CLI's session id.

    Raises:
        Refusal: it is missing or unusable.
    """
    text = one(query, "s")
    if not _SESSION.fullmatch(text):
        raise bad(
            "The parameter s (session id) is missing, or is not 1 to 128 letters, digits and the"
            " characters . _ ~ -."
        )
    return text


def cluster_id(query: MultiMapping[str]) -> str:
    """`c`: the app cluster.

    Raises:
        Refusal: it is missing or unusable.
    """
    text = one(query, "c")
    try:
        identity("subject", text)
    except IdentityError as error:
        raise bad(f"The parameter c (cluster id) cannot be used: {error}.") from None
    return text


def challenge(query: MultiMapping[str]) -> str:
    """`code_challenge`: of our CLI; empty for others.

    Raises:
        Refusal: it is not the S256 challenge of a verifier.
    """
    text = one(query, "code_challenge")
    method = one(query, "code_challenge_method") or "S256"
    if text and (method != "S256" or not _CHALLENGE.fullmatch(text)):
        raise bad("The parameter code_challenge must be an S256 challenge: 43 characters of base64url.")
    return text


def bad(message: str) -> Refusal:
    """A request that a program put together wrongly."""
    return Refusal(400, "bad_request", message, "Start again from your command line.")


def found(location: str) -> web.Response:
    """302, as Go's backend answers."""
    return web.Response(status=302, headers={"Location": location})
