"""Control plane mode of one backend process, while it leads."""

from collections.abc import Callable

from bind_agent.aio.turns import Turns
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controlplane.controller import AppClusterBindingReconciler
from bind_agent.backend.controlplane.settings import Settings
from bind_agent.backend.controlplane.views import ControlPlaneViews
from bind_agent.backend.controlplane.watches import Watches
from bind_agent.backend.controlplane.wiring import Wiring
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.pool import InformerPool


async def run(
    context: Context,
    settings: Settings,
    *,
    workers: int,
    gate: Callable[[], None] | None = None,
    turns: Turns | None = None,
) -> None:
    """Look after AppClusterBindings until cancelled.

    Args:
        context: of the other controllers; its views are complete.
        settings: of the operator.
        workers: AppClusterBindings worked on at once.
        gate: see `Controller`.
        turns: see `Controller`.
    """
    async with InformerPool(context.client) as pool:
        views = ControlPlaneViews(pool)
        await views.wait_synced()
        watches = Watches(pool, lambda key, priority: controller.enqueue(key, priority=priority))
        reconciler = AppClusterBindingReconciler(context, views, watches, settings)
        controller = Controller(
            "backend-app_cluster_bindings", reconciler.reconcile, workers=workers, gate=gate, turns=turns
        )
        wiring = Wiring(context, views, controller)
        try:
            await controller.run()
        finally:
            wiring.close()
            watches.close()
