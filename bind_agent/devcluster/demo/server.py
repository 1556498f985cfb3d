"""A PostgreSQL server of the operator's own, from the programs that a Python wheel bundles.

Users reach it over TCP on the loopback address, with a password (SCRAM) and only the database that is named
like their role. The administrator has no password: only the operator's own system user is let in, through a
socket in the file system. As root, which PostgreSQL refuses, the server runs as ``nobody``.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg

from bind_agent.devcluster.demo import bundle, launch, scratch
from bind_agent.devcluster.demo.bundle import ServerFailed, User
from bind_agent.devcluster.ports import LOOPBACK, free_port, is_free

ADMINISTRATOR: Final = "postgres"
PREFIX: Final = "bind-agent-pg-"
_ATTEMPTS: Final = 3
_READY_TIMEOUT: Final = 30.0
_STOP_TIMEOUT: Final = 10.0
_POLL: Final = 0.05
_TAIL: Final = 2000

_HBA: Final = f"""\
# Written by the operator at each start.
local all {ADMINISTRATOR} peer map=operator
local all all reject
host all {ADMINISTRATOR} all reject
host sameuser all {LOOPBACK}/32 scram-sha-256
"""


class BundledServer:
    """One server; use `run` to have it for the length of a block.

    Attributes:
        port: TCP port on the loopback address; the same at each start as long as it is free.
    """

    def __init__(self, directory: Path, temporary: Path) -> None:
        """Describe a server; nothing is started.

        Args:
            directory: its data, log, port and rules of admission. Only the data belong to the server's user.
            temporary: folder for the socket, with a short path, and for programs.
        """
        self._user = User.choose()
        self._directory = directory
        self._data = directory / "data"
        self._socket = temporary / "socket"
        self._log = directory / "server.log"
        self._port_file = directory / "port"
        self._temporary = temporary
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0

    @property
    def conninfo(self) -> dict[str, Any]:
        """Parameters for a connection of the administrator; no secret among them."""
        return {
            "host": str(self._socket),
            "port": self.port,
            "user": ADMINISTRATOR,
            "dbname": "postgres",
        }

    async def start(self) -> None:
        """Set the server up if it is new, start it, and wait until it answers.

        Raises:
            ServerFailed: it does not work out; the text ends with the server's own words.
        """
        for folder in (self._data, self._socket):
            folder.mkdir(exist_ok=True, mode=0o700)
            self._user.give(folder)
        self._socket.chmod(0o711)
        programs = await bundle.programs(self._user, self._temporary)
        if not (self._data / "PG_VERSION").exists():
            await self._initialize(programs)
        self._write("pg_hba.conf", _HBA)
        self._write("pg_ident.conf", f"operator {bundle.account_name()} {ADMINISTRATOR}\n")
        for attempt in range(_ATTEMPTS):
            self.port = self._choose_port(fresh=attempt > 0)
            await self._spawn(programs)
            if await self._answers():
                self._port_file.write_text(str(self.port))
                return
            if "could not bind" not in self._tail():  # somebody else took the port: draw another
                break
        raise ServerFailed(f"the PostgreSQL server does not start; its log ends with:\n{self._tail()}")

    async def wait(self) -> None:
        """Wait for the end of the process.

        Raises:
            ServerFailed: always; `stop` is the way that it ends by.
        """
        assert self._process is not None  # noqa: S101 - started before
        await self._process.wait()
        raise ServerFailed(f"the PostgreSQL server ended; its log ends with:\n{self._tail()}")

    async def stop(self) -> None:
        """End sessions, write everything to disk and end the process. May be called again."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, none
            if process.returncode is not None:
                return
            process.send_signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT):
                    await process.wait()

    async def _initialize(self, programs: Path) -> None:
        code, output = await self._user.run(
            [
                str(programs / "initdb"),
                *("-D", str(self._data), "-U", ADMINISTRATOR, "--encoding", "UTF8"),
                *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
                *("--auth-local", "peer", "--auth-host", "scram-sha-256", "--no-sync", "--no-instructions"),
            ]
        )
        if code != 0:
            reach = (
                "; as root the server runs as another user, who must be able to enter all folders of this "
                "path: choose one below /var/tmp, or name none"
                if self._user.is_other
                else ""
            )
            raise ServerFailed(f"cannot set up PostgreSQL in {self._data}{reach}:\n{output[-_TAIL:]}")

    async def _spawn(self, programs: Path) -> None:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": str(self._socket),
            "hba_file": str(self._directory / "pg_hba.conf"),
            "ident_file": str(self._directory / "pg_ident.conf"),
            "password_encryption": "scram-sha-256",
            # A statement that fails is not written to the log: it could hold what a user typed.
            "log_min_error_statement": "panic",
        }
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(Path(launch.__file__))),
                *(str(os.getpid()), str(self._user.uid), str(self._user.gid)),
                *(str(programs / "postgres"), "-D", str(self._data)),
                *(f"--{name}={value}" for name, value in settings.items()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=bundle.environment(),
                start_new_session=True,  # Ctrl-C is for the operator, which then stops the server
            )
        finally:
            os.close(log)

    async def _answers(self) -> bool:
        assert self._process is not None  # noqa: S101 - just started
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_TIMEOUT):
                while self._process.returncode is None:
                    try:
                        connection = await psycopg.AsyncConnection.connect(**self.conninfo, connect_timeout=2)
                    except psycopg.OperationalError:
                        await asyncio.sleep(_POLL)
                    else:
                        await connection.close()
                        return True
        await self.stop()
        return False

    def _choose_port(self, *, fresh: bool) -> int:
        with suppress(OSError, ValueError):
            port = int(self._port_file.read_text())
            if not fresh and 1024 <= port <= 65535 and is_free(port):
                return port
        return free_port()

    def _write(self, name: str, text: str) -> None:
        path = self._directory / name
        path.write_text(text)
        path.chmod(0o644)

    def log_text(self) -> str:
        """What the server wrote since its start."""
        try:
            return self._log.read_text(errors="replace")
        except OSError:
            return ""

    def _tail(self) -> str:
        return self.log_text()[-_TAIL:].strip()


@asynccontextmanager
async def run(directory: Path | None = None) -> AsyncIterator[BundledServer]:
    """A running server for the length of a block.

    Args:
        directory: where its data stay; None for a temporary folder that is removed with everything in it.

    Raises:
        ServerFailed: it cannot be started.
    """
    with scratch.folder(PREFIX) as temporary:
        server = BundledServer(*_folders(temporary, directory))
        try:
            await server.start()
            yield server
        finally:
            await server.stop()


def _folders(temporary: Path, directory: Path | None) -> tuple[Path, Path]:
    """Make the folder for data and that for the rest; the server's user must be able to pass through both."""
    home = temporary / "server" if directory is None else directory.absolute()
    home.mkdir(parents=True, exist_ok=True)
    for folder in (temporary, home):
        folder.chmod(folder.stat().st_mode | 0o011)
    return home, temporary
