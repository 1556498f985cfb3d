"""What every part of the konnector knows of its own cluster."""

from collections.abc import Callable
from dataclasses import dataclass

from bind_agent.api import meta
from bind_agent.api.resource import NAMESPACES, Resource
from bind_agent.kube.client import Client
from bind_agent.kube.intake import ProviderKubeconfig, accept_kubeconfig
from bind_agent.runtime.informer import InformerPool
from bind_agent.runtime.recorder import Recorder
from konnector.options import Options

_IDENTITY_NAMESPACE = "kube-system"


@dataclass(frozen=True, slots=True)
class AppCluster:
    """The cluster that the konnector serves.

    Attributes:
        client: its API server.
        pool: informers on it, shared by all provider sessions.
        bindings: the binding resource in the scope that is served here.
        cluster_id: identity that copies on the provider are marked with.
        recorder: events on objects of this cluster.
        options: what the process was told.
        allow_loopback: providers on this very machine are accepted.
        fence: for clients that write: raises when this process does not lead any more.
    """

    client: Client
    pool: InformerPool
    bindings: Resource
    cluster_id: str
    recorder: Recorder
    options: Options
    allow_loopback: bool
    fence: Callable[[], None] | None = None

    def accept(self, kubeconfig: bytes) -> ProviderKubeconfig:
        """Check a kubeconfig that comes from a provider (design section 5).

        Raises:
            IntakeError: it is refused.
        """
        return accept_kubeconfig(
            kubeconfig,
            allow_private_addresses=self.options.allow_private_addresses,
            allow_loopback=self.allow_loopback,
        )


async def cluster_identity(client: Client) -> str:
    """The UID of the namespace ``kube-system``: it lives as long as the cluster does.

    Raises:
        KubeError: the namespace cannot be read.
    """
    return meta.uid(await client.get(NAMESPACES, _IDENTITY_NAMESPACE))
