"""A playground: one etcd and any number of named clusters on it, for as long as a block of code runs."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bind_agent.devcluster.arguments import ClusterFiles
from bind_agent.devcluster.binaries import ControlPlane, Sources, find_control_plane
from bind_agent.devcluster.cluster import RANK_ETCD, RANK_MANAGER, Cluster, ClusterOptions
from bind_agent.devcluster.errors import DevClusterError, PlaygroundError
from bind_agent.devcluster.etcd import Etcd
from bind_agent.devcluster.progress import Progress
from bind_agent.devcluster.server import Server
from bind_agent.devcluster.supervision import Supervision

#: Below a directory that the caller names: the servers' data, keys and logs.
DATA = "data"
#: Marks data that is to outlive a run.
KEPT = "kept"
_LONGEST_BASE = 70
DEFAULT_CLUSTERS = ("provider", "consumer")
#: Programs end before the servers that they talk to.
RANK_PROGRAM = RANK_MANAGER + 1


class Playground:
    """Real clusters, started by ``async with`` and gone after it.

    ```
    async with Playground("provider", ClusterOptions("consumer", audit=True)) as env:
        env["provider"].kubeconfig
        await env["consumer"].apiserver.restart()
    ```

    No server outlives the program, however it ends. Unless a directory is named, everything lies in a
    temporary folder that goes with the playground. In a named directory, data of an earlier run is used
    again, and left there at the end, only on request; otherwise it goes as well.

    Attributes:
        directory: Where ``<cluster>.kubeconfig`` lies.
        etcd: The etcd below all clusters.
    """

    etcd: Etcd

    def __init__(
        self,
        *clusters: str | ClusterOptions,
        control_plane: ControlPlane | None = None,
        directory: Path | None = None,
        keep_data: bool = False,
        etcd_flags: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        """Describe a playground; nothing is started.

        Args:
            clusters: Names, or options for clusters that need more; ``provider`` and ``consumer`` when none
                is given.
            control_plane: The programs; found in the usual places when None.
            directory: Folder for kubeconfigs, logs and data; a temporary one when None.
            keep_data: Use the data of an earlier run in ``directory`` again and leave it there at the end.
            etcd_flags: Further flags of etcd.
            progress: Where the search for the programs reports to; standard error when None.

        Raises:
            ValueError: A name is not allowed or used twice, or data is to be kept in no directory.
        """
        options = [_options(cluster) for cluster in clusters or DEFAULT_CLUSTERS]
        if len({option.name for option in options}) < len(options):
            raise ValueError("each cluster needs a name of its own")
        if keep_data and directory is None:
            raise ValueError("keeping data needs a directory to keep it in")
        self._options = options
        self._control_plane = control_plane
        self._keep_data = keep_data
        self._etcd_flags = tuple(etcd_flags)
        self._progress = progress
        self._named = directory.absolute() if directory is not None else None
        self._scratch: Path | None = None
        self._clusters: dict[str, Cluster] = {}
        self._supervision: Supervision | None = None

    @property
    def directory(self) -> Path:
        """Where the kubeconfigs lie."""
        if self._named is not None:
            return self._named
        return self._private

    @property
    def control_plane(self) -> ControlPlane:
        """The programs in use.

        Raises:
            DevClusterError: They are not looked for before the start.
        """
        if self._control_plane is None:
            raise DevClusterError("the playground is not running: use it in an `async with` block")
        return self._control_plane

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """The clusters, in the order they were asked for."""
        return tuple(self._clusters.values())

    @property
    def servers(self) -> tuple[Server, ...]:
        """Every server of the playground."""
        return (self.etcd, *(server for cluster in self.clusters for server in cluster.servers))

    @property
    def supervisor_pid(self) -> int | None:
        """Process id of the parent of all servers."""
        return self._supervision.pid if self._supervision is not None else None

    def __getitem__(self, name: str) -> Cluster:
        return self._clusters[name]

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self.clusters)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything; when something fails, everything is stopped again.

        Logs of a start that failed stay in a named directory until the next one.

        Raises:
            PlaygroundError: The directory holds data that an earlier run was told to keep.
            ControlPlaneUnavailableError: The programs are nowhere to be had.
            ServerError: A server does not come up.
        """
        programs = self._control_plane
        if programs is None:
            programs = await asyncio.to_thread(find_control_plane, Sources.from_environment(), self._progress)
            self._control_plane = programs
        try:
            self._scratch = _temporary()  # not in a thread: cancelled meanwhile, the folder would stay
            await asyncio.to_thread(self._prepare)
            self._supervision = await Supervision.open()
            self._supervision.scratch(self._scratch)
            self.etcd = Etcd(
                self._supervision,
                program=programs.etcd,
                root=_private_folder(self._data / "etcd"),
                sockets=self._private,
                rank=RANK_ETCD,
                flags=self._etcd_flags,
            )
            await self.etcd.start()
            async with asyncio.TaskGroup() as group:
                for options in self._options:
                    group.create_task(self.add(options))
        except BaseException as error:
            await self._end()
            if isinstance(error, ExceptionGroup):
                raise _first(error) from error
            raise

    async def stop(self) -> None:
        """Stop everything and remove what is temporary. May be called again."""
        await self._end()
        if self._named is not None and not self._keep_data:
            await asyncio.to_thread(shutil.rmtree, self._data, True)

    async def add(self, cluster: str | ClusterOptions) -> Cluster:
        """Start one more cluster on the same etcd.

        Raises:
            ValueError: The name is not allowed or in use.
            ServerError: A server does not come up.
        """
        options = _options(cluster)
        if self._supervision is None or self._control_plane is None:
            raise DevClusterError("the playground is not running: use it in an `async with` block")
        if options.name in self._clusters:
            raise ValueError(f"there is a cluster {options.name} already")
        made = self._clusters[options.name] = Cluster(
            options,
            files=ClusterFiles(_private_folder(self._data / "clusters" / options.name)),
            kubeconfig=self.directory / f"{options.name}.kubeconfig",
            control_plane=self._control_plane,
            supervision=self._supervision,
            etcd_socket=self.etcd.socket,
        )
        try:
            await made.start()
        except BaseException:
            del self._clusters[options.name]
            await made.stop()
            raise
        return made

    async def remove(self, name: str) -> None:
        """Stop a cluster; its data stays in etcd until the playground goes."""
        cluster = self._clusters.pop(name)
        await cluster.stop()
        cluster.kubeconfig.unlink(missing_ok=True)

    def program(
        self, name: str, argv: Sequence[str], *, ready: Callable[[], Awaitable[bool]], log: Path | None = None
    ) -> Server:
        """Describe a program that runs beside the clusters and ends before them; start it as any server.

        Args:
            name: For messages, and for the name of its log.
            argv: Program and arguments.
            ready: Tells whether it serves.
            log: Where its output goes; ``<name>.log`` beside the logs of the servers when None.

        Raises:
            DevClusterError: The playground is not running.
        """
        if self._supervision is None:
            raise DevClusterError("the playground is not running: use it in an `async with` block")
        return Server(
            self._supervision,
            name=name,
            argv=argv,
            log=log or self._data / f"{name}.log",
            rank=RANK_PROGRAM,
            ready=ready,
        )

    async def first_failure(self, *programs: Server) -> Server:
        """Wait until a server ends that nobody asked to end, and return it.

        Args:
            programs: Programs beside the clusters that are to be watched as well.
        """
        tasks = {
            asyncio.create_task(server.ended_by_itself()): server for server in (*self.servers, *programs)
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return tasks[done.pop()]
        finally:
            for task in tasks:
                task.cancel()

    async def _end(self) -> None:
        if self._supervision is not None:
            await self._supervision.close()
        for cluster in self.clusters:
            cluster.kubeconfig.unlink(missing_ok=True)  # it leads nowhere now
        if self._scratch is not None:
            await asyncio.to_thread(shutil.rmtree, self._scratch, True)

    @property
    def _private(self) -> Path:
        if self._scratch is None:
            raise DevClusterError("the playground is not running: use it in an `async with` block")
        return self._scratch

    @property
    def _data(self) -> Path:
        return (self._named if self._named is not None else self._private) / DATA

    def _prepare(self) -> None:
        if self._named is not None:
            self._named.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept = self._data / KEPT
            if self._keep_data:
                _private_folder(self._data)
                kept.touch()
            elif kept.exists():
                raise PlaygroundError(
                    f"{self._data} holds data that an earlier run was told to keep: use it again with "
                    "--keep-data, or remove that folder"
                )
            else:
                shutil.rmtree(self._data, ignore_errors=True)
        _private_folder(self._data)


def _options(cluster: str | ClusterOptions) -> ClusterOptions:
    return ClusterOptions(cluster) if isinstance(cluster, str) else cluster


def _temporary() -> Path:
    # The path of a Unix socket has at most 108 bytes.
    base = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="bind-dev-", dir=base if len(base) <= _LONGEST_BASE else "/tmp"))  # noqa: S108


def _private_folder(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _first(group: ExceptionGroup) -> BaseException:
    error: BaseException = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
