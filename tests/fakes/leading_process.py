"""A process that leads and writes: for tests that stop it (SIGSTOP) in the middle.

Arguments: kubeconfig, namespace, identity, lease, renew and retry seconds. While it leads it writes its
identity and a growing number into the ConfigMap `written`, with a client that is fenced by the elector, and
tells what happens on its standard output.
"""

import asyncio
import itertools
import sys
from pathlib import Path

from bind_agent.api.resource import CONFIGMAPS
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import KubeError
from bind_agent.runtime.leader import LeaderElector, LostLease


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    """Take part in the election until killed."""
    kubeconfig, namespace, identity, *times = sys.argv[1:]
    lease, renew, retry = map(float, times)
    async with Client.open(from_kubeconfig(Path(kubeconfig)), user_agent=identity) as client:
        elector = LeaderElector(
            client, namespace, "klutch-bind", identity, lease=lease, renew=renew, retry=retry
        )

        async def work() -> None:
            fenced = Client.open(from_kubeconfig(Path(kubeconfig)), user_agent=identity, fence=elector.check)
            async with fenced:
                await write(fenced)

        async def write(fenced: Client) -> None:
            say("leading")
            try:
                for number in itertools.count():
                    await asyncio.sleep(0.01)
                    patch = {"data": {"by": identity, "number": str(number)}}
                    await fenced.merge_patch(CONFIGMAPS, "written", patch, namespace=namespace)
            except (LostLease, KubeError) as error:
                say(f"stopped by {type(error).__name__}")
                await asyncio.get_running_loop().create_future()
            finally:
                say("ended")

        await elector.run(work)


if __name__ == "__main__":
    asyncio.run(main())
