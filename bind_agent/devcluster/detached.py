"""Starts, shows and ends playgrounds that another process runs."""

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from bind_agent.devcluster import folders
from bind_agent.devcluster.binaries import ControlPlane
from bind_agent.devcluster.cluster import ClusterOptions
from bind_agent.devcluster.daemon import Order, forget, owned
from bind_agent.devcluster.errors import DevClusterError, PlaygroundError
from bind_agent.devcluster.issuer import launch as issuer
from bind_agent.devcluster.issuer.people import ACCOUNTS
from bind_agent.devcluster.state import LOG_FILE, ProcessId, State
from bind_agent.devcluster.supervision import CLOSE_TIMEOUT

_DOWN_TIMEOUT = 20.0
_KILL_TIMEOUT = 5.0
_POLL = 0.05
_READY_TIMEOUT = 2.0
_PROVIDER = "provider"


def up(order: Order, control_plane: ControlPlane) -> State:
    """Start a playground that goes on running when this process ends, and wait until it serves.

    Raises:
        PlaygroundError: The directory is in use, or cannot be made.
        DevClusterError: It does not come up; nothing is left running.
    """
    if owned(order.directory):
        raise folders.taken(order.directory)
    folders.make(order.directory)
    reading, writing = os.pipe()
    log_path = order.directory / LOG_FILE
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-m", "bind_agent.devcluster.background", str(writing)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
        )
    finally:
        os.close(writing)
        os.close(log)
    try:
        with os.fdopen(reading) as answer:
            assert process.stdin is not None  # noqa: S101 - it was asked for
            process.stdin.write(encode(order, control_plane).encode())
            process.stdin.close()
            verdict = answer.readline().strip()
    except BaseException:  # Ctrl-C while waiting: do not leave half a playground behind
        process.terminate()
        process.wait(_DOWN_TIMEOUT)
        raise
    state = State.read(order.directory)
    if verdict != "ready" or state is None:
        process.wait(_DOWN_TIMEOUT)
        reason = json.loads(verdict) if verdict.startswith('"') else "the playground ended while starting"
        raise DevClusterError(f"{reason}\nThe log of the background process is {log_path}")
    process.returncode = 0  # not a child to wait for any more: this process is about to end
    return state


def down(directory: Path) -> bool:
    """End the playground of a directory, completely. May be called again.

    Returns:
        False when none was running.

    Raises:
        DevClusterError: A process does not end.
    """
    state = State.read(directory)
    if state is None:
        if owned(directory):
            raise PlaygroundError(
                f"a playground is just starting or ending in {directory}: wait a moment and try again"
            )
        forget(directory)
        return False
    running = any(process.alive for process in state.processes)
    # An owner that hangs is killed alone first: its supervisor then stops the servers and clears up.
    for number, those, timeout in (
        (signal.SIGTERM, state.processes[:1], _DOWN_TIMEOUT),
        (signal.SIGKILL, state.processes[:1], CLOSE_TIMEOUT),
        (signal.SIGKILL, state.processes, _KILL_TIMEOUT),
    ):
        for process in those:
            process.signal(number)
        if _gone(state.processes, timeout):
            break
    else:
        left = ", ".join(str(process.pid) for process in state.processes if process.alive)
        raise DevClusterError(f"these processes do not end: {left}; stop them with `kill -9`")
    forget(directory)
    return running


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """One cluster as seen from outside.

    Attributes:
        name: Its name.
        server: URL of the API server.
        ready: Whether the API server says that it is ready.
        kubeconfig: The admin's kubeconfig file.
        servers: Name and process id of each of its servers; None for one that does not run.
    """

    name: str
    server: str
    ready: bool
    kubeconfig: str
    servers: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class LoginStatus:
    """The development issuer as seen from outside.

    Attributes:
        issuer: Its URL.
        client_id: Its client, which is public.
        ready: Whether it answers.
        pid: Its process; None when it does not run.
        accounts: Who can log in.
        backend: Program and arguments of a backend for it, all but the keys of its cookies.
    """

    issuer: str
    client_id: str
    ready: bool
    pid: int | None
    accounts: tuple[str, ...]
    backend: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """A playground as seen from outside.

    Attributes:
        directory: Its directory.
        running: Whether its owner runs.
        clusters: Its clusters; empty when it does not run.
        etcd: Process id of etcd, None when it does not run.
        owner: Process id of the owner, None when it does not run.
        login: The development issuer; None when it does not run.
    """

    directory: str
    running: bool
    owner: int | None
    etcd: int | None
    clusters: tuple[ClusterStatus, ...]
    login: LoginStatus | None = None

    def as_data(self) -> dict[str, object]:
        """Return plain data, for programs."""
        return asdict(self)


