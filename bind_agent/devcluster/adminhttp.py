"""The few requests that decide whether servers are ready, over the standard library.

Blocking calls in worker threads: they are rare, and an HTTP client of our own would be one more thing to
test.
"""

import asyncio
import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any

from bind_agent.devcluster.ports import LOOPBACK

_TIMEOUT = 5.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


async def request(
    target: int | Path,
    method: str,
    path: str,
    *,
    tls: ssl.SSLContext | None = None,
    body: object = None,
    timeout: float = _TIMEOUT,
) -> tuple[int, Any]:
    """Make one request on a connection of its own.

    Args:
        target: Port on the loopback address (HTTPS) or the file of a Unix socket (HTTP).
        method: HTTP method.
        path: Path and query.
        tls: TLS settings, needed for a port.
        body: Sent as JSON; no body when None.
        timeout: Seconds that connecting and each read may take.

    Returns:
        Status code and answer: decoded when it is JSON, text otherwise.

    Raises:
        OSError: No connection, or no answer in time.
    """

    def call() -> tuple[int, Any]:
        connection = (
            UnixConnection(target, timeout)
            if isinstance(target, Path)
            else http.client.HTTPSConnection(LOOPBACK, target, timeout=timeout, context=tls)
        )
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, body=data, headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            try:
                return answer.status, json.loads(text)
            except ValueError:
                return answer.status, text
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__} from {path}") from error
        finally:
            connection.close()

    return await asyncio.to_thread(call)
