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
        self._going: dict[str, str] = {}

    async def advance(self, wanted: Wanted) -> Waiting | None:
        """Do what can be done now.

        Returns:
            What has to end first; None when nothing is left.

        Raises:
            KubeError: a request failed.
        """
        seen = await self._observe(wanted)
        for step in steps.plan(seen):
            match step:
                case steps.DeleteBinding(name, uid):
                    log.info("deleting a binding", binding=name, namespace=wanted.root)
                    await self._access(wanted, seen)
                    await self._context.client.delete(BINDINGS, name, namespace=wanted.root, uid=uid)
                case steps.DeleteRoot(name, uid):
                    if seen.root is not None and roots.is_proven(seen.root):
                        # Admission lets nobody else delete a namespace without a record.
                        await self._access(wanted, seen)
                        # What proves whose it is goes with it.
                        self._going[wanted.key] = uid
                    log.info("deleting a root namespace", namespace=name)
                    # The rights in it end with it, and watches that are refused would be of no use to anybody.
                    self._roots.left(wanted.key)
                    await self._context.client.delete(NAMESPACES, name, uid=uid)
                case steps.DeleteLegacyRole():
                    await self._legacy(wanted, step)
                case steps.Wait(reason, message):
                    waiting = conditions.false(ConditionType.NAMESPACE_READY, reason, Severity.INFO, message)
                    return Waiting(waiting, timedelta(seconds=steps.WAIT))
                case steps.Release():
                    if seen.legacy is not None:
                        log.info(
                            "a role of the legacy name is not ours and stays", role=meta.name(seen.legacy)
                        )
                    self._going.pop(wanted.key, None)
                    return None
        raise AssertionError("a plan ends with a Wait or a Release")

    async def _observe(self, wanted: Wanted) -> steps.Observed:
        views, name = self._context.views, wanted.root
        root = views.namespace(name)
        if root is None:
            # Absence has to be confirmed before the finalizer comes off.
            root = await self._roots.confirmed(name)
        if root is not None and self._roots.rivals(wanted, root):
            root = get(views.namespaces, name)
        if root is not None and self._going.get(wanted.key) == meta.uid(root):
            root = roots.recorded(root, wanted.key)
        if root is not None and (roots.owner(root) != wanted.key or meta.is_deleting(root)):
            self._roots.left(wanted.key)
        records = f"{name}/"
        legacy = None
        if root is None:
            legacy = await self._context.client.get_or_none(CLUSTERROLES, _legacy_name(wanted))
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
            legacy=legacy,
            rivals=() if legacy is None else self._rivals(wanted),
        )

    async def _access(self, wanted: Wanted, seen: steps.Observed) -> None:
        if seen.root is not None:
            await self._roots.access(wanted, seen.root)

    def _rivals(self, wanted: Wanted) -> list[str]:
        """Other AppClusterBindings for which older backends would have made a role of the same name."""
        names = (meta.split_key(key) for key in self._views.app_cluster_bindings.store.keys())
        legacy = _legacy_name(wanted)
        return [
            meta.join_key(namespace, name)
            for namespace, name in names
            if (namespace, name) != (wanted.namespace, wanted.name)
            and keys.legacy_konnector_role(namespace, name) == legacy
        ]

    async def _legacy(self, wanted: Wanted, role: steps.DeleteLegacyRole) -> None:
        """Delete what an older backend left, where that is allowed; else a person is told.

        Raises:
            Conflict: another role took its place; the next look decides about that one.
            KubeError: a request failed.
        """
        name, client = _legacy_name(wanted), self._context.client
        try:
            for resource in (CLUSTERROLEBINDINGS, CLUSTERROLES):
                if not await self._context.rights.may("delete", resource, name=name):
                    return
            binding = await client.get_or_none(CLUSTERROLEBINDINGS, name)
            # The name says as little about the binding as about the role; one that is left grants nothing any more.
            if binding is not None and wanted.is_ours(binding):
                await client.delete(CLUSTERROLEBINDINGS, name, uid=meta.uid(binding))
            await client.delete(CLUSTERROLES, name, uid=role.uid)
        except Forbidden as error:
            log.info("legacy roles have to be deleted by a person", role=name, error=error.message)


def _legacy_name(wanted: Wanted) -> str:
    return keys.legacy_konnector_role(wanted.namespace, wanted.name)
