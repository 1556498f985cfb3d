"""The etcd below all clusters of a playground."""

from pathlib import Path
from typing import Any

from bind_agent.devcluster import adminhttp, arguments
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.server import Server
from bind_agent.devcluster.supervision import Supervision


class Etcd(Server):
    """etcd on Unix sockets in a private folder."""

    def __init__(
        self,
        supervision: Supervision,
        *,
        program: Path,
        root: Path,
        sockets: Path,
        rank: int,
        flags: tuple[str, ...],
    ) -> None:
        """Describe the server; nothing is started.

        Args:
            supervision: What its process is started under.
            program: The executable.
            root: Folder for data and log.
            sockets: Private folder for the sockets; its path has to be short (108 bytes are allowed).
            rank: Place in the order of ending.
            flags: Further flags.
        """
        self.socket = sockets / "etcd.sock"
        super().__init__(
            supervision,
            name="etcd",
            argv=arguments.etcd(
                program,
                data=root / "data",
                client_socket=self.socket,
                flags=flags,
            ),
            log=root / "etcd.log",
            rank=rank,
            ready=self._healthy,
            cwd=sockets,
        )

    async def compact(self) -> int:
        """Forget all history up to now, in every cluster of the playground.

        Lists and watches of an API server at an older resource version that its own cache does not cover are
        then answered with 410.

        Returns:
            The revision that history now begins at.

        Raises:
            DevClusterError: etcd refuses.
            OSError: It does not answer.
        """
        answer = await self._call("/v3/kv/range", {"key": "AA=="})
        revision = int(answer["header"]["revision"])
        await self._call("/v3/kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    async def _call(self, path: str, body: object) -> dict[str, Any]:
        status, answer = await adminhttp.request(self.socket, "POST", path, body=body, timeout=30.0)
        if status != 200 or not isinstance(answer, dict):
            raise DevClusterError(f"etcd answers {path} with HTTP {status}: {answer}")
        return answer

    async def _healthy(self) -> bool:
        status, answer = await adminhttp.request(self.socket, "GET", "/health")
        return status == 200 and isinstance(answer, dict) and answer.get("health") == "true"