def status(directory: Path) -> Status:
    """Look at the playground of a directory. Never changes anything."""
    state = State.read(directory)
    if state is None or not state.owner.alive:
        return Status(str(directory), running=False, owner=None, etcd=None, clusters=())
    pids = {server.name: server.process.pid if server.process.alive else None for server in state.servers}
    clusters = tuple(
        ClusterStatus(
            cluster.name,
            cluster.server,
            _ready(Path(cluster.kubeconfig)),
            cluster.kubeconfig,
            {name: pid for name, pid in pids.items() if name.startswith(f"{cluster.name}/")},
        )
        for cluster in state.clusters
    )
    return Status(
        str(directory),
        running=True,
        owner=state.owner.pid,
        etcd=pids.get("etcd"),
        clusters=clusters,
        login=_login(state, pids.get(issuer.NAME)),
    )


def backend_arguments(state: State) -> tuple[str, ...]:
    """Program and arguments of a backend for the issuer of a playground, all but the keys of its cookies."""
    if state.login is None:
        return ()
    named = {cluster.name: cluster.kubeconfig for cluster in state.clusters}
    kubeconfig = named.get(_PROVIDER, next(iter(named.values())))
    return issuer.backend_arguments(state.login.issuer, kubeconfig)


def _login(state: State, pid: int | None) -> LoginStatus | None:
    if state.login is None:
        return None
    return LoginStatus(
        state.login.issuer,
        state.login.client_id,
        _responds(state.login.issuer),
        pid,
        tuple(ACCOUNTS),
        backend_arguments(state),
    )


def last_words(directory: Path) -> Path | None:
    """Return the log of the last background process when it has something to say."""
    log = directory / LOG_FILE
    return log if log.exists() and log.stat().st_size else None


def kubeconfig_of(directory: Path, cluster: str) -> tuple[Path, Path]:
    """Return kubectl and the kubeconfig of a cluster of a running playground.

    Raises:
        PlaygroundError: Nothing runs there, or no cluster of that name.
    """
    state = State.read(directory)
    if state is None or not state.owner.alive:
        raise PlaygroundError(
            f"no playground runs in {directory}: start one with `kubectl bind dev up{folders.option(directory)}`, "
            "or name its directory with --dir"
        )
    for each in state.clusters:
        if each.name == cluster:
            return Path(state.kubectl), Path(each.kubeconfig)
    names = ", ".join(each.name for each in state.clusters)
    raise PlaygroundError(f"there is no cluster {cluster!r} in {directory}; there are: {names}")


def encode(order: Order, control_plane: ControlPlane) -> str:
    """Write an order as JSON, for the background process."""
    return json.dumps(
        {
            "directory": str(order.directory),
            "clusters": [asdict(cluster) for cluster in order.clusters],
            "keep_data": order.keep_data,
            "login": order.login,
            "control_plane": {"folder": str(control_plane.folder), "origin": control_plane.origin},
        }
    )


def decode(text: str) -> tuple[Order, ControlPlane]:
    """Read what `encode` wrote."""
    data = json.loads(text)
    programs = data["control_plane"]
    order = Order(
        directory=Path(data["directory"]),
        clusters=[ClusterOptions(**cluster) for cluster in data["clusters"]],
        keep_data=data["keep_data"],
        login=data["login"],
    )
    return order, ControlPlane(Path(programs["folder"]), programs["origin"])


def _gone(processes: Sequence[ProcessId], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while any(process.alive for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def _responds(url: str) -> bool:
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=_READY_TIMEOUT)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _ready(kubeconfig: Path) -> bool:
    try:
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        address = urlsplit(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=authority)
        connection = HTTPSConnection(
            address.hostname or "", address.port, timeout=_READY_TIMEOUT, context=tls
        )
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError):
        return False
