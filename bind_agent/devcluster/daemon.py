"""The process that runs a playground for people, in a terminal or in the background."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bind_agent.devcluster import folders
from bind_agent.devcluster.binaries import ControlPlane
from bind_agent.devcluster.cluster import ClusterOptions
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.issuer.launch import Issuer
from bind_agent.devcluster.issuer.people import CLIENT_ID
from bind_agent.devcluster.playground import Playground
from bind_agent.devcluster.state import (
    LOCK_FILE,
    STATE_FILE,
    ClusterState,
    LoginState,
    ProcessId,
    ServerState,
    State,
)

#: Signals that ask for an orderly end.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run.

    Attributes:
        directory: Where kubeconfigs, state and data go.
        clusters: The clusters.
        keep_data: Use the data of the last run again, and leave it there at the end.
        login: Run the development issuer beside the clusters.
    """

    directory: Path
    clusters: Sequence[ClusterOptions]
    keep_data: bool = False
    login: bool = False


@contextmanager
def owning(directory: Path) -> Iterator[None]:
    """Own a directory for as long as the block runs; the kernel ends the ownership with the process.

    Raises:
        PlaygroundError: Another process owns it, or it cannot be made.
    """
    folders.make(directory)
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise folders.taken(directory) from None
        yield
    finally:
        os.close(descriptor)


def owned(directory: Path) -> bool:
    """Tell whether a process owns the directory."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


async def serve(order: Order, control_plane: ControlPlane, ready: Callable[[State], None]) -> None:
    """Run a playground until this process gets SIGINT, SIGTERM or SIGHUP.

    Args:
        order: What to run.
        control_plane: The programs.
        ready: Called once everything serves.

    Raises:
        PlaygroundError: The directory is in use.
        DevClusterError: A server does not come up, or ended by itself later.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, told.set)
    with owning(order.directory):
        forget(order.directory)
        playground = Playground(
            *order.clusters, control_plane=control_plane, directory=order.directory, keep_data=order.keep_data
        )
        try:
            issuer = Issuer() if order.login else None
            if not await unless(told, _start(playground, issuer)):
                return
            state = describe(playground, control_plane, issuer)
            state.write(order.directory)
            ready(state)
            beside = () if issuer is None else (issuer.server,)
            failure = asyncio.ensure_future(playground.first_failure(*beside))
            if await unless(told, failure):
                server = failure.result()
                raise DevClusterError(
                    f"{server.name} ended by itself, so everything was stopped; start again with "
                    f"`kubectl bind dev up{folders.option(order.directory)}`. Its log ended with:\n{server.tail()}"
                )
        finally:
            await playground.stop()
            forget(order.directory)
            for number in ENDING:
                loop.remove_signal_handler(number)


async def _start(playground: Playground, issuer: Issuer | None) -> None:
    await playground.start()
    if issuer is not None:
        await issuer.start(playground)


def describe(playground: Playground, control_plane: ControlPlane, issuer: Issuer | None = None) -> State:
    """Describe a running playground for other processes."""
    beside = () if issuer is None else (issuer.server,)
    return State(
        owner=ProcessId.of(os.getpid()),
        supervisor=ProcessId.of(playground.supervisor_pid or 0),
        clusters=tuple(
            ClusterState(
                cluster.name,
                cluster.server,
                str(cluster.kubeconfig),
                str(cluster.audit_log) if cluster.options.audit else None,
            )
            for cluster in playground
        ),
        servers=tuple(
            ServerState(server.name, ProcessId.of(server.pid or 0), str(server.log))
            for server in (*playground.servers, *beside)
        ),
        kubectl=str(control_plane.kubectl),
        login=None if issuer is None else LoginState(issuer.url, CLIENT_ID),
    )


def forget(directory: Path) -> None:
    """Remove what describes a playground that no longer runs: its state and the kubeconfigs named in it."""
    state = State.read(directory)
    for cluster in state.clusters if state is not None else ():
        path = Path(cluster.kubeconfig)
        # The file is only a hint: nothing outside the directory is touched on its word.
        if path.parent == directory and path.suffix == ".kubeconfig":
            path.unlink(missing_ok=True)
    (directory / STATE_FILE).unlink(missing_ok=True)


async def unless(told: asyncio.Event, work: Awaitable[object]) -> bool:
    """Do the work unless the event comes first; return whether the work was done.

    What the work raises is raised here.
    """
    task = asyncio.ensure_future(work)
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
            return True
        return False
    finally:
        for each in (task, waiting):
            each.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
