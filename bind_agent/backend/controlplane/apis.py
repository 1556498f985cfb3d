"""Bindings, requests and exports of an app cluster: the shell around `apis_plan` (spec 5.3 steps 4 and 5)."""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from bind_agent.api import keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.resource import BINDINGS, EXPORT_REQUESTS, EXPORTS
from bind_agent.backend.access import Kind
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controlplane import apis_model as steps
from bind_agent.backend.controlplane.apis_plan import plan
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.controlplane.views import ControlPlaneViews, objects_in
from bind_agent.backend.echo import Echo
from bind_agent.backend.templates import choose, choose_for
from bind_agent.backend.views import BY_NAMESPACE
from bind_agent.kube.errors import AlreadyExists, Conflict, KubeError

log = structlog.get_logger(__name__)


class Apis:
    """Keeps the APIs of app clusters."""

    def __init__(self, context: Context, views: ControlPlaneViews) -> None:
        """Set up."""
        self._context = context
        self._views = views
        self._echo = Echo()

    async def bring_about(self, wanted: Wanted) -> tuple[Condition, timedelta | None]:
        """Bring the APIs in line.

        Returns:
            APIsBound, and when to look again without an event.

        Raises:
            KubeError: a request failed; all others were made nevertheless.
        """
        views, root = self._context.views, wanted.root
        bindings, exports = objects_in(self._views.bindings, root), views.exports_in(root)
        seen = steps.Observed(
            wanted=wanted,
            apis=[await self._offered(kind, exports) for kind in wanted.kinds],
            bindings=bindings,
            exports=exports,
            requests=objects_in(views.requests, root, BY_NAMESPACE),
            claimable=self._context.policy.claimable,
        )
        planned = plan(seen, now=self._context.clock.now())
        by_name = {meta.name(one): one for one in bindings}
        failures: list[KubeError] = []
        for step in planned.steps:
            try:
                await self._execute(step, root, by_name)
            except KubeError as error:
                # One API that is refused does not hold up the others.
                failures.append(error)
        if failures:
            raise next((one for one in failures if not isinstance(one, Conflict)), failures[0])
        return planned.condition, planned.after

    async def _offered(self, kind: Kind, exports: Sequence[meta.Object]) -> steps.Api:
        """What the provider has for one kind: for an export that is there, by the template that it was made from."""
        templates = self._context.views.templates_of(kind)
        export = next((one for one in exports if meta.name(one) == str(kind)), None)
        choice = choose(templates) if export is None else choose_for(export, templates)
        return steps.Api(kind, choice, await self._context.draft(kind, choice))

    async def _execute(self, step: steps.Step, root: str, bindings: dict[str, meta.Object]) -> None:
        client = self._context.client
        match step:
            case steps.CreateBinding(binding):
                log.info("creating a binding", binding=meta.name(binding), namespace=root)
                await self._create_binding(binding, root)
            case steps.PatchBinding(name, patch):
                if self._echo.pending(f"{root}/{name}", bindings[name]):
                    return
                log.info("changing a binding", binding=name, namespace=root)
                stored = await client.merge_patch(BINDINGS, name, patch, namespace=root)
                self._echo.written(f"{root}/{name}", bindings[name], stored)
            case steps.DeleteBinding(name, uid):
                log.info("deleting a binding that is not wanted any more", binding=name, namespace=root)
                await client.delete(BINDINGS, name, namespace=root, uid=uid)
            case steps.CreateRequest(request):
                log.info("requesting an export", request=meta.name(request), namespace=root)
                await self._create_request(request, root)
            case steps.DeleteRequest(name, uid):
                log.info("deleting a request", request=name, namespace=root)
                await client.delete(EXPORT_REQUESTS, name, namespace=root, uid=uid)
            case steps.DeleteExport(name, uid):
                log.info("deleting an export that is not wanted any more", export=name, namespace=root)
                await client.delete(EXPORTS, name, namespace=root, uid=uid)

    async def _create_binding(self, binding: meta.Object, root: str) -> None:
        try:
            await self._context.client.create(BINDINGS, binding, namespace=root)
        except AlreadyExists:
            log.debug("already there", kind=keys.KIND_BINDING, name=meta.name(binding), namespace=root)

    async def _create_request(self, request: meta.Object, root: str) -> None:
        try:
            await self._context.client.create(EXPORT_REQUESTS, request, namespace=root)
        except AlreadyExists:
            log.debug("already there", kind=keys.KIND_EXPORT_REQUEST, name=meta.name(request), namespace=root)
