"""The development issuer beside the clusters of a playground: started with them, and gone with them."""

import asyncio
import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bind_agent.devcluster.errors import DevClusterError, ServerError
from bind_agent.devcluster.issuer.people import CLIENT_ID
from bind_agent.devcluster.playground import Playground
from bind_agent.devcluster.ports import LOOPBACK, free_port
from bind_agent.devcluster.server import Server

NAME: Final = "issuer"
BACKEND_PORT: Final = 8080
_ATTEMPTS: Final = 3
_PROBE: Final = "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"


class Issuer:
    """The issuer as a program of a playground.

    Attributes:
        url: the issuer's URL; empty before the start.
    """

    def __init__(self) -> None:
        """Nothing is started yet."""
        self.url = ""
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        """Its process.

        Raises:
            DevClusterError: it was not started.
        """
        if self._server is None:
            raise DevClusterError("the development issuer is not running")
        return self._server

    async def start(self, playground: Playground) -> None:
        """Start it on a free port.

        Args:
            playground: one that runs; the issuer ends with it, and before its clusters.

        Raises:
            ServerError: it does not come up.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            port = free_port()
            self._server = playground.program(
                NAME,
                [sys.executable, "-m", "bind_agent.devcluster.issuer", str(port)],
                ready=functools.partial(answers, port),
            )
            try:
                await self._server.start()
            except ServerError:
                # Somebody else may have taken the port meanwhile.
                if attempt == _ATTEMPTS:
                    raise
            else:
                self.url = f"http://{LOOPBACK}:{port}"
                return


async def answers(port: int) -> bool:
    """Whether the issuer on a port answers.

    Raises:
        OSError: nobody listens there.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(_PROBE.format(host=f"{LOOPBACK}:{port}").encode("ascii"))
        await writer.drain()
        return b" 200 " in await reader.readline()
    finally:
        writer.close()


def backend_arguments(issuer: str, kubeconfig: Path | str, *, port: int = BACKEND_PORT) -> tuple[str, ...]:
    """Program and arguments of a backend that lets people of this issuer in, all but the keys of its cookies.

    Args:
        issuer: URL of the issuer.
        kubeconfig: of the control plane cluster.
        port: where the backend is to listen on the loopback address.
    """
    return (
        *("bind-backend", "serve", f"--kubeconfig={kubeconfig}", f"--health-address={LOOPBACK}:{port + 1}"),
        *web_arguments(issuer, port),
    )


def app_cluster_commands(kubeconfig: Path | str, *, port: int = BACKEND_PORT) -> tuple[tuple[str, ...], ...]:
    """What binds an API of such a backend into an app cluster: the konnector, and the login.

    Args:
        kubeconfig: of the app cluster. Its playground has no nodes, so the konnector is a process as well.
        port: where the backend listens.
    """
    own = f"--kubeconfig={kubeconfig}"
    return (
        ("konnector", own, f"--health-address={LOOPBACK}:{port + 2}"),
        ("kubectl", "bind", f"http://{LOOPBACK}:{port}/export", own, "--skip-konnector"),
    )


def web_arguments(issuer: str, port: int = BACKEND_PORT) -> tuple[str, ...]:
    """Flags of the web half of a backend that lets people of this issuer in, all but the keys of its cookies.

    Args:
        issuer: URL of the issuer.
        port: where the backend is to listen on the loopback address.
    """
    return (
        f"--oidc-issuer-url={issuer}",
        f"--oidc-issuer-client-id={CLIENT_ID}",
        f"--oidc-callback-url=http://{LOOPBACK}:{port}/callback",
        f"--listen-address={LOOPBACK}:{port}",
        "--admin-group=operators",
    )


def command_line(arguments: Sequence[str]) -> str:
    """What a person types into a shell to start such a backend.

    Args:
        arguments: from `backend_arguments`.
    """
    # The shell makes the key: one that stands in a text would keep no session secret.
    key = '--cookie-signing-key="$(head -c 32 /dev/urandom | base64)"'
    words = [shlex.quote(word) for word in arguments]
    return " \\\n  ".join([" ".join(words[:3]), *words[3:], key])
