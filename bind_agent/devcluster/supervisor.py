"""The parent process of all servers of one playground, a script of its own.

A server must never outlive the program that asked for it, however that program ends. A kernel death signal
(``PR_SET_PDEATHSIG``) alone does not do: it is tied to the *thread* that forked, and setting it between fork
and exec is unsafe in a program with threads. This process has one thread, so here both are sound:

* the asking program dies (``kill -9`` included): the pipe on standard input ends, or the parent process
  changes, and everything is stopped, highest rank first;
* this process dies: the kernel kills every server.

It lives in a session of its own, so that Ctrl-C in a terminal reaches the asking program only.
It uses the standard library alone, which makes it start in 20 ms.

Protocol, one JSON object per line. In: ``{"do": "start", "id", "argv", "env", "cwd", "log", "rank"}``,
``{"do": "signal", "id", "signal"}``, ``{"do": "scratch", "path"}`` (a folder to remove at the end). Out:
``{"event": "started", "id", "pid"}``, ``{"event": "failed", "id", "reason"}``, ``{"event": "stopped", "id"}`` (a
signal froze it), ``{"event": "continued", "id"}``, ``{"event": "exited", "id", "code"}``.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

PR_SET_PDEATHSIG = 1
#: Seconds that servers get between SIGTERM and SIGKILL when everything ends.
GRACE = 3.0


def dying_with(parent: int) -> Callable[[], None]:
    """Return what a child runs before exec so that it is killed when ``parent`` (a pid) dies."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the signal was set
            os._exit(1)

    return prepare


class Supervisor:
    """Starts, signals and reaps servers on behalf of the program at the other end of the pipes."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = events
        self._parent = os.getppid()
        self._prepare = dying_with(os.getpid())
        self._children: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}
        self._scratch: list[str] = []
        self._pending = b""

    def run(self) -> None:
        """Serve until the asking program closes its end, dies, or this process is told to terminate."""
        wakeup, wakeup_write = os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(wakeup_write, False)
        signal.set_wakeup_fd(wakeup_write)
        ending: list[int] = []
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: ending.append(number))
        try:
            # The parent is asked for as well because a forked child of it may hold the pipe open.
            while not ending and os.getppid() == self._parent:
                ready, _, _ = select.select([self._commands, wakeup], [], [], 1.0)
                if wakeup in ready:
                    os.read(wakeup, 4096)
                    self._observe()
                if self._commands in ready and not self._receive():
                    break
        finally:
            self._finish()

    def _receive(self) -> bool:
        data = os.read(self._commands, 65536)
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(data)

    def _obey(self, command: dict[str, Any]) -> None:
        if command["do"] == "start":
            self._start(command)
        elif command["do"] == "signal":
            # Only an unreaped child can be meant: its pid cannot have been given to another process.
            if child := self._children.get(command["id"]):
                child[1].send_signal(command["signal"])
        elif command["do"] == "scratch":
            self._scratch.append(command["path"])

    def _start(self, command: dict[str, Any]) -> None:
        ident = command["id"]
        try:
            log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                child = subprocess.Popen(  # noqa: S603 - the arguments come from the program that started us
                    command["argv"],
                    env=command["env"],
                    cwd=command["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=self._prepare,  # noqa: PLW1509 - one thread only, see above
                )
            finally:
                os.close(log)
        except (OSError, subprocess.SubprocessError) as error:
            self._tell({"event": "failed", "id": ident, "reason": str(error)})
            return
        self._children[ident] = (command["rank"], child)
        self._tell({"event": "started", "id": ident, "pid": child.pid})

    def _observe(self) -> None:
        """Tell what the kernel says of the children since the last time: frozen, going on, ended (reaped)."""
        for ident, (_, child) in list(self._children.items()):
            while child.returncode is None:  # one signal may stand for several changes
                pid, status = os.waitpid(child.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
                if not pid:
                    break
                if os.WIFSTOPPED(status):
                    self._tell({"event": "stopped", "id": ident})
                elif os.WIFCONTINUED(status):
                    self._tell({"event": "continued", "id": ident})
                else:
                    child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode is not None:
                del self._children[ident]
                self._tell({"event": "exited", "id": ident, "code": child.returncode})

    def _tell(self, event: dict[str, Any]) -> None:
        try:
            os.write(self._events, json.dumps(event).encode() + b"\n")
        except OSError:
            self._events = os.open(os.devnull, os.O_WRONLY)  # nobody listens any more

    def _finish(self) -> None:
        for rank in sorted({rank for rank, _ in self._children.values()}, reverse=True):
            end([child for its, child in self._children.values() if its == rank])
        self._observe()
        for path in self._scratch:
            shutil.rmtree(path, ignore_errors=True)


def end(children: Iterable[subprocess.Popen[bytes]]) -> None:
    """Terminate the children together, kill what is left after `GRACE` seconds, and reap them."""
    children = list(children)
    for child in children:
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGCONT)  # a paused one could not obey
    deadline = time.monotonic() + GRACE
    for child in children:
        try:
            child.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main() -> None:
    """Entry point: commands on standard input, events on standard output."""
    Supervisor(0, 1).run()


if __name__ == "__main__":
    main()
