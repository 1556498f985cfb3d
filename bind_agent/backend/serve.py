"""The backend process: connect, check, elect, work (spec 4.2)."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from bind_agent._version import __version__
from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.aio.tasks import background
from bind_agent.aio.turns import Turns
from bind_agent.api.resource import CLUSTERROLEBINDINGS
from bind_agent.backend import install, names
from bind_agent.backend.controllers.cluster_binding import ClusterBindingReconciler
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controllers.export import ExportReconciler
from bind_agent.backend.controllers.reaper import Reaper
from bind_agent.backend.controllers.request import RequestReconciler
from bind_agent.backend.controllers.request_plan import Limits
from bind_agent.backend.controllers.service_namespace import ServiceNamespaceReconciler
from bind_agent.backend.controllers.wiring import Wiring
from bind_agent.backend.controlplane import mode
from bind_agent.backend.controlplane.settings import Settings
from bind_agent.backend.crds import CrdReader
from bind_agent.backend.http.service import WebHalf
from bind_agent.backend.http.spent import Spent
from bind_agent.backend.install import NotInstalled, prepare
from bind_agent.backend.options.serve import Serve
from bind_agent.backend.options.tenancy import Tenancy
from bind_agent.backend.options.web import WebOptions
from bind_agent.backend.pages.routes import routes
from bind_agent.backend.pages.view import PageView
from bind_agent.backend.rights import Rights
from bind_agent.backend.tenancy import address
from bind_agent.backend.tenancy.address import AddressError, Endpoint
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.provision import Tenants
from bind_agent.backend.views import Views
from bind_agent.backend.watched import Watched
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import ClusterConfig, load
from bind_agent.kube.errors import KubeError
from bind_agent.obs import logging, metrics
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.health import HealthServer
from bind_agent.runtime.leader import LeaderElector
from bind_agent.runtime.manager import Manager, freeze, run_main
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.reconcile import leaves
from bind_agent.runtime.recorder import Recorder

log = structlog.get_logger(__name__)

T = TypeVar("T")

_RETRY: Final = 2.0


class Backend:
    """The controllers of one process.

    Attributes:
        prepared: CRDs and roles are there and it watches, so that this process could take over.
        working: it leads, and its informers are complete.
    """

    def __init__(
        self,
        options: Serve,
        client: Client,
        recorder: Recorder,
        *,
        endpoint: Endpoint | AddressError,
        clock: Clock = SYSTEM,
    ) -> None:
        """Set up.

        Args:
            options: checked flags.
            client: of the provider cluster.
            recorder: takes Events.
            endpoint: what new kubeconfigs say, or why that is not known.
            clock: for wall-clock times.
        """
        self.prepared = False
        self.working = False
        self._watched: asyncio.Future[Watched] = asyncio.get_running_loop().create_future()
        self._options = options
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._rights = Rights(client, clock=clock)
        self._credentials = Credentials(
            client,
            ttl=options.tenancy.token_ttl,
            endpoint=endpoint,
            demanded=bool(options.tenancy.external.address),
            clock=clock,
        )

    async def run(self, elector: LeaderElector | None) -> None:
        """Prepare, then work whenever this process leads; without an elector at once.

        Raises:
            NotInstalled: something is missing that only an administrator can install.
        """
        needs = install.CONTROL_PLANE if self._options.control_plane.enabled else install.BASE
        await _patiently(
            lambda: prepare(self._client, self._rights, install=self._options.install_crds, needs=needs)
        )
        wide = await _patiently(lambda: self._rights.may("list", CLUSTERROLEBINDINGS))
        async with InformerPool(self._client) as pool:
            watched = self._watch(pool, cluster_role_bindings=wide)
            self._watched.set_result(watched)
            self.prepared = True
            if elector is None:
                await self.work(watched, None)
            else:
                await elector.run(lambda: self.work(watched, elector))

    async def watching(self) -> Watched:
        """What this process watches, once it does; not all of it may be complete yet."""
        return await asyncio.shield(self._watched)

    def tenants(self, watched: Watched) -> Tenants:
        """Adds, finds and ends tenants, by what is watched."""
        return Tenants(
            self._client,
            self._rights,
            self._credentials,
            views=watched.views,
            legacy_issuer=self._options.tenancy.legacy_issuer,
            clock=self._clock,
        )

    async def work(self, watched: Watched, elector: LeaderElector | None) -> None:
        """Run the controllers until cancelled."""
        try:
            await watched.views.wait_synced()
            # What is watched stays; full collections would look at thousands of tenants while people wait.
            freeze()
            async with background(*([watched.spent.keep_clean()] if watched.spent else []), name="spent"):
                await self._control(watched, elector)
        finally:
            self.working = False

    def _watch(self, pool: InformerPool, *, cluster_role_bindings: bool) -> Watched:
        views = Views(
            pool,
            cluster_role_bindings=cluster_role_bindings,
            app_clusters=self._options.control_plane.enabled,
        )
        spent = None
        if self._options.web is not None:
            spent = Spent.watched(
                pool, self._options.lease_namespace, replica=self._options.identity, clock=self._clock
            )
        return Watched(views, CrdReader(self._client, views.crds), spent)

    async def _control(self, watched: Watched, elector: LeaderElector | None) -> None:
        views = watched.views
        options = self._options
        context = Context(
            client=self._client,
            views=views,
            crds=watched.crds,
            rights=self._rights,
            recorder=self._recorder,
            policy=options.policy,
            limits=Limits(options.fail_after, options.prune_after),
            clock=self._clock,
            legacy_issuer=options.tenancy.legacy_issuer,
        )
        reaper = Reaper(context, self.tenants(watched), options.reaper)
        gate = elector.check if elector is not None else None
        turns = Turns()
        reconcilers = {
            "requests": RequestReconciler(context).reconcile,
            "exports": ExportReconciler(context).reconcile,
            "service_namespaces": ServiceNamespaceReconciler(context).reconcile,
            "cluster_bindings": ClusterBindingReconciler(context, self._credentials, reaper).reconcile,
        }
        controllers = {
            name: Controller(f"backend-{name}", reconcile, workers=options.workers, gate=gate, turns=turns)
            for name, reconcile in reconcilers.items()
        }
        wiring = Wiring(context, **controllers)
        try:
            self.working = True
            async with asyncio.TaskGroup() as group:
                for name, controller in controllers.items():
                    group.create_task(controller.run(), name=name)
                if options.control_plane.enabled:
                    group.create_task(
                        mode.run(context, self._settings(), workers=options.workers, gate=gate, turns=turns),
                        name="control plane mode",
                    )
        finally:
            wiring.close()

    def _settings(self) -> Settings:
        flags = self._options.control_plane
        # As for konnectors: app clusters on this machine are for playgrounds, where this cluster is here as well.
        local = address.is_local(self._client.config.server)
        return Settings(flags.konnector_image, flags.secret_namespaces, allow_loopback=local)


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do something that has to be done before anything else, however long the provider is away.

    Raises:
        KubeError: a failure that does not pass by itself.
    """
    while True:
        try:
            return await work()
        except KubeError as error:
            if not error.retriable:
                raise
            log.warning("the provider cannot be reached, trying again", error=str(error), after=_RETRY)
        await asyncio.sleep(_RETRY)


