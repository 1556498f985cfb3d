"""Commands out of messages, run as whoever reads them would."""

import asyncio
import os

from bind_agent.devcluster import Cluster, ControlPlane


async def run_verbatim(command: str, cluster: Cluster, control_plane: ControlPlane) -> str:
    """Paste a command into a shell of the cluster's administrator; returns what it printed.

    Args:
        command: as it stands in a message.
        cluster: whose kubeconfig is in use.
        control_plane: has the kubectl.
    """
    path = f"{control_plane.kubectl.parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_shell(
        command,
        env={**os.environ, "PATH": path, "KUBECONFIG": str(cluster.kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()
