"""What is known of a playground that another process runs: a file in its directory.

A process is named by its id *and* its start time, so an id that the kernel gave to another process meanwhile
is never taken for ours, and never signalled.
"""

import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from bind_agent.devcluster.pki import write_private

STATE_FILE = "playground.json"
LOCK_FILE = "playground.lock"
LOG_FILE = "playground.log"
_FORMAT = 1
_START_TIME_FIELD = 19  # field 22 of /proc/<pid>/stat, counted from the one after the program name


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that cannot be mistaken for another one.

    Attributes:
        pid: Its process id.
        start: When it started, in clock ticks since boot.
        boot: Identifies the boot of the machine.
    """

    pid: int
    start: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Identify a running process.

        Raises:
            ProcessLookupError: There is none of that id.
        """
        start = _start_time(pid)
        if start is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, start, _boot())

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return self.boot == _boot() and _start_time(self.pid) == self.start

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to exactly this process.

        Returns:
            False when it is gone.
        """
        # Through a descriptor of the process: between the check and the signal its id cannot change hands.
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if not self.alive:
                return False
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
                return True
            return False
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server: its name like ``provider/kube-apiserver``, its process and its log file."""

    name: str
    process: ProcessId
    log: str


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One cluster: its name, the URL of its API server, the files for people."""

    name: str
    server: str
    kubeconfig: str
    audit_log: str | None


@dataclass(frozen=True, slots=True)
class LoginState:
    """The development issuer: its URL, and the id of its client."""

    issuer: str
    client_id: str


@dataclass(frozen=True, slots=True)
class State:
    """A running playground.

    Attributes:
        owner: The process that runs it; telling it to end ends everything.
        supervisor: The parent of the servers.
        clusters: The clusters.
        servers: Every server.
        kubectl: A kubectl of the same version.
        login: The development issuer; None when none was asked for.
    """

    owner: ProcessId
    supervisor: ProcessId
    clusters: tuple[ClusterState, ...]
    servers: tuple[ServerState, ...]
    kubectl: str
    login: LoginState | None = None

    @property
    def processes(self) -> tuple[ProcessId, ...]:
        """All processes, those that end the others first."""
        return (self.owner, self.supervisor, *(server.process for server in self.servers))

    def write(self, directory: Path) -> None:
        """Write the file (mode 0600)."""
        write_private(directory / STATE_FILE, json.dumps({"format": _FORMAT, **asdict(self)}, indent=2))

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Read the file; None when there is none, or none that can be read."""
        try:
            data = json.loads((directory / STATE_FILE).read_text())
            if data["format"] != _FORMAT:
                return None
            return cls(
                owner=ProcessId(**data["owner"]),
                supervisor=ProcessId(**data["supervisor"]),
                clusters=tuple(ClusterState(**cluster) for cluster in data["clusters"]),
                servers=tuple(_server(server) for server in data["servers"]),
                kubectl=data["kubectl"],
                login=LoginState(**login) if (login := data.get("login")) is not None else None,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _server(data: dict[str, Any]) -> ServerState:
    return ServerState(data["name"], ProcessId(**data["process"]), data["log"])


def _start_time(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The program's name stands in parentheses and may hold anything, parentheses included.
    state, *fields = stat.rpartition(b")")[2].split()
    return None if state in {b"Z", b"X"} else int(fields[_START_TIME_FIELD - 1])


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
