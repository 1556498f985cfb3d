"""Which URLs the issuer may have: https, or http on this machine for development (threats A56)."""

from typing import Final
from urllib.parse import urlsplit

from bind_agent.kube.addresses import is_loopback

_LONGEST: Final = 2048


def endpoint_fault(url: str) -> str:
    """What is wrong with a URL of the issuer or of our callback; empty when nothing is.

    Returns:
        The rest of a sentence that begins with what the URL is for.
    """
    if not url:
        return "is missing"
    if len(url) > _LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        return "is longer than 2048 characters, or has characters that no URL has"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"https", "http"}:
        return "is no https URL"
    if "@" in parts.netloc or "#" in url or "\\" in url:
        return "has user information, a fragment or a backslash in it"
    if parts.scheme == "http" and not is_loopback(host):
        return "is plain http: only https is safe beyond this machine"
    return ""


def on_this_machine(url: str) -> bool:
    """Whether a URL without faults leads to this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def host_of(url: str) -> str:
    """The host of a URL without faults, for messages."""
    return urlsplit(url).netloc
