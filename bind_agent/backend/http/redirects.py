"""Where answers for a CLI may go: loopback addresses only, and how they are attached. Pure (A49, W-S6, W-B7)."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bind_agent.backend.options.web_values import LOOPBACK_HOSTS

_LONGEST: Final = 1024
_MOST_PARAMETERS: Final = 20
# Everything that a URL may hold as it is. Browsers read a backslash as a slash and drop tabs and line breaks, so what
# this program takes for a host and what a browser takes for one would differ.
_CHARACTERS: Final = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
_PATH: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*")


class BadTarget(ValueError):  # noqa: N818 - says what is the case
    """An address that no answer is sent to; the message says what is allowed."""


def target(url: str, port: str) -> str:
    """The redirect URL that a CLI asked for.

    Args:
        url: parameter `u`, a whole URL; wins.
        port: parameter `p`, a port on localhost.

    Raises:
        BadTarget: neither is given, or it is not http to this machine.
    """
    if url:
        return check(url)
    if port:
        if not (port.isascii() and port.isdecimal()) or not 0 < int(port[:6]) <= 65535:
            raise BadTarget("the parameter p must be a port from 1 to 65535")
        return f"http://localhost:{int(port)}/callback"
    raise BadTarget("the parameter u (a redirect URL) or p (a port on localhost) is missing")


def check(url: str) -> str:
    """Take an address apart and put it together again from what was understood.

    Raises:
        BadTarget: it is not http to a loopback host.
    """
    if len(url) > _LONGEST:
        raise BadTarget(f"the redirect URL is longer than {_LONGEST} characters")
    if not _CHARACTERS.fullmatch(url):
        raise BadTarget("the redirect URL has characters that do not belong into one, or a fragment")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadTarget("the redirect URL cannot be read") from None
    if parts.scheme != "http" or host not in LOOPBACK_HOSTS or "@" in parts.netloc or port == 0:
        raise BadTarget(
            "answers are sent to this machine only: http://localhost, http://127.0.0.1 or http://[::1]"
        )
    path = parts.path or "/"
    if not _PATH.fullmatch(path):
        raise BadTarget("the path of the redirect URL cannot be read")
    authority = f"[{host}]" if ":" in host else host
    if port is not None:
        authority += f":{port}"
    if authority != parts.netloc.lower():
        # Whatever stands there besides host and port, somebody may read it as another host.
        raise BadTarget("the host of the redirect URL cannot be read")
    return urlunsplit(("http", authority, path, _query(parts.query, {}), ""))


def answer(redirect: str, parameters: Mapping[str, str]) -> str:
    """The address that the browser is sent to in the end.

    Args:
        redirect: a checked target; its own parameters are kept, those that we set are replaced.
        parameters: ours. Everything is encoded anew, so the `+`, `/` and `=` of base64 arrive as they are.
    """
    parts = urlsplit(redirect)
    return urlunsplit(parts._replace(query=_query(parts.query, parameters)))


def blocked_after_form(redirect: str) -> bool:
    """Whether browsers would stop this target after a form: `form-action` has no way to name `[::1]`."""
    return urlsplit(redirect).hostname == "::1"


def local(path: str) -> str:
    """A page of our own to come back to; the start page for anything else."""
    fine = path.startswith("/") and not path.startswith(("//", "/\\")) and len(path) <= _LONGEST
    return path if fine and _CHARACTERS.fullmatch(path) else "/"


def _query(query: str, ours: Mapping[str, str]) -> str:
    try:
        given = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict")
    except ValueError:
        raise BadTarget("the parameters of the redirect URL cannot be read") from None
    return urlencode([(name, value) for name, value in given if name not in ours] + list(ours.items()))