def endpoint_of(config: ClusterConfig, tenancy: Tenancy) -> Endpoint | AddressError:
    """What new kubeconfigs say, or why that is not known."""
    try:
        return address.resolve(
            tenancy.external,
            server=config.server,
            ca_pem=config.ca_pem,
            tls_server_name=config.tls_server_name,
            in_cluster=config.in_cluster,
        )
    except AddressError as error:
        return error


async def serve(options: Serve) -> None:
    """Run one backend until it is told to stop.

    Raises:
        BaseExceptionGroup: it could not start, or broke.
    """
    config = load(options.connection.kubeconfig)
    endpoint = endpoint_of(config, options.tenancy)
    if isinstance(endpoint, AddressError):
        log.warning("no credential can be issued to new tenants", reason=str(endpoint))
    async with Client.open(config, user_agent=user_agent("backend")) as client:
        recorder = Recorder(client, names.PROGRAM, instance=options.identity)
        backend = Backend(options, client, recorder, endpoint=endpoint)
        health = HealthServer(options.health_host, options.health_port)
        # A standby is ready as soon as it could take over.
        health.add_ready("prepared", lambda: backend.prepared)
        elector = None
        if options.leader_elect:
            elector = LeaderElector(
                client, options.lease_namespace, options.lease_name, options.identity, on_hung=_exit_at_once
            )
            health.add_check("leaderElection", elector.healthy)
        manager = Manager()
        manager.add(health.run, "health")
        manager.add(recorder.run, "events")
        manager.add(lambda: backend.run(elector), "backend")
        if options.web is not None:
            half = web_half(options, options.web, backend, endpoint)
            # Probes and balancers see it at once when the end begins.
            health.add_ready("web", lambda: half.ready)
            manager.add(lambda: half.run(backend.watching), "web", stop=half.stop)
        await manager.run()


def web_half(options: Serve, web: WebOptions, backend: Backend, endpoint: Endpoint | AddressError) -> WebHalf:
    """The web half beside a backend.

    Raises:
        OSError: the certificate cannot be read.
    """
    return WebHalf(
        web,
        options.tenancy,
        options.policy,
        backend.tenants,
        no_address=str(endpoint) if isinstance(endpoint, AddressError) else "",
        replica=options.identity,
        view=PageView(),
        routes=routes(),
    )


def run(options: Serve) -> None:
    """Set logging up and serve; a failure to start is one sentence, not a traceback.

    Raises:
        SystemExit: the process could not start.
    """
    logging.setup(options.connection.log_level, form=options.connection.log_format)  # type: ignore[arg-type]
    metrics.BUILD("backend", __version__, "").set(1)
    try:
        run_main(serve(options))
    except* (KubeError, NotInstalled, OSError) as failures:
        for failure in leaves(failures):
            log.error("cannot serve", error=str(failure))  # noqa: TRY400 - a traceback helps nobody here
        raise SystemExit(1) from None


def _exit_at_once() -> None:
    """Work goes on although the lease may have passed on: only the end of the process stops it for sure."""
    log.critical("work did not end after the lease was lost, ending the process")
    os._exit(70)
