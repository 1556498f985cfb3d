"""The konnector process: connect, install, elect, serve (spec 6.2)."""

import os
from collections.abc import Callable

import structlog

from bind_agent._version import __version__
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import ClusterConfig, load
from bind_agent.kube.errors import KubeError
from bind_agent.obs import logging, metrics
from bind_agent.runtime.health import HealthServer
from bind_agent.runtime.leader import LeaderElector
from bind_agent.runtime.manager import Manager, run_main
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.reconcile import leaves
from konnector.agent import AgentMode
from konnector.control_plane import ControlPlaneMode
from konnector.hub import Hub
from konnector.install import InstallError
from konnector.mode import Mode
from konnector.options import Options, command
from konnector.sync.model import Side

log = structlog.get_logger(__name__)


async def serve(options: Options) -> None:
    """Run one konnector until it is told to stop.

    Raises:
        BaseExceptionGroup: the app cluster refuses the credential, or the binding API may not be installed.
        ConfigError: there is no usable configuration of the own cluster.
    """
    config = load(options.kubeconfig)
    async with _open(config, options) as client:
        health = HealthServer(options.health_host, options.health_port)
        konnector = _Konnector(options, config, client, _mode(options, config, client))
        health.add_ready("started", lambda: konnector.ready)
        if options.control_plane is not None:
            health.add_ready("appCluster", lambda: konnector.connected)
        if konnector.elector is not None:
            health.add_check("leaderElection", konnector.elector.healthy)
        manager = Manager()
        manager.add(health.run, "health")
        for name, companion in konnector.mode.companions.items():
            manager.add(companion, name)
        manager.add(konnector.run, "konnector")
        await manager.run()


def _mode(options: Options, config: ClusterConfig, client: Client) -> Mode:
    """What the process is, by the flags that it was given."""
    if options.control_plane is None:
        return AgentMode(options, config, client)
    return ControlPlaneMode(options, options.control_plane, config, client)


def _role(options: Options) -> Side:
    """What the home cluster is to the sessions: label of its metrics."""
    return Side.CONSUMER if options.control_plane is None else Side.PROVIDER


def _open(config: ClusterConfig, options: Options, fence: Callable[[], None] | None = None) -> Client:
    return Client.open(
        config,
        user_agent=user_agent("konnector"),
        max_in_flight=options.max_in_flight,
        cluster=_role(options),
        fence=fence,
    )


class _Konnector:
    """What every replica does before the election, and what the one does that won it."""

    def __init__(self, options: Options, config: ClusterConfig, client: Client, mode: Mode) -> None:
        self._options = options
        self._config = config
        self.mode = mode
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

    @property
    def connected(self) -> bool:
        """Whether the leader reaches what it cannot do without; a standby does not try."""
        return self._hub is None or self._hub.connected

    async def run(self) -> None:
        """Prepare, take part in the election, work while leading."""
        await self.mode.prepare()
        self._prepared = True
        if self.elector is None:
            await self._lead()
        else:
            await self.elector.run(self._lead)

    async def _lead(self) -> None:
        fence = self.elector.check if self.elector is not None else None
        # A client of its own: the Lease is written by whoever does not lead, too.
        async with (
            _open(self._config, self._options, fence) as client,
            InformerPool(client, cluster=_role(self._options)) as pool,
        ):
            self._hub = Hub(self.mode.lead(client, pool, fence))
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
    except* (KubeError, InstallError, OSError) as failures:
        for failure in leaves(failures):
            log.error("cannot serve", error=str(failure))  # noqa: TRY400 - a traceback helps nobody here
        raise SystemExit(1) from None


def main() -> None:
    """Entry point of the console script."""
    command(run)()


if __name__ == "__main__":
    main()
