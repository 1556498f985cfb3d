"""The whole product on a playground: programs under the service accounts and roles that are shipped.

What the demo, the end-to-end tests and the benchmarks share. Nodes are missing in a playground, so the
programs run as processes beside the clusters instead of in pods, with the token of exactly the service
account that their Deployment names; what their roles do not allow fails here as it would there.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bind_agent.devcluster.cluster import Cluster
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.pki import write_private
from bind_agent.devcluster.playground import Playground
from bind_agent.devcluster.ports import LOOPBACK, free_port
from bind_agent.devcluster.server import Server
from bind_agent.manifests import load_manifests

BACKEND_NAMESPACE = "klutch-bind-backend"
BACKEND_ACCOUNT = "bind-backend"
KONNECTOR_NAMESPACE = "klutch-bind"
KONNECTOR_ACCOUNT = "konnector"
BINDER_ACCOUNT = "klutch-binder"
_TOKEN_SECONDS = 24 * 3600
_TOKEN_ATTEMPTS = 50


class Stage:
    """Puts manifests into clusters and starts the programs of the product.

    Attributes:
        playground: the clusters.
        folder: where kubeconfigs of the programs lie (mode 0600).
        ports: health ports by program name.
    """

    def __init__(self, playground: Playground, folder: Path) -> None:
        """Use a running playground.

        Args:
            playground: the clusters.
            folder: a private folder for kubeconfigs.
        """
        self.playground = playground
        self.folder = folder
        self.ports: dict[str, int] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def kubectl(self, cluster: Cluster, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the cluster's admin.

        Returns:
            Its standard output.

        Raises:
            DevClusterError: it failed; the message is kubectl's.
        """
        program = str(self.playground.control_plane.kubectl)
        process = await asyncio.create_subprocess_exec(
            program,
            "--kubeconfig",
            str(cluster.kubeconfig),
            *arguments,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode() if stdin is not None else None)
        if process.returncode:
            raise DevClusterError(f"kubectl {' '.join(arguments)}: {err.decode(errors='replace').strip()}")
        return out.decode()

    async def apply(self, cluster: Cluster, objects: Sequence[Mapping[str, Any]]) -> None:
        """Apply objects as admin (server-side, forced)."""
        await self.kubectl(
            cluster,
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename=-",
            stdin=yaml.safe_dump_all(objects, sort_keys=False),
        )

    async def account_kubeconfig(self, cluster: Cluster, namespace: str, account: str) -> Path:
        """Write the kubeconfig of a service account, with a token of a day.

        Returns:
            The file, mode 0600.
        """
        token = await self._token(cluster, namespace, account)
        path = self.folder / f"{cluster.name}-{namespace}-{account}.kubeconfig"
        write_private(path, cluster.kubeconfig_for(token=token, namespace=namespace, user=account))
        return path

    async def _token(self, cluster: Cluster, namespace: str, account: str) -> str:
        # The API server answers from a cache that may not know an account of this very moment.
        for _ in range(_TOKEN_ATTEMPTS):
            try:
                return await cluster.service_account_token(namespace, account, seconds=_TOKEN_SECONDS)
            except DevClusterError:
                await asyncio.sleep(0.1)
        return await cluster.service_account_token(namespace, account, seconds=_TOKEN_SECONDS)

    async def install_backend(self, cluster: Cluster, *, manifests: str = "backend") -> None:
        """Apply the CRDs and the shipped backend manifests, all but the Deployment (there are no nodes)."""
        await self.apply(cluster, load_manifests("crds"))
        shipped = [o for o in load_manifests(manifests) if o["kind"] not in {"Deployment", "Service"}]
        await self.apply(cluster, shipped)

    async def backend_kubeconfig(self, cluster: Cluster) -> Path:
        """Write the kubeconfig of the backend's service account, for its commands as well."""
        return await self.account_kubeconfig(cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT)

    async def backend(
        self, cluster: Cluster, *flags: str, web: Sequence[str] = (), name: str = "backend"
    ) -> Server:
        """Describe a backend under its shipped service account; start it with ``start()``.

        Args:
            cluster: the control plane.
            flags: further flags.
            web: flags of the web half; without any it has none.
            name: of the program.
        """
        kubeconfig = await self.backend_kubeconfig(cluster)
        port = self._port(name)
        return self._program(
            name,
            [
                "-m",
                "bind_agent.backend.app",
                "serve",
                *(web or ("--no-web",)),
                f"--kubeconfig={kubeconfig}",
                f"--lease-namespace={BACKEND_NAMESPACE}",
                f"--health-address={LOOPBACK}:{port}",
                *flags,
            ],
            port,
        )

    async def konnector(self, cluster: Cluster, *flags: str, name: str = "konnector") -> Server:
        """Describe a konnector under its shipped service account; start it with ``start()``."""
        kubeconfig = await self.account_kubeconfig(cluster, KONNECTOR_NAMESPACE, KONNECTOR_ACCOUNT)
        port = self._port(name)
        return self._program(
            name,
            [
                "-m",
                "konnector.app",
                f"--kubeconfig={kubeconfig}",
                f"--lease-namespace={KONNECTOR_NAMESPACE}",
                f"--health-address={LOOPBACK}:{port}",
                *flags,
            ],
            port,
        )

    async def control_plane_konnector(
        self,
        cluster: Cluster,
        root: str,
        secret: str,
        *flags: str,
        account: str = BINDER_ACCOUNT,
        name: str = "control-plane-konnector",
    ) -> Server:
        """Describe a konnector in control plane mode, under the account of a root namespace (spec 5.5).

        Args:
            cluster: the control plane.
            root: the root namespace.
            secret: name of the Secret there with the app cluster's kubeconfig.
            flags: further flags.
            account: service account in the root namespace.
            name: of the program.
        """
        kubeconfig = await self.account_kubeconfig(cluster, root, account)
        port = self._port(name)
        return self._program(
            name,
            [
                "-m",
                "konnector.app",
                "--control-plane-mode",
                f"--app-cluster-kubeconfig-secret-name={secret}",
                f"--app-cluster-kubeconfig-secret-namespace={root}",
                f"--binding-root-namespace={root}",
                f"--kubeconfig={kubeconfig}",
                f"--lease-namespace={root}",
                f"--health-address={LOOPBACK}:{port}",
                *flags,
            ],
            port,
        )

    async def run(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        """Run a module of the product to its end, as a person would run the program.

        Args:
            arguments: ``-m module …`` and its flags.
            stdin: what is typed.
            timeout: seconds until it is killed.

        Returns:
            Its standard output.

        Raises:
            DevClusterError: it failed; the message is what it printed.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate((stdin or "").encode())
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
        if process.returncode:
            printed = f"{err.decode(errors='replace')}{out.decode(errors='replace')}".strip()
            raise DevClusterError(f"{' '.join(arguments[:4])} ended with {process.returncode}: {printed}")
        return out.decode()

    def _port(self, name: str) -> int:
        return self.ports.setdefault(name, free_port())

    def _program(self, name: str, arguments: Sequence[str], port: int) -> Server:
        return self.playground.program(
            name, [sys.executable, *arguments], ready=lambda: _ready(port), log=self.folder / f"{name}.log"
        )


async def _ready(port: int) -> bool:
    """Whether ``/readyz`` of a program answers 200."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await writer.drain()
        return b" 200 " in await reader.readline()
    finally:
        writer.close()


async def metrics(port: int) -> str:
    """What a program's ``/metrics`` says."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        return (await reader.read()).decode(errors="replace")
    finally:
        writer.close()


def printed_json(text: str) -> Any:
    """Decode what a program printed with ``-o json``."""
    return json.loads(text)
