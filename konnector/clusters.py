"""The clusters that a konnector has to do with, by what they are for (spec 5.6).

``Home`` holds the bindings and is reached with the konnector's own configuration. ``AppCluster`` gets the CRDs and the
users' objects; ``Provider`` gets the copies. One of these two is the home cluster, and the other one, far from it, is
reached with a kubeconfig out of a Secret on the home cluster:

=====================  ============  ============
where it runs          home is       far is
=====================  ============  ============
on the app cluster     app cluster   provider
in control plane mode  provider      app cluster
=====================  ============  ============
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bind_agent.api.resource import SECRETS, Resource
from bind_agent.kube.client import Client
from bind_agent.kube.intake import ProviderKubeconfig, accept_kubeconfig
from bind_agent.runtime.budget import Budget
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.recorder import Recorder
from konnector.guard import Guard, cluster_identity
from konnector.limit_options import MEMORY_FLAG
from konnector.options import Options
from konnector.sync.model import Side


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects that are followed.

    Attributes:
        resource: their kind.
        namespace: where; None for everywhere.
        field_selector: as in the API.
    """

    resource: Resource
    namespace: str | None = None
    field_selector: str = ""


@dataclass(frozen=True, slots=True)
class Home:
    """The cluster that holds the bindings.

    Attributes:
        client: its API server.
        pool: informers on it.
        bindings: the bindings that are served, in the scope that is served here.
        needed: what else has to be known before anything can begin: the Secrets with kubeconfigs among it.
        title: what it is called in messages.
        roles: what to do when a right is missing here.
        options: what the process was told.
        allow_loopback: far clusters on this very machine are accepted.
        fence: for clients that write: raises when this process does not lead any more.
    """

    client: Client
    pool: InformerPool
    bindings: Collection
    needed: tuple[Collection, ...]
    title: str
    roles: str
    options: Options
    allow_loopback: bool
    fence: Callable[[], None] | None = None

    @property
    def secrets(self) -> tuple[Collection, ...]:
        """Those of ``needed`` that may hold kubeconfigs."""
        return tuple(one for one in self.needed if one.resource == SECRETS)

    def budget(self) -> Budget:
        """For what is kept in memory of one far cluster: it must not take what all others need."""
        remedy = f"raise {MEMORY_FLAG} of the konnector, and the memory limit of its pod with it"
        return Budget(self.options.limits.memory, remedy=remedy)

    def accept(self, kubeconfig: bytes, *, require_namespace: bool = True) -> ProviderKubeconfig:
        """Check a kubeconfig that comes out of a Secret (design section 5).

        Args:
            kubeconfig: the document.
            require_namespace: its context must name a namespace.

        Raises:
            IntakeError: it is refused.
        """
        return accept_kubeconfig(
            kubeconfig,
            allow_private_addresses=self.options.allow_private_addresses,
            allow_loopback=self.allow_loopback,
            require_namespace=require_namespace,
        )


@dataclass(frozen=True, slots=True)
class AppCluster:
    """The cluster that gets the CRDs and on which users work.

    Attributes:
        client: its API server.
        pool: informers on it.
        cluster_id: identity that copies on the provider are marked with; empty until it was asked for.
        recorder: events on objects of this cluster.
        options: what the process was told.
        own_namespaces: namespaces that hold credentials of konnectors: nothing crosses them.
        control_plane: identity of the cluster with the bindings, empty when it is this one.
        root: namespace of the bindings on that cluster.
        roles: what to do when a right is missing that every binding needs.
    """

    client: Client
    pool: InformerPool
    cluster_id: str
    recorder: Recorder
    options: Options
    own_namespaces: frozenset[str]
    control_plane: str = ""
    root: str = ""
    roles: str = ""

    async def identified(self) -> "AppCluster":
        """The same with its identity.

        Raises:
            KubeError: it cannot be asked.
        """
        return self if self.cluster_id else replace(self, cluster_id=await cluster_identity(self.client))


@dataclass(frozen=True, slots=True)
class Provider:
    """The cluster that gets the copies, as seen with one tenant's rights.

    Attributes:
        client: its API server.
        copies: the same, for writes that follow from what the app cluster holds.
        pool: informers on it.
        namespace: the tenant's cluster namespace.
        identity: which provider and tenant this is, in marks on the app cluster.
    """

    client: Client
    copies: Client
    pool: InformerPool
    namespace: str
    identity: str


@dataclass(frozen=True, slots=True)
class Far:
    """The end of a session that is reached with a kubeconfig out of a Secret.

    Attributes:
        side: which end it is.
        server: its address.
        secret: the Secret (``namespace/name``) that people put a new kubeconfig into; empty where they bind again.
        root: namespace of the bindings, where they are not on the app cluster.
    """

    side: Side
    server: str
    secret: str = ""
    root: str = ""


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a session.

    Attributes:
        app: the app cluster.
        provider: the provider.
        far: which of both is not the home cluster.
        guard: in the way of writes while it is not certain which app cluster they would follow from; None where the
            app cluster is at home.
    """

    app: AppCluster
    provider: Provider
    far: Far
    guard: Guard | None = None

    def doubt(self) -> None:
        """What is behind the kubeconfig may be another app cluster from now on."""
        if self.guard is not None:
            self.guard.doubt()

    @property
    def far_client(self) -> Client:
        """Client of the far end."""
        return self.app.client if self.far.side is Side.CONSUMER else self.provider.client

    @property
    def far_pool(self) -> InformerPool:
        """Informers on the far end."""
        return self.app.pool if self.far.side is Side.CONSUMER else self.provider.pool
