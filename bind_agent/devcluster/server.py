"""One server: a program with fixed arguments that can be started, broken and started again."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from bind_agent.devcluster.errors import DevClusterError, ServerError
from bind_agent.devcluster.supervision import Child, Supervision

READY_TIMEOUT = 60.0
_TAIL_LINES = 15
_TAIL_BYTES = 16384
_POLL = 0.05
_PROBE_TIMEOUT = 5.0


class Server:
    """A server under supervision, on the same ports and data for its whole life.

    Attributes:
        name: Like ``etcd`` or ``provider/kube-apiserver``.
        argv: Program and arguments.
        log: File with everything it wrote, over all its starts.
    """

    def __init__(
        self,
        supervision: Supervision,
        *,
        name: str,
        argv: Sequence[str],
        log: Path,
        rank: int,
        ready: Callable[[], Awaitable[bool]],
        prepare: Callable[[], Awaitable[None]] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Describe a server; nothing is started.

        Args:
            supervision: What its process is started under.
            name: For messages.
            argv: Program and arguments.
            log: Where its output goes.
            rank: Place in the order of ending; higher ranks end first.
            ready: Tells whether it serves; errors of connections and time-outs count as "not yet".
            prepare: Run before each start, for instance to take away what would make ``ready`` true too early.
            cwd: Folder that it runs in; the caller's when None.
        """
        self._supervision = supervision
        self._rank = rank
        self._ready = ready
        self._prepare = prepare
        self._cwd = cwd
        self._child: Child | None = None
        self._expected_end = False
        self._ended_by_itself = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self.name = name
        self.argv = tuple(argv)
        self.log = log

    @property
    def pid(self) -> int | None:
        """Process id, None while it does not run."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    @property
    def running(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self.pid is not None

    async def start(self, *, wait: bool = True, timeout: float = READY_TIMEOUT) -> None:
        """Start the process, and wait until it serves.

        Args:
            wait: Return at once when False.
            timeout: Seconds for becoming ready.

        Raises:
            ServerError: It ended or is not ready in time (then it is killed).
        """
        if self.running:
            return
        self._expected_end = False
        self._ended_by_itself.clear()
        if self._prepare is not None:
            await self._prepare()
        self._child = await self._supervision.spawn(self.argv, log=self.log, rank=self._rank, cwd=self._cwd)
        self._watcher = asyncio.create_task(self._watch(self._child), name=f"watch {self.name}")
        if wait:
            await self.wait_ready(timeout=timeout)

    async def wait_ready(self, *, timeout: float = READY_TIMEOUT) -> None:
        """Wait until it serves.

        Raises:
            ServerError: It does not run, ended, or is not ready in time (then it is killed).
        """
        try:
            async with asyncio.timeout(timeout):
                while not await self._probe():
                    if not self.running:
                        raise self._failure(
                            f"ended with status {self._child.returncode if self._child else None}"
                        )
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            await self.kill()
            raise self._failure(f"is not ready after {timeout:.0f} s") from None

    async def stop(self, *, grace: float = 10.0) -> None:
        """Ask the process to end (SIGTERM), kill it after ``grace`` seconds."""
        child = self._ending()
        if child is None:
            return
        child.signal(signal.SIGTERM)
        child.thaw()
        try:
            async with asyncio.timeout(grace):
                await child.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kill the process (SIGKILL), as a crash does."""
        child = self._ending()
        if child is not None:
            child.signal(signal.SIGKILL)
            await child.wait()

    async def pause(self) -> None:
        """Freeze the process (SIGSTOP): from the return on, connections stay open and nothing answers."""
        if self._child is not None:
            await self._child.freeze()

    async def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        if self._child is not None:
            self._child.thaw()

    async def restart(self, *, graceful: bool = True, wait: bool = True) -> None:
        """Stop (or kill, when not ``graceful``) and start again on the same ports and data.

        Raises:
            ServerError: It does not come back.
        """
        await (self.stop() if graceful else self.kill())
        await self.start(wait=wait)

    async def ended_by_itself(self) -> None:
        """Wait until the process ends without having been asked to."""
        await self._ended_by_itself.wait()

    def tail(self) -> str:
        """Return the last lines of the log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(file.seek(0, 2) - _TAIL_BYTES, 0))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:])
        except OSError:
            return ""

    def _ending(self) -> Child | None:
        self._expected_end = True
        return self._child if self.running else None

    def _failure(self, reason: str) -> ServerError:
        return ServerError(self.name, reason, log=self.log, tail=self.tail())

    async def _probe(self) -> bool:
        # A server that ended has to be noticed even while another one answers on its port.
        if not self.running:
            return False
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                return await self._ready()
        except (OSError, TimeoutError, DevClusterError):
            return False

    async def _watch(self, child: Child) -> None:
        await child.wait()
        if not self._expected_end:
            self._ended_by_itself.set()
