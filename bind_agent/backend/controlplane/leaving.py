"""Removing everything that was made for an AppClusterBinding: the shell around `leaving_plan` (spec 5.4)."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Severity
from bind_agent.api.resource import BINDINGS, CLUSTERROLEBINDINGS, CLUSTERROLES, NAMESPACES
from bind_agent.backend import roots
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controlplane import leaving_plan as steps
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.controlplane.root import RootNamespaces
from bind_agent.backend.controlplane.views import ControlPlaneViews, objects_in
from bind_agent.backend.views import BY_NAMESPACE, get
from bind_agent.kube.errors import Forbidden

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something is left.

    Attributes:
        condition: says what.
        after: when to look again without an event.
    """

    condition: Condition
    after: timedelta


class Leaving:
    """Ends AppClusterBindings."""

    def __init__(self, context: Context, views: ControlPlaneViews, roots_: RootNamespaces) -> None:
        """Set up."""
        self._context = context
        self._views = views
        self._roots = roots_

    async def advance(self, wanted: Wanted) -> Waiting | None:
        """Do what can be done now.

        Returns:
            What has to end first; None when nothing is left.

        Raises:
            KubeError: a request failed.
        """
        for step in steps.plan(await self._observe(wanted)):
            match step:
                case steps.DeleteBinding(name, uid):
                    log.info("deleting a binding", binding=name, namespace=wanted.root)
                    await self._roots.access(wanted)
                    await self._context.client.delete(BINDINGS, name, namespace=wanted.root, uid=uid)
                case steps.DeleteRoot(name, uid):
                    log.info("deleting a root namespace", namespace=name)
                    # The rights in it end with it, and watches that are refused would be of no use to anybody.
                    self._roots.left(wanted.key)
                    await self._context.client.delete(NAMESPACES, name, uid=uid)
                case steps.DeleteLegacyRole(uid):
                    await self._legacy(wanted, uid)
                case steps.Wait(reason, message):
                    waiting = conditions.false(ConditionType.NAMESPACE_READY, reason, Severity.INFO, message)
                    return Waiting(waiting, timedelta(seconds=steps.WAIT))
                case steps.Release():
                    return None
        raise AssertionError("a plan ends with a Wait or a Release")

    async def _observe(self, wanted: Wanted) -> steps.Observed:
        views, name = self._context.views, wanted.root
        root = get(views.namespaces, name)
        if root is None:
            # Absence has to be confirmed before the finalizer comes off.
            root = await self._roots.confirmed(name)
        if root is not None and (roots.owner(root) != wanted.key or meta.is_deleting(root)):
            self._roots.left(wanted.key)
        records = f"{name}/"
        return steps.Observed(
            wanted=wanted,
            root=root,
            bindings=objects_in(self._views.bindings, name),
            mappings=[meta.name(one) for one in objects_in(views.service_namespaces, name, BY_NAMESPACE)],
            service_namespaces=[
                meta.name(one)
                for one in (entry.object() for entry in views.namespaces.store.entries())
                if meta.annotation(one, keys.API_SERVICE_NAMESPACE).startswith(records)
            ]
            if root is None
            else (),
            legacy=await self._context.client.get_or_none(CLUSTERROLES, _legacy_name(wanted))
            if root is None
            else None,
        )

    async def _legacy(self, wanted: Wanted, uid: str) -> None:
        """Delete what an older backend left, where that is allowed; else a person is told."""
        name = _legacy_name(wanted)
        try:
            for resource in (CLUSTERROLEBINDINGS, CLUSTERROLES):
                if not await self._context.rights.may("delete", resource, name=name):
                    return
            await self._context.client.delete(CLUSTERROLEBINDINGS, name)
            await self._context.client.delete(CLUSTERROLES, name, uid=uid)
        except Forbidden as error:
            log.info("legacy roles have to be deleted by a person", role=name, error=error.message)


def _legacy_name(wanted: Wanted) -> str:
    return keys.legacy_konnector_role(wanted.namespace, wanted.name)
