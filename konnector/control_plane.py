"""The konnector in control plane mode: it runs on the provider's cluster, for one app cluster (spec 5.6).

The bindings live in the root namespace, which is the tenant's cluster namespace at the same time. The app cluster is
reached with the kubeconfig in the Secret that flags point to. The Secret is followed: a rotated credential is taken
over by the session that runs, another server starts another session, and a Secret that is missing or invalid is told
on the bindings and waited for.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog

from bind_agent.api import keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, SECRETS
from bind_agent.kube.addresses import is_loopback
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.errors import KubeError
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.kube.intake_fields import IntakeError
from bind_agent.runtime.budget import LARGEST
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.recorder import Recorder
from konnector.clusters import AppCluster, Collection, Ends, Far, Home, Provider
from konnector.controllers.binding_status import secret_ref
from konnector.guard import Guard
from konnector.mode import Destination, invalid_secret
from konnector.mode_options import ControlPlane
from konnector.options import Options
from konnector.secrets import Secrets, kubeconfig_of
from konnector.sync import remedies
from konnector.sync.model import Side

log = structlog.get_logger(__name__)

_LOOK_AGAIN_SECONDS: Final = 2.0


class ControlPlaneMode:
    """See the module, and ``konnector.mode.Mode``."""

    def __init__(self, options: Options, flags: ControlPlane, config: ClusterConfig, client: Client) -> None:
        """Set up.

        Args:
            options: what the process was told.
            flags: what it was told about this mode.
            config: how the control plane cluster is reached.
            client: of that cluster.
        """
        self._options = options
        self._flags = flags
        self._config = config
        self._client = client
        self.companions: Mapping[str, Callable[[], Awaitable[None]]] = {}

    async def prepare(self) -> None:
        """Wait until the control plane serves bindings in namespaces; nothing is installed there (spec 5.6)."""
        told = ""
        while problem := await self._problem():
            if problem != told:
                log.error("cannot start yet", error=problem)
                told = problem
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _problem(self) -> str:
        try:
            found = await self._client.discovery.find(BINDINGS.group, BINDINGS.plural, BINDINGS.version)
        except KubeError as error:
            return f"the control plane cannot be asked what it serves: {error}"
        if found is None:
            return (
                f"the control plane does not serve {BINDINGS.group_resource}; apply manifests/crds there, or start the "
                "backend with --control-plane-mode"
            )
        if not found.namespaced:
            return (
                f"the control plane serves {BINDINGS.group_resource} cluster-scoped, but in control plane mode "
                "each app cluster has its own namespace of bindings; apply manifests/crds there"
            )
        return ""

    def lead(self, client: Client, pool: InformerPool, fence: Callable[[], None] | None) -> "OnControlPlane":
        """See ``konnector.mode.Mode``."""
        loopback = self._options.allow_loopback
        home = Home(
            client=client,
            pool=pool,
            bindings=Collection(BINDINGS, self._flags.root_namespace),
            needed=_secrets(self._flags),
            title="the control plane cluster",
            roles=remedies.ROOT_NAMESPACE_ROLES,
            options=self._options,
            allow_loopback=is_loopback(self._config.host) if loopback is None else loopback,
            fence=fence,
        )
        return OnControlPlane(home, self._flags, self._config)


class OnControlPlane:
    """See ``konnector.mode.Place``."""

    provider_rotates = False
    far_is_needed = True

    def __init__(self, home: Home, flags: ControlPlane, config: ClusterConfig) -> None:
        """Serve from here.

        Args:
            home: the control plane.
            flags: root namespace, and the Secret with the app cluster's kubeconfig.
            config: how the control plane is reached.
        """
        self.home = home
        self._flags = flags
        self._config = config
        self._provider_id = identity(config, flags.root_namespace)
        self._secret = meta.join_key(flags.secret_namespace, flags.secret_name)

    def destination(self, binding: Object, secrets: Secrets) -> Destination | Condition:
        """The app cluster that this konnector is for, if the binding means that one, too."""
        named, _ = secret_ref(binding)
        namespace, _ = meta.split_key(named)
        root = self._flags.root_namespace
        if namespace != root and named != self._secret:
            return invalid_secret(
                Reason.KUBECONFIG_SECRET_INVALID,
                f"the Secret must be in the root namespace {root}, not in {namespace!r}",
            )
        meant = self._read(named, keys.KUBECONFIG, secrets) if named != self._secret else None
        if isinstance(meant, Condition):
            return meant
        served = self._read(self._secret, self._flags.secret_key, secrets)
        if isinstance(served, Condition):
            return served
        if meant is not None and (meant.server, meant.ca_pem) != (served.server, served.ca_pem):
            return invalid_secret(
                Reason.KUBECONFIG_SECRET_INVALID,
                f"Secret {named} leads to another cluster than Secret {self._secret}, which this konnector "
                "serves; name that one, or start a konnector with a root namespace of its own for the other cluster",
            )
        return Destination(self._secret, served)

    def _read(self, secret_key: str, entry_key: str, secrets: Secrets) -> ProviderKubeconfig | Condition:
        namespace, name = meta.split_key(secret_key)
        entry = secrets.get(secret_key)
        if entry is None:
            return invalid_secret(
                Reason.KUBECONFIG_SECRET_NOT_FOUND,
                f"Secret {name} is missing in namespace {namespace}; put the kubeconfig of the app cluster there, "
                "it is waited for",
            )
        try:
            return self.home.accept(kubeconfig_of(entry.object(), entry_key), require_namespace=False)
        except IntakeError as error:
            return invalid_secret(Reason.KUBECONFIG_SECRET_INVALID, f"Secret {secret_key}: {error}")

    @asynccontextmanager
    async def connect(self, kubeconfig: ProviderKubeconfig) -> AsyncIterator[Ends]:
        """A client of the app cluster, with a recorder for its events; the provider is here already."""
        options = self.home.options
        guard = Guard()

        def opened(config: ClusterConfig, side: Side, fence: Callable[[], None] | None) -> Client:
            return Client.open(
                config,
                user_agent=user_agent("konnector"),
                max_in_flight=options.max_in_flight,
                cluster=side,
                fence=fence,
                max_object=LARGEST,
            )

        async with (
            opened(kubeconfig.config(), Side.CONSUMER, self.home.fence) as client,
            opened(self._config, Side.PROVIDER, self._fence(guard)) as copies,
            InformerPool(client, cluster=Side.CONSUMER, budget=self.home.budget()) as app_pool,
            # Of its own, on the same client: what a session follows ends with it.
            InformerPool(self.home.client, cluster=Side.PROVIDER) as pool,
        ):
            recorder = Recorder(client, "konnector", instance=options.identity)
            app = AppCluster(
                client=client,
                pool=app_pool,
                cluster_id="",
                recorder=recorder,
                options=options,
                own_namespaces=frozenset({keys.CONSUMER_NAMESPACE}),
                control_plane=self._provider_id,
                root=self._flags.root_namespace,
                roles=remedies.APP_CLUSTER_ROLES,
            )
            provider = Provider(self.home.client, copies, pool, self._flags.root_namespace, self._provider_id)
            async with _beside(recorder.run):
                far = Far(Side.CONSUMER, kubeconfig.server, self._secret, self._flags.root_namespace)
                yield Ends(app, provider, far, guard)

    def _fence(self, guard: Guard) -> Callable[[], None]:
        def check() -> None:
            if self.home.fence is not None:
                self.home.fence()
            guard.check()

        return check


def identity(config: ClusterConfig, root_namespace: str) -> str:
    """Which control plane and tenant this is, in marks on the app cluster: its CA and the root namespace.

    Not its address: in a pod that is another one than outside, and both mean the same cluster. Where the CA is the
    system's own, the address has to do.
    """
    authority = b"".join(config.ca_pem.split()) if config.ca_pem else config.server.encode()
    hashed = hashlib.blake2b(digest_size=16)
    for part in (b"control plane", authority, root_namespace.encode()):
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()


def _secrets(flags: ControlPlane) -> tuple[Collection, ...]:
    """Of another namespace only the one Secret is followed: its reader needs no right on others."""
    own = Collection(SECRETS, flags.root_namespace)
    if flags.secret_namespace == flags.root_namespace:
        return (own,)
    return own, Collection(SECRETS, flags.secret_namespace, f"metadata.name={flags.secret_name}")


@asynccontextmanager
async def _beside(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Something that runs while the block does."""
    task = asyncio.ensure_future(run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(task, return_exceptions=True)
