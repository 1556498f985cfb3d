"""AppClusterBindings: the shell that observes, has the parts act, and always says how it went (spec 5.2; W-B11)."""

import structlog

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import APP_CLUSTER_BINDINGS
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controlplane import model, words, working_plan
from bind_agent.backend.controlplane.apis import Apis
from bind_agent.backend.controlplane.findings import ASK_AGAIN, Findings
from bind_agent.backend.controlplane.leaving import Leaving
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.controlplane.root import NotUsable, RootNamespaces
from bind_agent.backend.controlplane.settings import Settings
from bind_agent.backend.controlplane.source import Source
from bind_agent.backend.controlplane.views import ControlPlaneViews, objects_in
from bind_agent.backend.controlplane.watches import Watches
from bind_agent.backend.controlplane.workload import Workload
from bind_agent.backend.echo import Echo
from bind_agent.backend.grants import NameTaken
from bind_agent.backend.views import get
from bind_agent.kube.errors import KubeError
from bind_agent.runtime.controller import Result
from bind_agent.runtime.status import write_status

log = structlog.get_logger(__name__)


class AppClusterBindingReconciler:
    """Brings the binding of one app cluster up to date."""

    def __init__(
        self, context: Context, views: ControlPlaneViews, watches: Watches, settings: Settings
    ) -> None:
        """Set up."""
        self._context = context
        self._views = views
        self._watches = watches
        self._source = Source(context.rights, watches, settings)
        self._roots = RootNamespaces(context, views, watches)
        self._apis = Apis(context, views)
        self._workload = Workload(context, settings.konnector_image)
        self._leaving = Leaving(context, views, self._roots)
        self._echo = Echo()

    async def reconcile(self, key: str) -> Result | None:
        """Bring the AppClusterBinding of a key up to date.

        Raises:
            KubeError: a request to the server failed and may work later.
            ExceptionGroup: several failed.
        """
        binding = get(self._views.app_cluster_bindings, key)
        if self._echo.pending(key, binding):
            return None
        if binding is None:
            self._forget(key)
            return None
        held = meta.has_finalizer(binding, keys.APP_CLUSTER_BINDING_FINALIZER)
        if meta.is_deleting(binding):
            return await self._leave(binding) if held else None
        try:
            wanted = model.read(binding)
        except model.MalformedError as error:
            invalid = conditions.false(words.APIS_BOUND, words.SPEC_INVALID, Severity.ERROR, str(error))
            return await self._conclude(binding, Findings([invalid]))
        if not held:
            binding = await self._finalizers(binding, add=True)
        findings = Findings()
        await self._bring_about(wanted, findings)
        return await self._conclude(binding, findings)

    async def _bring_about(self, wanted: Wanted, findings: Findings) -> None:
        secret = await self._source.usable(wanted, findings)
        if secret is None:
            # What stands in the root namespace stays: a Secret that is being replaced stops nothing.
            return
        try:
            seen, condition = await self._roots.bring_about(wanted, secret)
        except NotUsable as error:
            findings.conditions.append(error.condition)
            findings.again(ASK_AGAIN)
            return
        except NameTaken as error:
            findings.conditions.append(
                conditions.false(
                    ConditionType.NAMESPACE_READY, words.ROOT_NAMESPACE_TAKEN, Severity.ERROR, str(error)
                )
            )
            findings.again(ASK_AGAIN)
            return
        except KubeError as error:
            findings.failed(ConditionType.NAMESPACE_READY, words.WRITE_FAILED, error)
            return
        findings.conditions.append(condition)

        async def apis() -> Condition:
            bound, after = await self._apis.bring_about(wanted)
            findings.again(after)
            return bound

        async def konnector() -> Condition:
            deployed, refused = await self._workload.bring_about(wanted, seen.deployment)
            if refused is not None:
                findings.again(ASK_AGAIN)
            return deployed

        await findings.guard(apis, words.APIS_BOUND, words.WRITE_FAILED)
        await findings.guard(konnector, ConditionType.KONNECTOR_DEPLOYED, Reason.KONNECTOR_DEPLOYMENT_FAILED)
        bindings = objects_in(self._views.bindings, wanted.root)
        findings.conditions += (
            working_plan.konnector_available(wanted, seen.deployment),
            working_plan.bindings_ready(wanted, bindings, self._context.views.binding(wanted.root)),
        )

    async def _leave(self, binding: Object) -> Result | None:
        findings = Findings()
        wanted = model.named(binding)
        try:
            waiting = await self._leaving.advance(wanted)
        except KubeError as error:
            findings.failed(ConditionType.NAMESPACE_READY, words.DELETING, error)
            return await self._conclude(binding, findings)
        if waiting is None:
            await self._finalizers(binding, add=False)
            self._forget(wanted.key)
            return None
        findings.conditions.append(waiting.condition)
        findings.again(waiting.after)
        return await self._conclude(binding, findings)

    def _forget(self, key: str) -> None:
        self._watches.forget(key)
        self._roots.left(key)
        self._workload.forget(key)

    async def _finalizers(self, binding: Object, *, add: bool) -> Object:
        others = [one for one in meta.finalizers(binding) if one != keys.APP_CLUSTER_BINDING_FINALIZER]
        patch = {
            "metadata": {
                "uid": meta.uid(binding),
                "resourceVersion": meta.resource_version(binding),
                "finalizers": [*others, *([keys.APP_CLUSTER_BINDING_FINALIZER] if add else [])],
            }
        }
        stored = await self._context.client.merge_patch(
            APP_CLUSTER_BINDINGS, meta.name(binding), patch, namespace=meta.namespace(binding)
        )
        self._echo.written(meta.key(binding), binding, stored)
        return stored

    async def _conclude(self, binding: Object, findings: Findings) -> Result | None:
        """Write the status, whatever happened, and then say what failed."""
        try:
            await self._report(binding, findings.conditions)
        except KubeError as error:
            findings.errors.append(error)
        if findings.errors:
            raise (
                findings.errors[0]
                if len(findings.errors) == 1
                else ExceptionGroup("parts of an AppClusterBinding failed", findings.errors)
            )
        return Result(after=findings.after.total_seconds()) if findings.after is not None else None

    async def _report(self, binding: Object, found: list[Condition]) -> None:
        before = conditions.of(binding)
        status = dict(binding.get("status") or {})
        status["conditions"] = conditions.set_all(before, found, self._context.clock.now())
        stored = await write_status(
            self._context.client, APP_CLUSTER_BINDINGS, binding, {**binding, "status": status}
        )
        self._echo.written(meta.key(binding), binding, stored)
        if conditions.is_true(conditions.of(stored), ConditionType.READY) and not conditions.is_true(
            before, ConditionType.READY
        ):
            self._context.recorder.event(
                binding, type="Normal", reason="AppClusterBound", message="the app cluster is connected"
            )
        for condition in found:
            known = conditions.get(before, condition.type)
            if known is not None and (known.status, known.reason) == (condition.status, condition.reason):
                continue
            if condition.severity in {Severity.ERROR, Severity.WARNING}:
                self._context.recorder.event(
                    binding, type="Warning", reason=condition.reason, message=condition.message
                )
