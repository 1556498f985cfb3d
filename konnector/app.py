"""The konnector process: connect, install, elect, serve (spec 6.2)."""

import os
from collections.abc import Callable

import structlog

from bind_agent._version import __version__
from bind_agent.kube.addresses import is_loopback
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import ClusterConfig, load
from bind_agent.kube.errors import KubeError
from bind_agent.obs import logging, metrics
from bind_agent.runtime.health import HealthServer
from bind_agent.runtime.informer import InformerPool
from bind_agent.runtime.leader import LeaderElector
from bind_agent.runtime.manager import Manager, run_main
from bind_agent.runtime.recorder import Recorder
from konnector.appcluster import AppCluster, cluster_identity
from konnector.hub import Hub
from konnector.install import InstallError, ensure_binding_crd
from konnector.options import Options, command

log = structlog.get_logger(__name__)


async def serve(options: Options) -> None:
    """Run one konnector until it is told to stop.

    Raises:
        BaseExceptionGroup: the app cluster refuses the credential, or the binding API may not be installed.
    """
    config = load(options.kubeconfig)
    async with _open(config, options) as client:
        health = HealthServer(options.health_host, options.health_port)
        recorder = Recorder(client, "konnector", instance=options.identity)
        konnector = _Konnector(options, config, client, recorder)
        health.add_ready("started", lambda: konnector.ready)
        if konnector.elector is not None:
            health.add_check("leaderElection", konnector.elector.healthy)
        manager = Manager()
        manager.add(health.run, "health")
        manager.add(recorder.run, "events")
        manager.add(konnector.run, "konnector")
        await manager.run()


def _open(config: ClusterConfig, options: Options, fence: Callable[[], None] | None = None) -> Client:
    return Client.open(
        config,
        user_agent=user_agent("konnector"),
        max_in_flight=options.max_in_flight,
        cluster="consumer",
        fence=fence,
    )


class _Konnector:
    """What every replica does before the election, and what the one does that won it."""

    def __init__(self, options: Options, config: ClusterConfig, client: Client, recorder: Recorder) -> None:
        self._options = options
        self._config = config
        self._client = client
        self._recorder = recorder
        self._hub: Hub | None = None
        self._prepared = False
        self.elector = (
            LeaderElector(
                client, options.lease_namespace, options.lease_name, options.identity, on_hung=_exit_at_once
            )
            if options.leader_elect
            else None
        )

    @property
    def ready(self) -> bool:
        """A standby is ready as soon as it could take over, the leader once it knows what is bound."""
        return self._prepared and (self._hub is None or self._hub.has_synced)

    async def run(self) -> None:
        """Install, take part in the election, work while leading."""
        self._bindings = await ensure_binding_crd(self._client)
        self._identity = await cluster_identity(self._client)
        self._prepared = True
        if self.elector is None:
            await self._lead()
        else:
            await self.elector.run(self._lead)

    async def _lead(self) -> None:
        loopback = self._options.allow_loopback
        fence = self.elector.check if self.elector is not None else None
        # A client of its own: the Lease and events are written by whoever does not lead, too.
        async with (
            _open(self._config, self._options, fence) as client,
            InformerPool(client, cluster="consumer") as pool,
        ):
            app = AppCluster(
                client=client,
                pool=pool,
                bindings=self._bindings,
                cluster_id=self._identity,
                recorder=self._recorder,
                options=self._options,
                allow_loopback=is_loopback(self._config.host) if loopback is None else loopback,
                fence=fence,
            )
            self._hub = Hub(app)
            try:
                await self._hub.run()
            finally:
                self._hub = None


def _exit_at_once() -> None:
    """Work goes on although the lease may have passed on: only the end of the process stops it for sure."""
    log.critical("work did not end after the lease was lost, ending the process")
    os._exit(70)


def run(options: Options) -> None:
    """Set logging up and serve; a failure to start is one sentence, not a traceback.

    Raises:
        SystemExit: the process could not start.
    """
    logging.setup(options.log_level, form=options.log_format)
    metrics.BUILD("konnector", __version__, "").set(1)
    try:
        run_main(serve(options))
    except* (KubeError, InstallError) as failures:
        for failure in failures.exceptions:
            log.error("cannot serve", error=str(failure))  # noqa: TRY400 - a traceback helps nobody here
        raise SystemExit(1) from None


def main() -> None:
    """Entry point of the console script."""
    command(run)()


if __name__ == "__main__":
    main()
