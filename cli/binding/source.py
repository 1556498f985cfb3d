"""Where a request document comes from: a file, standard input, or an https address."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import get_environ_proxies

from bind_agent.kube.addresses import is_loopback
from cli.access import USER_AGENT
from cli.binding.request import MAX_BYTES
from cli.bounded import PLAIN, AnswerTooLargeError, read
from cli.errors import ExitCode, UnreachableError, UsageError
from cli.output import inert

_MAX_HOPS: Final = 5


def read_file(path: str, stdin: BinaryIO) -> bytes:
    """A file, or standard input for ``-``, up to a byte more than allowed (the size check tells).

    Raises:
        UsageError: the file cannot be read.
    """
    if path == "-":
        return stdin.read(MAX_BYTES + 1)
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{inert(path)} cannot be read: {error.strerror}", next_step="check the path given with --file"
        ) from None


def read_url(url: str, *, timeout: float, verify: str | bool = True) -> bytes:
    """Download a document.

    Only https is spoken (plain http to this machine itself), also after a redirect: the document
    decides what gets bound. No credential is sent along.

    Args:
        url: the address.
        timeout: seconds for everything together.
        verify: CA bundle, or True for the system's.

    Raises:
        UsageError: the address is not https.
        UnreachableError: nothing usable came.
    """
    deadline = time.monotonic() + timeout
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update({"User-Agent": USER_AGENT, **PLAIN})
        for _ in range(_MAX_HOPS):
            _check_scheme(url)
            status, location, body = _get(session, url, deadline=deadline, verify=verify)
            if 300 <= status < 400 and location:
                url = urljoin(url, location)
                continue
            if status != 200:
                raise UnreachableError(
                    f"{inert(url)} answered {status} instead of a document", next_step="check the address"
                )
            return body
    raise UnreachableError(f"{inert(url)} redirects too often", next_step="check the address")


def _check_scheme(url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and is_loopback(host):
        return
    raise UsageError(
        f"{inert(url)} is not an https address",
        next_step="use https, or download the document yourself and give it with --file",
    )


def _get(
    session: requests.Session, url: str, *, deadline: float, verify: str | bool
) -> tuple[int, str, bytes]:
    left = max(deadline - time.monotonic(), 0.1)
    proxies: Mapping[str, str] = get_environ_proxies(url, no_proxy=None)
    try:
        with session.get(
            url, timeout=left, stream=True, allow_redirects=False, proxies=dict(proxies), verify=verify
        ) as response:
            try:
                body = read(response, limit=MAX_BYTES, deadline=deadline)
            except AnswerTooLargeError:
                raise UsageError(
                    f"{inert(url)} is larger than {MAX_BYTES // 1024} KiB, or packed",
                    next_step="a request only names APIs and claims; leave everything else out",
                ) from None
            return response.status_code, response.headers.get("Location", ""), body
    except requests.exceptions.Timeout:
        raise UnreachableError(
            f"{inert(url)} did not answer in time", next_step="try again later", code=ExitCode.TIMEOUT
        ) from None
    except (requests.RequestException, OSError) as error:
        kind = "no trusted connection" if isinstance(error, requests.exceptions.SSLError) else "no connection"
        raise UnreachableError(
            f"{inert(url)}: {kind}", next_step="check the address and the network"
        ) from None
