"""Exports follow their CRD and their template (spec 4.8). Decisions are in `export_plan`."""

from datetime import timedelta

import structlog

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS, CRDS, EXPORTS
from bind_agent.backend import access, names, retirement
from bind_agent.backend.access import Kind
from bind_agent.backend.allowed import may_request, not_allowed
from bind_agent.backend.controllers import export_plan
from bind_agent.backend.controllers.context import Context, refusal
from bind_agent.backend.controllers.patience import Patience
from bind_agent.backend.echo import Echo
from bind_agent.backend.exports import Problem
from bind_agent.backend.templates import Choice, choose_for
from bind_agent.backend.views import get
from bind_agent.kube.errors import ApiError
from bind_agent.runtime.controller import Result
from bind_agent.runtime.status import write_status

log = structlog.get_logger(__name__)

_LAG = 1.0
"""Seconds to wait for the informer when a GET knows more than it."""


class ExportReconciler:
    """Keeps one export equal to what the provider offers."""

    def __init__(self, context: Context) -> None:
        """Set up."""
        self._context = context
        self._echo = Echo()
        self._patience = Patience(context.clock)

    async def reconcile(self, key: str) -> Result | None:
        """Bring the export of a key up to date.

        Raises:
            KubeError: a request to the server failed and may work later.
        """
        context = self._context
        export = context.views.export(key)
        if self._echo.pending(key, export):
            return None
        if export is None or meta.is_deleting(export) or context.views.tenant(meta.namespace(export)) is None:
            return None
        kind = kind_of(export)
        if str(kind) not in context.views.crds.store:
            return await self._without_crd(export)
        retiring = retirement.judge(export, context.clock.now())
        if retiring.over:
            return await self._retire(export)
        choice = choose_for(export, context.views.templates_of(kind))
        wanted = await context.draft(kind, choice)
        granted = await self._granted(export)
        told = [one for one in (retiring.condition, self._allowed(export, kind, choice)) if one is not None]
        again, now = self._again(key, granted), context.clock.now()
        decision = export_plan.decide(export, wanted, granted, told=told, again=again, now=now)
        if decision.write is not None:
            refused = await self._write(export, decision.write)
            if refused is None:
                return None
            decision = export_plan.decide(export, refused, granted, told=told, again=again, now=now)
        before = conditions.of(export)
        stored = await write_status(
            context.client, EXPORTS, export, {**export, "status": dict(decision.status)}
        )
        self._echo.written(key, export, stored)
        if stored is not export:
            self._tell(export, before, conditions.of(stored))
        waits = [wait for wait in (decision.after, retiring.after) if wait is not None]
        return Result(after=min(waits).total_seconds()) if waits else None

    def _again(self, key: str, granted: Condition | None) -> timedelta | None:
        """When to ask again for rights, should no event tell of their coming; None when none are missing."""
        if granted is None or granted.status == "True":
            self._patience.forget(key)
            return None
        return self._patience.wait(key, (granted.message, self._context.rights.edition))

    def _allowed(self, export: Object, kind: Kind, choice: Choice | None) -> Condition | None:
        """What to say when the tenant could not request its export any more."""
        if choice is None:
            return None
        requester = self._context.requester(meta.namespace(export))
        if may_request(choice.template, kind, requester):
            return None
        return export_plan.not_allowed(not_allowed(kind, choice.key, requester))

    async def _retire(self, export: Object) -> Result | None:
        """The announced time has come: note that the kind has retired, then delete the export.

        The note comes first, and is seen before the export goes, so no request brings it back in between.
        """
        context = self._context
        name, namespace = meta.name(export), meta.namespace(export)
        binding = context.views.binding(namespace)
        kinds = retirement.retired(binding)
        planned = retirement.planned(export)
        # Who ended it oneself may bind it again; who was told to leave may not.
        noted = planned is None or planned.by == names.BY_OPERATOR
        if noted and binding is not None and name not in kinds:
            kinds[name] = meta.annotation(export, names.RETIRE_AT)
            patch = {
                "metadata": {
                    "resourceVersion": meta.resource_version(binding),
                    "annotations": {names.RETIRED: retirement.retired_mark(kinds)},
                }
            }
            await context.client.merge_patch(CLUSTER_BINDINGS, meta.name(binding), patch, namespace=namespace)
            return Result(after=_LAG)
        log.info("an export retires", export=name, namespace=namespace)
        # In this very state only: somebody may have restored it a moment ago.
        await context.client.delete(
            EXPORTS,
            name,
            namespace=namespace,
            uid=meta.uid(export),
            resource_version=meta.resource_version(export),
        )
        context.recorder.event(
            export, type="Normal", reason=names.REASON_RETIRED, message=f"{name} retired as announced"
        )
        return None

    async def _without_crd(self, export: Object) -> Result | None:
        """The informer has no such CRD: a confirming GET decides, because what follows is a deletion."""
        context = self._context
        name, namespace = meta.name(export), meta.namespace(export)
        if await context.client.get_or_none(CRDS, name) is not None:
            return Result(after=_LAG)
        log.info("the CRD is gone, deleting its export", export=name, namespace=namespace)
        await context.client.delete(EXPORTS, name, namespace=namespace, uid=meta.uid(export))
        context.recorder.event(
            export,
            type="Normal",
            reason="CRDDeleted",
            message=f"the CRD {name} was deleted, and its export with it",
        )
        return None

    async def _write(self, old: Object, export: Object) -> Problem | None:
        log.info("updating an export", export=meta.name(export), namespace=meta.namespace(export))
        try:
            stored = await self._context.client.replace(EXPORTS, export, namespace=meta.namespace(export))
        except ApiError as error:
            problem = refusal(error)
            if problem is None:
                raise
            return problem
        self._echo.written(meta.key(old), old, stored)
        return None

    async def _granted(self, export: Object) -> Condition | None:
        """Whether the tenant has the rights that the export needs; None while they are being granted."""
        context = self._context
        views, cns = context.views, meta.namespace(export)
        needs = access.needs_of(export, context.policy.claimable)
        role = get(views.cluster_roles, keys.dynamic_role(cns))
        wide = get(views.cluster_roles, names.cluster_wide_role(cns))
        if export_plan.has_all(needs, role, wide):
            return conditions.true(names.ACCESS_GRANTED)
        if needs.cluster_wide and views.cluster_role_bindings is None:
            return export_plan.needs_overlay(export)
        missing = access.uncovered(needs.kinds, await context.rights.held())
        return export_plan.refused(export, missing) if missing else None

    def _tell(self, export: Object, before: list[Object], after: list[Object]) -> None:
        for entry in after:
            told = conditions.get(after, str(entry.get("type")))
            if told is None or not told.reason or told.type not in _OURS:
                continue
            known = conditions.get(before, told.type)
            if known is None or (known.reason, known.message) != (told.reason, told.message):
                self._context.recorder.event(export, type="Warning", reason=told.reason, message=told.message)


_OURS = frozenset(
    {
        ConditionType.PROVIDER_IN_SYNC,
        ConditionType.RETIRING,
        names.ACCESS_GRANTED,
        names.ALLOWED,
        names.VERSION_NOT_SERVED,
    }
)


def kind_of(export: Object) -> Kind:
    """The exported kind, from the name `P.G` that ties export, CRD and binding together."""
    plural, _, group = meta.name(export).partition(".")
    return Kind(group, plural)
