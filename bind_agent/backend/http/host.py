"""Under which name we are asked: pure (host header attacks, DNS rebinding)."""

import functools
import re
from typing import Final
from urllib.parse import urlsplit

from bind_agent.backend.options.web import WebOptions
from bind_agent.backend.options.web_values import LOOPBACK_HOSTS

PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Answered under any name: a kubelet asks by address, and the answer tells nothing."""

WITHOUT_COOKIES: Final = frozenset({"/export", "/redeem"})
"""Asked by programs, which keep no cookies: it does not matter to them under which name of this machine."""

_NETLOC: Final = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def expected(host: str, path: str, options: WebOptions) -> bool:
    """Whether a request is meant for us.

    Args:
        host: the Host header.
        path: of the request.
        options: the callback URL and the advertised login URL name the hosts that are ours.
    """
    if path in PROBES:
        return True
    asked = _split(host)
    for url in filter(None, (options.callback_url, options.authorize_url)):
        name, port, default = _ours(url)
        # Without a port the header means the scheme's own.
        if asked and (asked[0], asked[1] or default) == (name, port):
            return True
    return False


def by_another_name(host: str, options: WebOptions) -> bool:
    """Whether a Host header names us by another name of this machine than the one that browsers come back to.

    With a callback at `127.0.0.1` these are `localhost` and `[::1]` with the same port, and so on around. No name that
    anybody could point here is among them, so a page of another site is as far away as before (DNS rebinding).

    Such a request cannot just be answered: cookies belong to one name, so a login that began under `localhost` would
    come back to `127.0.0.1` in what looks like another browser, and be refused. Browsers are sent to the right name
    before anything begins.

    Args:
        host: the Host header.
        options: the callback URL says the name, also where another one is advertised for logging in.
    """
    asked = _split(host)
    name, port, default = _ours(options.callback_url)
    if asked is None or not {asked[0], name} <= LOOPBACK_HOSTS:
        return False
    return asked[0] != name and (asked[1] or default) == port


def loopback(host: str) -> bool:
    """Whether a Host header names this machine."""
    asked = _split(host)
    return asked is not None and asked[0] in LOOPBACK_HOSTS


def scheme(options: WebOptions, *, tls: bool, forwarded: str) -> str:
    """The scheme under which the browser sees us.

    Args:
        options: the number of trusted proxies, and the callback URL, which has the last word.
        tls: the connection is TLS.
        forwarded: the X-Forwarded-Proto header; counts only from a proxy of our own.
    """
    if tls:
        return "https"
    if options.trusted_proxies:
        hops = [hop.strip().lower() for hop in forwarded.split(",") if hop.strip()]
        if hops and hops[-1] in _DEFAULT_PORTS:
            return hops[-1]
    return urlsplit(options.callback_url).scheme


@functools.lru_cache(maxsize=256)
def _ours(url: str) -> tuple[str | None, int, int]:
    """Host and port of an address of ours, and the port that its scheme has by itself."""
    parts = urlsplit(url)
    default = _DEFAULT_PORTS[parts.scheme]
    return parts.hostname, parts.port or default, default


@functools.lru_cache(maxsize=256)
def _split(netloc: str) -> tuple[str, int | None] | None:
    """Host in lower case, and port; None when it cannot be read."""
    if not _NETLOC.fullmatch(netloc):
        return None
    try:
        parts = urlsplit(f"//{netloc}")
        port = parts.port
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname else None
