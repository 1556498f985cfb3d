"""The binding root namespace and what stands in it: the shell around `objects` (spec 5.3 steps 2 and 3)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from bind_agent.api import conditions, keys, meta, naming
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORKPOLICIES,
    ROLES,
    SECRETS,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.backend import names, roots
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controlplane import objects, words
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.controlplane.views import ControlPlaneViews
from bind_agent.backend.controlplane.watches import Root, Watches
from bind_agent.backend.grants import ensure
from bind_agent.backend.views import get
from bind_agent.kube.errors import AlreadyExists
from bind_agent.manifests import load_manifests

log = structlog.get_logger(__name__)

_TRIES: Final = 100
_WAIT: Final = 0.1
"""An API server takes some milliseconds to notice a new RoleBinding of its own."""


class NotUsable(Exception):  # noqa: N818 - says what is the case
    """The root namespace cannot be used; carries the condition that says why."""

    def __init__(self, reason: str, message: str, severity: str = Severity.ERROR) -> None:
        super().__init__(message)
        self.condition = conditions.false(ConditionType.NAMESPACE_READY, reason, severity, message)


class RootNamespaces:
    """Keeps root namespaces."""

    def __init__(self, context: Context, views: ControlPlaneViews, watches: Watches) -> None:
        """Set up."""
        self._context = context
        self._views = views
        self._watches = watches
        self._settled: set[str] = set()
        (self._policy,) = load_manifests("konnector/networkpolicy.yaml")

    async def bring_about(self, wanted: Wanted, secret: Mapping[str, Any]) -> tuple[Root, Condition]:
        """Create what is missing in the root namespace, and repair what differs.

        Args:
            wanted: the AppClusterBinding.
            secret: its kubeconfig Secret, found valid.

        Returns:
            What was observed before, and NamespaceReady.

        Raises:
            NotUsable: the namespace belongs to others, or is going.
            KubeError: a request failed.
        """
        namespace = await self.namespace(wanted)
        await self.access(wanted, namespace)
        seen = await self._watches.root(wanted)
        await self._keep(SERVICEACCOUNTS, objects.account(wanted), seen.account)
        await self._mirror(objects.mirror(wanted, secret), seen.mirror)
        await self._cluster_binding(wanted, proven=roots.is_proven(namespace))
        policy = objects.network_policy(self._policy, wanted)
        await self._keep(NETWORKPOLICIES, policy, seen.network_policy, "spec")
        await self._keep(ROLES, objects.connector_role(wanted, namespace), seen.role, "rules")
        known = get(self._context.views.role_bindings, f"{wanted.root}/{keys.CONTROL_PLANE_CONNECTOR}")
        await ensure(self._context.client, objects.connector_binding(wanted, namespace), known)
        return seen, conditions.true(ConditionType.NAMESPACE_READY)

    def left(self, key: str) -> None:
        """The root namespace is going: nothing in it is watched any more."""
        self._watches.leave_root(key)
        self._settled.discard(key)

    async def namespace(self, wanted: Wanted) -> Object:
        """The root namespace, created when its name is free.

        Raises:
            NotUsable: it belongs to others, or is going.
            KubeError: a request failed.
        """
        found = self._context.views.namespace(wanted.root)
        if found is None:
            log.info("creating a root namespace", namespace=wanted.root)
            try:
                return await self._context.client.create(NAMESPACES, objects.root_namespace(wanted))
            except AlreadyExists:
                found = await self.confirmed(wanted.root)
        if found is None:
            raise NotUsable(
                words.ROOT_NAMESPACE_LEAVING, f"namespace {wanted.root} is going: wait", Severity.INFO
            )
        if roots.owner(found) != wanted.key:
            raise NotUsable(words.ROOT_NAMESPACE_TAKEN, _taken(wanted, found))
        if rivals := self.rivals(wanted, found):
            raise NotUsable(words.ROOT_NAMESPACE_TAKEN, _contested(wanted, rivals))
        if meta.is_deleting(found):
            self.left(wanted.key)
            raise NotUsable(
                words.ROOT_NAMESPACE_LEAVING,
                f"namespace {wanted.root} is being deleted: it is made again when it is gone",
                Severity.WARNING,
            )
        return found

    async def confirmed(self, name: str) -> Object | None:
        """A namespace as it is at this moment; by a list, because the backend may not read single ones.

        Raises:
            KubeError: the request failed.
        """
        listed = await self._context.client.list(NAMESPACES, field_selector=f"metadata.name={name}")
        found = next(iter(listed.items), None)
        return None if found is None else self._context.views.with_owner(found)

    def rivals(self, wanted: Wanted, namespace: Mapping[str, Any]) -> list[str]:
        """Other AppClusterBindings that stand against the proof for this one, because theirs may be the same tomorrow.

        A Go backend lets all use a root namespace whose names give the same one, and writes the labels of each in
        turn: they prove nothing then.

        Args:
            wanted: the AppClusterBinding.
            namespace: the root namespace; none stand against a record, or once it was taken over.
        """
        if not roots.is_proven(namespace) or roots.is_taken(
            namespace, self._context.views.binding(wanted.root)
        ):
            return []
        found = (meta.split_key(key) for key in self._views.app_cluster_bindings.store.keys())
        return sorted(
            meta.join_key(namespace, name)
            for namespace, name in found
            if (namespace, name) != (wanted.namespace, wanted.name)
            and naming.binding_root_namespace(namespace, name) == wanted.root
        )

    async def access(self, wanted: Wanted, namespace: Mapping[str, Any]) -> None:
        """Make sure of the backend's own rights in a root namespace that was just seen to be ours.

        Args:
            wanted: the AppClusterBinding.
            namespace: the root namespace.

        Raises:
            KubeError: a request failed.
        """
        account = (await self._context.rights.account()).service_account
        if account is not None:
            known = get(self._context.views.role_bindings, f"{wanted.root}/{names.BACKEND_ROOT_ROLE}")
            binding = objects.backend_binding(wanted, account, proven=roots.is_proven(namespace))
            await ensure(self._context.client, binding, known)
        if wanted.key in self._settled:
            return
        for _ in range(_TRIES):
            if await self._context.rights.may("patch", DEPLOYMENTS, namespace=wanted.root):
                self._settled.add(wanted.key)
                return
            await asyncio.sleep(_WAIT)

    async def _mirror(self, wanted: Object, live: Object | None) -> None:
        if live is not None and objects.secret_type(live) != wanted["type"]:
            # The type of a Secret cannot be changed.
            log.info("replacing a mirrored Secret of another type", namespace=meta.namespace(wanted))
            await self._context.client.delete(
                SECRETS, meta.name(live), namespace=meta.namespace(live), uid=meta.uid(live)
            )
            live = None
        await self._keep(SECRETS, wanted, live, "data", "type")

    async def _keep(self, resource: Resource, wanted: Object, live: Object | None, *parts: str) -> None:
        """Create an object, or bring labels, owners and the named parts in line."""
        namespace = meta.namespace(wanted)
        if live is None:
            log.info("creating", kind=resource.kind, name=meta.name(wanted), namespace=namespace)
            try:
                await self._context.client.create(resource, wanted, namespace=namespace)
            except AlreadyExists:
                # The informer is behind; its event brings the key back.
                log.debug("already there", kind=resource.kind, name=meta.name(wanted), namespace=namespace)
            return
        if objects.same_content(live, wanted, *parts):
            return
        log.info("repairing", kind=resource.kind, name=meta.name(wanted), namespace=namespace)
        await self._context.client.replace(
            resource, objects.repaired(live, wanted, *parts), namespace=namespace
        )

    async def _cluster_binding(self, wanted: Wanted, *, proven: bool) -> None:
        desired = objects.cluster_binding(wanted, proven=proven)
        name = keys.CLUSTER_BINDING_NAME
        live = get(self._context.views.cluster_bindings, f"{wanted.root}/{name}")
        if live is None:
            try:
                await self._context.client.create(CLUSTER_BINDINGS, desired, namespace=wanted.root)
            except AlreadyExists:
                log.debug("already there", kind=CLUSTER_BINDINGS.kind, namespace=wanted.root)
            return
        spec = live.get("spec")
        present = spec if isinstance(spec, dict) else {}
        if present.get("kubeconfigSecretRef") != desired["spec"]["kubeconfigSecretRef"]:
            raise NotUsable(
                words.BINDING_CONFLICT,
                f"ClusterBinding {wanted.root}/{name} refers to another Secret, which cannot be changed: delete it",
            )
        noted = desired["metadata"]["annotations"]
        if (
            present.get("providerPrettyName") == wanted.name
            and wanted.is_ours(live)
            and noted.items() <= meta.annotations(live).items()
        ):
            return
        patch = {
            "metadata": {
                "uid": meta.uid(live),
                "resourceVersion": meta.resource_version(live),
                "labels": wanted.labels,
                "annotations": noted,
            },
            "spec": {"providerPrettyName": desired["spec"]["providerPrettyName"]},
        }
        await self._context.client.merge_patch(CLUSTER_BINDINGS, name, patch, namespace=wanted.root)


def _contested(wanted: Wanted, rivals: Sequence[str]) -> str:
    return (
        f"namespace {wanted.root} has no record of its own, and its ClusterBinding proves nothing, because"
        f" {', '.join(rivals[:5])} would use the same one: annotate the namespace with"
        f" {keys.APP_CLUSTER_BINDING}=NAMESPACE/NAME of the one that it belongs to"
    )


def _taken(wanted: Wanted, found: Mapping[str, Any]) -> str:
    other = roots.owner(found)
    if other:
        return (
            f"namespace {wanted.root} belongs to the AppClusterBinding {other}, whose name gives the same one:"
            " create this one under another name"
        )
    return (
        f"namespace {wanted.root} exists and is not recorded as ours: remove it, or create this AppClusterBinding"
        " under another name, or, if the namespace does belong to it, annotate it with"
        f" {keys.APP_CLUSTER_BINDING}={wanted.key}"
    )
