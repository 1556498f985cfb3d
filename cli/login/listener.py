"""Waits on this machine for the browser to come back: one good answer, everything else gets a short page.

Bound to 127.0.0.1 on a port of the system's choice, for as long as the login takes. A request is looked at only if it
is a navigation of a browser's window to exactly the callback's path under our own name; what web pages do in the
background (images, fetches, frames, other host names that lead here) is turned away (threat A59).
"""

import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from cli.errors import WaitTimeoutError
from cli.login import page
from cli.login.answers import Answer, WrongAnswer, judge
from cli.login.session import Attempt

_HOST: Final = "127.0.0.1"
_AT_ONCE: Final = 16
"""Connections that are served at the same time; a browser opens two or three."""

_CONNECTION_SECONDS: Final = 10.0
_POLL: Final = 0.5


class Listener:
    """The callback of one login. Use as a context manager.

    Args:
        attempt: the login.
        note: told why an answer was not taken; at most once for each reason.
    """

    def __init__(self, attempt: Attempt, *, note: Callable[[str], None] = lambda _text: None) -> None:
        self._attempt = attempt
        self._note = note
        self._noted: set[str] = set()
        self._lock = threading.Lock()
        self._taken: Answer | None = None
        self._arrived = threading.Event()
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]
        self.hosts = frozenset({f"{_HOST}:{self.port}", f"localhost:{self.port}"})
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, *, timeout: float, waiting: Callable[[float], None]) -> Answer:
        """Wait for the answer.

        Args:
            timeout: seconds.
            waiting: called now and then with the start of the wait (`time.monotonic`).

        Raises:
            WaitTimeoutError: it did not come.
        """
        started = time.monotonic()
        while not self._arrived.wait(_POLL):
            if time.monotonic() - started > timeout:
                raise WaitTimeoutError(
                    f"nobody logged in at the provider within {_duration(timeout)}",
                    next_step="run the command again and finish the login in the browser; --login-timeout gives"
                    " more time",
                )
            waiting(started)
        assert self._taken is not None  # noqa: S101 - set before the event
        return self._taken

    def answer(self, target: str) -> page.Page:
        """What a navigation to an address of ours gets; the first good answer is kept."""
        parts = urlsplit(target)
        if not secrets.compare_digest(parts.path.encode(), self._attempt.path.encode()):
            return page.NOT_FOUND
        try:
            found = judge(self._attempt, parse_qs(parts.query, keep_blank_values=True, max_num_fields=16))
        except (WrongAnswer, ValueError) as error:
            why = str(error) if isinstance(error, WrongAnswer) else "This is not an answer of the provider."
            self._tell(why)
            return page.refused(why)
        with self._lock:
            if self._taken is not None:
                return page.LATE
            self._taken = found
        return page.DONE

    def told(self) -> None:
        """The browser has its page, or does not want it any more: whoever waits may go on."""
        if self._taken is not None:
            self._arrived.set()

    def _tell(self, why: str) -> None:
        with self._lock:
            new = why not in self._noted and len(self._noted) < _AT_ONCE
            self._noted.add(why)
        if new:
            self._note(why)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = False

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__((_HOST, 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks off is no event; its traceback could show the request."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _CONNECTION_SECONDS
    server: _Server
    server_version = "kubectl-bind"
    sys_version = ""

    def do_GET(self) -> None:
        listener = self.server.listener
        found = self._refusal() or listener.answer(self.path)
        try:
            self._send(found)
        finally:
            # Also when the window is gone already: its answer is here.
            listener.told()

    def _refusal(self) -> page.Page | None:
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.listener.hosts]:
            return page.WRONG_HOST
        # Browsers say what a request is for, and pages cannot make them say something else.
        mode = self.headers.get("Sec-Fetch-Mode", "navigate")
        destination = self.headers.get("Sec-Fetch-Dest", "document")
        early = any(self.headers.get(name) for name in ("Sec-Purpose", "Purpose", "X-Moz"))
        if (mode, destination) != ("navigate", "document") or early:
            return page.BACKGROUND
        return None

    def _send(self, found: page.Page) -> None:
        body = found.html()
        self.send_response(found.status)
        for name, value in page.HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing is logged: the address holds the answer."""


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
