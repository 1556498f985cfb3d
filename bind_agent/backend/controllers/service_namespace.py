"""A service namespace for each consumer namespace (spec 4.9). Decisions are in `service_namespace_plan`."""

from dataclasses import replace

import structlog

from bind_agent.api import keys, meta, naming
from bind_agent.api.meta import Object
from bind_agent.api.resource import NAMESPACES, SERVICE_NAMESPACES
from bind_agent.backend import access
from bind_agent.backend.controllers import service_namespace_plan as steps
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.echo import Echo
from bind_agent.backend.grants import NameTaken, ensure
from bind_agent.backend.views import get
from bind_agent.kube.errors import Forbidden
from bind_agent.runtime.controller import Result
from bind_agent.runtime.status import write_status

log = structlog.get_logger(__name__)

_ROLE_WAIT = 0.5
"""Seconds until the tenant's role is looked for again; the cluster binding controller makes it."""

_REFUSED_WAIT = 60.0
"""Seconds until something is looked at again that a person has to put right."""


class ServiceNamespaceReconciler:
    """Brings about the service namespace of one consumer namespace, or its end."""

    def __init__(self, context: Context) -> None:
        """Set up."""
        self._context = context
        self._echo = Echo()

    async def reconcile(self, key: str) -> Result | None:
        """Bring the APIServiceNamespace of a key up to date.

        Raises:
            KubeError: a request to the server failed and may work later.
        """
        seen = await self._observe(key)
        if seen is None:
            return None
        planned = steps.plan(seen)
        if planned == (steps.AddFinalizer(),):
            # The stored object is at hand, so nobody waits for its event.
            seen = replace(seen, mapping=await self._finalizers(seen, add=True))
            planned = steps.plan(seen)
        for step in planned:
            result = await self._execute(step, seen)
            if result is not None:
                return result
        return None

    async def _observe(self, key: str) -> steps.Observed | None:
        views = self._context.views
        cns, name = meta.split_key(key)
        mapping = get(views.service_namespaces, key)
        if self._echo.pending(key, mapping):
            return None
        recorded = views.recorded(naming.service_namespace_record(cns, name))
        if mapping is None:
            if not recorded:
                return None
            # What follows may be a deletion, so the informer's word is not enough.
            mapping = await self._context.client.get_or_none(SERVICE_NAMESPACES, name, namespace=cns)
        elif not meta.is_deleting(mapping) and views.tenant(cns) is None:
            return None
        by_name = {
            candidate: found
            for candidate in steps.candidates(cns, name, mapping)
            if (found := get(views.namespaces, candidate)) is not None
        }
        crd = get(views.crds, SERVICE_NAMESPACES.crd_name) or {}
        return steps.Observed(
            cluster_namespace=cns,
            name=name,
            mapping=mapping,
            recorded=recorded,
            by_name=by_name,
            kind_since=meta.creation_timestamp(crd),
            kind_leaving=meta.is_deleting(crd),
        )

    async def _execute(self, step: steps.Step, seen: steps.Observed) -> Result | None:
        """Do one step; a Result ends the run."""
        client = self._context.client
        match step:
            case steps.ReleaseFinalizer():
                await self._finalizers(seen, add=False)
            case steps.CreateNamespace(name):
                log.info("creating a service namespace", namespace=name)
                await client.create(NAMESPACES, _namespace(name, seen))
            case steps.DeleteNamespace(name, uid):
                log.info("deleting a service namespace", namespace=name)
                await client.delete(NAMESPACES, name, uid=uid)
            case steps.BindTenant(name):
                return await self._bind(name, seen)
            case steps.SetStatus(name):
                await self._status(name, seen)
            case steps.Wait(seconds):
                return Result(after=seconds)
            case steps.Refuse(reason, message):
                log.warning("a service namespace needs a person", reason=reason, message=message)
                about = seen.mapping or seen.recorded[0]
                self._context.recorder.event(dict(about), type="Warning", reason=reason, message=message)
                return Result(after=_REFUSED_WAIT)
        return None

    async def _bind(self, name: str, seen: steps.Observed) -> Result | None:
        views = self._context.views
        cns = seen.cluster_namespace
        role = keys.dynamic_role(cns)
        if role not in views.cluster_roles.store:
            return Result(after=_ROLE_WAIT)
        wanted = access.binder_binding(name, role, cns)
        try:
            await ensure(
                self._context.client,
                wanted,
                get(views.role_bindings, f"{name}/{keys.BINDER}"),
                ask=name in seen.by_name,
                echo=self._echo,
            )
        except NameTaken as error:
            return await self._execute(steps.Refuse("NameTaken", str(error)), seen)
        except Forbidden:
            # The role holds rights that the backend has lost; the cluster binding controller says so.
            self._context.rights.forget()
            raise
        return None

    async def _status(self, name: str, seen: steps.Observed) -> None:
        mapping = dict(seen.mapping or {})
        if steps.assigned(mapping) == name:
            return
        status = {**(mapping.get("status") or {}), "namespace": name}
        stored = await write_status(
            self._context.client, SERVICE_NAMESPACES, mapping, {**mapping, "status": status}
        )
        self._echo.written(meta.key(mapping), mapping, stored)

    async def _finalizers(self, seen: steps.Observed, *, add: bool) -> Object:
        mapping = seen.mapping or {}
        others = [one for one in meta.finalizers(mapping) if one != keys.SERVICE_NAMESPACE_FINALIZER]
        patch = {
            "metadata": {
                "uid": meta.uid(mapping),
                "resourceVersion": meta.resource_version(mapping),
                "finalizers": [*others, *([keys.SERVICE_NAMESPACE_FINALIZER] if add else [])],
            }
        }
        stored = await self._context.client.merge_patch(
            SERVICE_NAMESPACES, seen.name, patch, namespace=seen.cluster_namespace
        )
        self._echo.written(meta.key(mapping), mapping, stored)
        return stored


def _namespace(name: str, seen: steps.Observed) -> Object:
    return {
        "apiVersion": NAMESPACES.api_version,
        "kind": NAMESPACES.kind,
        "metadata": {
            "name": name,
            "labels": {keys.MANAGED_BY: keys.MANAGER},
            "annotations": {
                keys.API_SERVICE_NAMESPACE: naming.service_namespace_record(seen.cluster_namespace, seen.name)
            },
        },
    }
