"""The asking side of the supervisor process: children as awaitable objects."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from bind_agent.devcluster import supervisor
from bind_agent.devcluster.errors import DevClusterError

#: Seconds for the supervisor to stop everything: three ranks with their grace, and some.
CLOSE_TIMEOUT = 4 * supervisor.GRACE

_LOST = "the supervisor of the servers ended, and all servers with it: start the playground again"


class Child:
    """One process under the supervisor."""

    def __init__(self, supervision: "Supervision", ident: int) -> None:
        self._supervision = supervision
        self._ident = ident
        self.pid = 0
        #: Exit status as `subprocess` gives it, negative for a signal; None while it runs.
        self.returncode: int | None = None
        self.started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._exited = asyncio.Event()
        # Set while it is frozen, and once it has ended: what it did not do until then it does not do.
        self._still = asyncio.Event()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process is gone."""
        if self.returncode is None:
            self._supervision.send({"do": "signal", "id": self._ident, "signal": int(number)})

    async def freeze(self) -> None:
        """Stop it (SIGSTOP) and wait until none of its threads runs any more."""
        if not self._still.is_set():
            self.signal(signal.SIGSTOP)
            await self._still.wait()

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        if self.returncode is None:
            self._still.clear()  # at once, so that freezing it again waits anew
            self.signal(signal.SIGCONT)

    async def wait(self) -> int:
        """Wait for the end of the process and return its status."""
        await self._exited.wait()
        return self.returncode if self.returncode is not None else -int(signal.SIGKILL)

    def frozen(self) -> None:
        """Note that it stands still; called by the supervision only."""
        self._still.set()

    def continued(self) -> None:
        """Note that it goes on; called by the supervision only."""
        self._still.clear()

    def exited(self, code: int) -> None:
        """Note the end; called by the supervision only."""
        self.returncode = code
        self._still.set()
        self._exited.set()


class Supervision:
    """One supervisor process and the children under it.

    Use `open` to start it and `close` to stop every child, highest rank first.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._children: dict[int, Child] = {}
        self._next = 0
        self._reader = asyncio.create_task(self._read(), name="supervisor events")

    @classmethod
    async def open(cls) -> Self:
        """Start the supervisor process."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",  # nothing of the caller's environment or folder is imported
                str(Path(supervisor.__file__)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        )

    @property
    def pid(self) -> int:
        """Process id of the supervisor itself."""
        return self._process.pid

    def send(self, command: Mapping[str, Any]) -> None:
        """Pass a command on; silently ignored when the supervisor is gone."""
        pipe = self._process.stdin
        if pipe is not None and not pipe.is_closing():
            pipe.write(json.dumps(command).encode() + b"\n")

    def scratch(self, path: Path) -> None:
        """Have a folder removed when everything has ended, also when this program is killed."""
        self.send({"do": "scratch", "path": str(path)})

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        rank: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """Start a process whose output is appended to ``log``.

        Args:
            argv: Program and arguments.
            log: File for its standard output and error, created with mode 0600.
            rank: Place in the order of ending; higher ranks are stopped first.
            env: Whole environment; the caller's when None.
            cwd: Folder that it runs in; the caller's when None.

        Raises:
            DevClusterError: The program cannot be started.
        """
        if self._reader.done():
            raise DevClusterError(_LOST)
        self._next += 1
        child = self._children[self._next] = Child(self, self._next)
        self.send(
            {
                "do": "start",
                "id": self._next,
                "argv": list(argv),
                "env": dict(os.environ if env is None else env),
                "cwd": None if cwd is None else str(cwd),
                "log": str(log),
                "rank": rank,
            }
        )
        child.pid = await child.started
        return child

    async def close(self) -> None:
        """Stop all children, then the supervisor. May be called again."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()  # the kernel then kills what is left below it
            await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        while line := await self._process.stdout.readline():
            self._note(json.loads(line))
        for child in self._children.values():  # the supervisor is gone, and so is everything below it
            if not child.started.done():
                child.started.set_exception(DevClusterError(_LOST))
            child.exited(-int(signal.SIGKILL) if child.returncode is None else child.returncode)

    def _note(self, event: Mapping[str, Any]) -> None:
        child = self._children[event["id"]]
        if event["event"] == "started":
            if not child.started.done():
                child.started.set_result(event["pid"])
        elif event["event"] == "failed":
            child.exited(127)
            if not child.started.done():
                child.started.set_exception(DevClusterError(f"a server cannot start: {event['reason']}"))
        elif event["event"] == "stopped":
            child.frozen()
        elif event["event"] == "continued":
            child.continued()
        elif event["event"] == "exited":
            child.exited(event["code"])
