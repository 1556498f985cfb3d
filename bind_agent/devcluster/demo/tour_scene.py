"""What all steps of the demonstration share: the clusters, the programs, and ways to act and to look."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bind_agent.devcluster.cluster import Cluster
from bind_agent.devcluster.demo import names
from bind_agent.devcluster.demo.tour_commands import Command, Runner, program_words, typed
from bind_agent.devcluster.demo.tour_telling import Narrator
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.issuer.launch import Issuer
from bind_agent.devcluster.playground import DATA, Playground
from bind_agent.devcluster.server import Server
from bind_agent.devcluster.stage import Stage
from bind_agent.manifests import load_manifests, manifests_dir

EXAMPLE: Final = "examples/postgres"
API: Final = f"{names.PLURAL}.{names.GROUP}"
#: Seconds for anything that the programs do by themselves; it takes a fraction of one.
PATIENCE: Final = 60.0


class NotAsPromised(DevClusterError):  # noqa: N818 - named by meaning
    """The clusters or the database are not as the step says they should be."""


class Scene:
    """A running playground with the programs of the product and of the service.

    Attributes:
        playground: the clusters.
        stage: puts manifests and programs there.
        narrator: what is done is told to it.
        programs: what runs beside the clusters, by name.
        issuer: where people sign in.
        web: address of the provider's pages; empty before its backend is started.
        namespace: of the app cluster that the database is asked for in.
        name: of the object.
        facts: what a step found out and a later one needs.
    """

    def __init__(self, playground: Playground, narrator: Narrator) -> None:
        data = playground.directory / DATA
        self.playground = playground
        self.narrator = narrator
        # Goes with the playground's data, also when this process is killed.
        self.stage = Stage(playground, data / "programs")
        self.programs: dict[str, Server] = {}
        self.issuer = Issuer()
        self.web = ""
        self.object: dict[str, Any] = load_manifests(f"{EXAMPLE}/postgresql.yaml")[0]
        self.namespace: str = self.object["metadata"]["namespace"]
        self.name: str = self.object["metadata"]["name"]
        self.facts: dict[str, Any] = {}
        self._runner = Runner(playground.control_plane.kubectl, data / "kubectl")
        self._trouble: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        self._watchers = [asyncio.create_task(self._watch(server)) for server in playground.servers]

    @property
    def provider(self) -> Cluster:
        """The control plane cluster."""
        return self.playground["provider"]

    @property
    def consumer(self) -> Cluster:
        """The app cluster."""
        return self.playground["consumer"]

    @property
    def secret(self) -> str:
        """Name of the credentials Secret."""
        return f"{self.name}-credentials"

    @property
    def config_map(self) -> str:
        """Name of the ConfigMap with the address."""
        return f"{self.name}-connection"

    # --- acting ------------------------------------------------------------------------------------------

    async def run(
        self, *words: str, source: Sequence[str] = (), heard: Callable[[str], None] = lambda _: None
    ) -> tuple[str, str]:
        """Show a command and run it.

        Args:
            words: program and arguments.
            source: the words of a command that is piped into it.
            heard: told each line of standard error as soon as it is written.

        Returns:
            Standard output and standard error.

        Raises:
            CommandFailed: it failed.
        """
        command = Command(words, Command(tuple(source)) if source else None)
        self.narrator.command(typed(command))
        return await self._runner.run(command, heard=heard)

    async def kubectl(self, cluster: Cluster, *arguments: str, source: Sequence[str] = ()) -> str:
        """Show a kubectl command and run it as the cluster's admin; returns its standard output."""
        out, _ = await self.run(*self.kubectl_words(cluster, *arguments), source=source)
        return out

    @staticmethod
    def kubectl_words(cluster: Cluster, *arguments: str) -> tuple[str, ...]:
        """What a person would type as the cluster's admin."""
        return ("kubectl", f"--kubeconfig={cluster.kubeconfig}", *arguments)

    async def start(self, server: Server, *, account: str) -> None:
        """Start a program and tell under which account.

        Args:
            server: the program.
            account: ``namespace/name`` of its ServiceAccount.

        Raises:
            ServerError: it does not come up.
        """
        self.narrator.command(typed(Command(program_words(server.argv))))
        self.programs[server.name] = server
        await server.start()
        self.watch(server)
        self.narrator.outcome(f"{server.name} is ready: process {server.pid}, ServiceAccount {account}")

    def watch(self, server: Server) -> None:
        """Take a program that was started into the scene: its end is trouble, and it is stopped with the others."""
        self.programs[server.name] = server
        self._watchers.append(asyncio.create_task(self._watch(server)))

    async def trouble(self) -> Server:
        """Wait until a server or program ends that nobody asked to end, and return it."""
        return await asyncio.shield(self._trouble)

    async def stop(self) -> None:
        """Stop the programs, all at once; the clusters stay."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await asyncio.gather(*(server.stop() for server in self.programs.values()))

    async def _watch(self, server: Server) -> None:
        await server.ended_by_itself()
        if not self._trouble.done():
            self._trouble.set_result(server)

    # --- looking -----------------------------------------------------------------------------------------

    @staticmethod
    def manifest(name: str) -> str:
        """Path of a shipped file of the example."""
        return str(manifests_dir() / EXAMPLE / name)

    async def read(self, cluster: Cluster, path: str) -> dict[str, Any] | None:
        """An object as the admin sees it; None when it does not exist.

        Raises:
            NotAsPromised: the API server answers with something else.
        """
        status, answer = await cluster.request("GET", path)
        if status == 404:
            return None
        if status != 200 or not isinstance(answer, dict):
            raise NotAsPromised(f"the API server of {cluster.name} answers {status} to GET {path}")
        return answer

    async def until(
        self, check: Callable[[], Awaitable[bool]], what: str, *, timeout: float = PATIENCE
    ) -> None:
        """Wait until something is true.

        Raises:
            NotAsPromised: it is not in time; the text says what was waited for.
        """
        end = time.monotonic() + timeout
        while not await check():
            if time.monotonic() > end:
                raise NotAsPromised(f"not within {timeout:.0f} s: {what}")
            await asyncio.sleep(0.1)

    def logs(self, *programs: str) -> dict[str, str]:
        """Last lines of the logs of programs, as far as they run or ran."""
        found = {name: self.programs[name].tail() for name in programs if name in self.programs}
        return {name: tail for name, tail in found.items() if tail}

    @property
    def log_files(self) -> dict[str, Path]:
        """The logs of all servers and programs, by name."""
        servers = (*self.playground.servers, *self.programs.values())
        return {server.name: server.log for server in servers}


def object_path(resource: str, namespace: str, name: str) -> str:
    """Path of a namespaced object at an API server.

    Args:
        resource: ``secrets``, ``configmaps``, or the plural of the service's kind.
        namespace: of the object.
        name: of the object.
    """
    group = f"apis/{names.API_VERSION}" if resource == names.PLURAL else "api/v1"
    return f"/{group}/namespaces/{namespace}/{resource}/{name}"
