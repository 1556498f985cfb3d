"""The konnector on the app cluster: it serves all bindings there and dials out to their providers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from bind_agent.api import meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.meta import Object
from bind_agent.api.resource import NAMESPACES, SECRETS
from bind_agent.kube.addresses import is_loopback
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.kube.intake_fields import IntakeError
from bind_agent.runtime.budget import LARGEST
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.recorder import Recorder
from konnector.clusters import AppCluster, Collection, Ends, Far, Home, Provider
from konnector.controllers.binding_status import secret_ref
from konnector.guard import cluster_identity
from konnector.install import ensure_binding_crd
from konnector.mode import Destination, invalid_secret
from konnector.options import Options
from konnector.secrets import Secrets, kubeconfig_of
from konnector.sync import remedies
from konnector.sync.model import Side


class AgentMode:
    """See the module, and ``konnector.mode.Mode``."""

    def __init__(self, options: Options, config: ClusterConfig, client: Client) -> None:
        """Set up.

        Args:
            options: what the process was told.
            config: how the app cluster is reached.
            client: of the app cluster, for what also replicas do that do not lead.
        """
        self._options = options
        self._config = config
        self._client = client
        self._recorder = Recorder(client, "konnector", instance=options.identity)
        self.companions: Mapping[str, Callable[[], Awaitable[None]]] = {"events": self._recorder.run}

    async def prepare(self) -> None:
        """Install or upgrade the binding CRD (spec 6.2), and learn who the cluster is.

        Raises:
            InstallError: the binding CRD is not there and cannot be installed.
            KubeError: the cluster refuses the credential.
        """
        self._bindings = await ensure_binding_crd(self._client)
        self._cluster_id = await cluster_identity(self._client)

    def lead(self, client: Client, pool: InformerPool, fence: Callable[[], None] | None) -> "OnAppCluster":
        """See ``konnector.mode.Mode``."""
        loopback = self._options.allow_loopback
        home = Home(
            client=client,
            pool=pool,
            bindings=Collection(self._bindings),
            needed=(Collection(SECRETS, self._options.secret_namespace), Collection(NAMESPACES)),
            title="the app cluster",
            roles=remedies.BASE_ROLES,
            options=self._options,
            allow_loopback=is_loopback(self._config.host) if loopback is None else loopback,
            fence=fence,
        )
        app = AppCluster(
            client=client,
            pool=pool,
            cluster_id=self._cluster_id,
            recorder=self._recorder,
            options=self._options,
            own_namespaces=frozenset({self._options.secret_namespace}),
            roles=remedies.BASE_ROLES,
        )
        return OnAppCluster(home, app)


class OnAppCluster:
    """See ``konnector.mode.Place``."""

    provider_rotates = True
    far_is_needed = False

    def __init__(self, home: Home, app: AppCluster) -> None:
        """Serve from here.

        Args:
            home: the app cluster as the one with the bindings.
            app: the same cluster as the one with the objects.
        """
        self.home = home
        self._app = app

    def destination(self, binding: Object, secrets: Secrets) -> Destination | Condition:
        """The provider that a binding leads to: the kubeconfig in the Secret that it names."""
        secret_key, _ = secret_ref(binding)
        namespace, name = meta.split_key(secret_key)
        own = self.home.options.secret_namespace
        if namespace != own:
            return invalid_secret(
                Reason.KUBECONFIG_SECRET_INVALID,
                f"the Secret must be in namespace {own}, not in {namespace!r}: "
                "whoever may create a binding must not be able to point the konnector at other Secrets",
            )
        entry = secrets.get(secret_key)
        if entry is None:
            return invalid_secret(
                Reason.KUBECONFIG_SECRET_NOT_FOUND,
                f"Secret {name} is missing in namespace {namespace}; bind again",
            )
        try:
            return Destination(secret_key, self.home.accept(kubeconfig_of(entry.object())))
        except IntakeError as error:
            return invalid_secret(Reason.KUBECONFIG_SECRET_INVALID, str(error))

    @asynccontextmanager
    async def connect(self, kubeconfig: ProviderKubeconfig) -> AsyncIterator[Ends]:
        """A client of the provider; the app cluster is here already."""
        client = Client.open(
            kubeconfig.config(),
            user_agent=user_agent("konnector"),
            max_in_flight=self.home.options.max_in_flight,
            cluster=Side.PROVIDER,
            fence=self.home.fence,
            max_object=LARGEST,
        )
        budget = self.home.budget()
        async with client, InformerPool(client, cluster=Side.PROVIDER, budget=budget) as pool:
            provider = Provider(client, client, pool, kubeconfig.namespace, kubeconfig.identity)
            yield Ends(self._app, provider, Far(Side.PROVIDER, kubeconfig.server))
