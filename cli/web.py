"""A small https client for the documents of people and providers: bounded in size and time, no credential sent along.

Plain http is spoken to this machine itself, and elsewhere only where the person said so: what comes from there
decides what gets bound. ``.netrc`` is not read; proxies of the environment are used as other programs do.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies

from bind_agent.kube.addresses import is_loopback
from cli.access import USER_AGENT
from cli.bounded import PLAIN, AnswerTooLargeError, read
from cli.errors import CliError, ExitCode, UnreachableError, UsageError
from cli.output import inert

_MAX_HOPS: Final = 5
_SHORT: Final = 200
_TRIES: Final = 4
_MAX_PAUSE: Final = 5.0
_LATER: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a web server said.

    Attributes:
        url: the address that answered, after redirects.
        status: HTTP status code.
        headers: its headers.
        body: at most as long as was allowed; may be a credential.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class TooLargeError(CliError):
    """The answer is larger than it may be, or packed."""


@dataclass(frozen=True, slots=True)
class Web:
    """How web servers are reached.

    Attributes:
        timeout: seconds that one exchange may take as a whole, redirects included.
        ca_file: CA bundle of the other side; empty for the public authorities.
        allow_http: plain http is fine everywhere.
        http_hint: what to do about an address that is not https.
        ca_hint: what to do about a certificate of an authority that is not a public one.
    """

    timeout: float
    ca_file: str = ""
    allow_http: bool = False
    http_hint: str = "use https"
    ca_hint: str = ""

    def check(self, url: str) -> SplitResult:
        """Refuse an address that a person gave and that is not https (or http to this machine).

        Raises:
            UsageError: it is none, or not safe.
        """
        return self._safe(url, "", UsageError)

    def check_stated(self, url: str, *, what: str) -> SplitResult:
        """Refuse an address that a server gave and that is not https (or http to this machine).

        Args:
            url: the address.
            what: it in words, for the message.

        Raises:
            CliError: it is none, or not safe. The fault is the server's, so it is no wrong usage.
        """
        return self._safe(url, what, CliError)

    def follow(self, url: str, reference: str, *, what: str) -> str:
        """The safe address that a server refers to.

        Args:
            url: where the reference was found.
            reference: an address, or a part of one.
            what: it in words, for the message.

        Raises:
            CliError: as `check_stated`.
        """
        try:
            found = urljoin(url, reference)
        except ValueError:
            found = reference
        self.check_stated(found, what=what)
        return found

    def _safe(self, url: str, what: str, kind: type[CliError]) -> SplitResult:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            parts, host = SplitResult("", "", "", "", ""), ""
        if "@" in parts.netloc:
            raise kind(
                f"{what or 'the address'} holds a user name or password",
                next_step="tell the provider" if what else "leave out what stands before the @",
            )
        http_is_fine = self.allow_http or is_loopback(host)
        if host and (parts.scheme == "https" or (parts.scheme == "http" and http_is_fine)):
            return parts
        shown = inert(url, limit=_SHORT)
        raise kind(
            f"{what} is not an https address: {shown}" if what else f"{shown} is not an https address",
            next_step=self.http_hint,
        )

    def patiently(self, ask: Callable[[], Answer], *, sleep: Callable[[float], None] = time.sleep) -> Answer:
        """Ask again, a few times, while a server says that it is starting or overloaded.

        Args:
            ask: one exchange.
            sleep: replaced in tests.

        Returns:
            The first other answer, or the last one.
        """
        for _ in range(_TRIES - 1):
            answer = ask()
            if answer.status not in _LATER:
                return answer
            sleep(_pause(answer))
        return ask()

    def get(self, url: str, *, limit: int) -> Answer:
        """Download a document; a few redirects are followed, each to a safe address.

        Raises:
            UsageError: the address is not safe.
            CliError: one that it redirects to is not safe.
            TooLargeError: more bytes than the limit.
            UnreachableError: nothing usable came.
        """
        deadline = time.monotonic() + self.timeout
        self.check(url)
        for _ in range(_MAX_HOPS):
            answer = self._send("GET", url, None, limit=limit, deadline=deadline)
            location = answer.headers.get("Location", "")
            if not (300 <= answer.status < 400 and location):
                return answer
            url = self.follow(url, location, what=f"{inert(url, limit=_SHORT)} redirects to what")
        raise UnreachableError(
            f"{inert(url, limit=_SHORT)} redirects too often", next_step="check the address"
        )

    def post(self, url: str, document: Mapping[str, Any], *, limit: int) -> Answer:
        """Send a JSON document to exactly this address.

        Raises:
            UsageError: the address is not safe.
            TooLargeError: more bytes than the limit.
            UnreachableError: nothing usable came.
        """
        self.check(url)
        body = json.dumps(dict(document)).encode()
        return self._send("POST", url, body, limit=limit, deadline=time.monotonic() + self.timeout)

    def _send(self, method: str, url: str, body: bytes | None, *, limit: int, deadline: float) -> Answer:
        shown = inert(url, limit=_SHORT)
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json, */*;q=0.5", **PLAIN}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            with requests.Session() as session:
                session.trust_env = False
                with session.request(
                    method,
                    url,
                    data=body,
                    headers=headers,
                    timeout=max(deadline - time.monotonic(), 0.1),
                    stream=True,
                    allow_redirects=False,
                    proxies=dict(get_environ_proxies(url, no_proxy=None)),
                    verify=self.ca_file or True,
                ) as response:
                    content = read(response, limit=limit, deadline=deadline)
                    return Answer(url, response.status_code, CaseInsensitiveDict(response.headers), content)
        except AnswerTooLargeError:
            raise TooLargeError(f"{shown} is larger than {limit // 1024} KiB, or packed") from None
        except requests.exceptions.Timeout:
            raise UnreachableError(
                f"{shown} did not answer in time", next_step="try again later", code=ExitCode.TIMEOUT
            ) from None
        except requests.exceptions.SSLError:
            raise UnreachableError(f"{shown}: no trusted connection", next_step=self._trust_hint()) from None
        except (requests.RequestException, OSError, ValueError):
            raise UnreachableError(
                f"{shown}: no connection", next_step="check the address and the network"
            ) from None

    def _trust_hint(self) -> str:
        if self.ca_file:
            return "compare the CA file with the server's certificate"
        return "; ".join(part for part in ("check the address and the network", self.ca_hint) if part)


def _pause(answer: Answer) -> float:
    try:
        asked = float(answer.headers.get("Retry-After", "1"))
    except ValueError:
        asked = 1.0
    return min(max(asked, 0.1), _MAX_PAUSE)


def origin(parts: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port of a checked address: what browsers call its origin."""
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default
