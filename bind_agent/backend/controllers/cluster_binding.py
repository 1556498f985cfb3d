"""A tenant as a whole: is its konnector alive, has it its rights, has it its credential (spec 4.10).

One reconciler with three phases and one status write, so that no two writers of ours meet on one object.
Every phase runs even when another one fails.
"""

from datetime import timedelta

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions_catalogue import Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS
from bind_agent.backend import names, roots
from bind_agent.backend.controllers import heartbeat_plan
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controllers.credential import CredentialPhase
from bind_agent.backend.controllers.grant import Grants
from bind_agent.backend.controllers.phase import Phase, guarded
from bind_agent.backend.controllers.reaper import Reaper
from bind_agent.backend.echo import Echo
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.reaper import Verdict
from bind_agent.backend.views import get
from bind_agent.runtime.controller import Result
from bind_agent.runtime.status import write_status

_LONGEST = timedelta(hours=1)


class ClusterBindingReconciler:
    """Looks after one tenant."""

    def __init__(self, context: Context, credentials: Credentials, reaper: Reaper | None = None) -> None:
        """Set up; without a reaper, silence has no consequences."""
        self._context = context
        self._reaper = reaper
        self._credential = CredentialPhase(context, credentials)
        self._grants = Grants(context)
        self._echo = Echo()

    async def reconcile(self, key: str) -> Result | None:
        """Bring the ClusterBinding of a key up to date.

        Raises:
            KubeError: a request to the server failed and may work later.
            ExceptionGroup: several failed.
        """
        context = self._context
        binding = get(context.views.cluster_bindings, key)
        if self._echo.pending(key, binding):
            return None
        if binding is None or meta.is_deleting(binding) or meta.name(binding) != keys.CLUSTER_BINDING_NAME:
            return None
        namespace = get(context.views.namespaces, meta.namespace(binding))
        if namespace is None or meta.is_deleting(namespace):
            return None
        tenant = context.views.tenant(meta.namespace(binding))
        phases = [self._health(binding)]
        if tenant is None:
            phases.append(_no_tenant(binding))
        else:
            phases.append(await guarded(lambda: self._access(tenant)))
            if not roots.is_root(tenant):
                # The Secret of a root namespace leads to the app cluster and is not ours to issue.
                phases.append(await guarded(lambda: self._credential.run(binding)))
        verdict = self._silence(tenant, binding)
        phases.append(Phase(verdict.condition, verdict.after))
        await self._report(binding, phases)
        if verdict.act and tenant is not None and self._reaper is not None:
            await self._reaper.act(tenant)
        errors = [phase.error for phase in phases if phase.error is not None]
        if errors:
            raise errors[0] if len(errors) == 1 else ExceptionGroup("phases failed", errors)
        waits = [phase.after for phase in phases if phase.after is not None]
        return Result(after=min([*waits, _LONGEST]).total_seconds()) if waits else None

    def _silence(self, tenant: Object | None, binding: Object) -> Verdict:
        """Whether the reaper has something to say; a root namespace ends with its AppClusterBinding alone."""
        if tenant is None or self._reaper is None or roots.is_root(tenant):
            return Verdict()
        return self._reaper.judge(binding)

    def _health(self, binding: Object) -> Phase:
        health = heartbeat_plan.judge(binding.get("status") or {}, self._context.clock.now())
        return Phase(health.condition, health.after)

    async def _access(self, tenant: Object) -> Phase:
        granted = await self._grants.bring_about(tenant)
        return Phase(granted.condition, granted.after)

    async def _report(self, binding: Object, phases: list[Phase]) -> None:
        status = dict(binding.get("status") or {})
        before = conditions.of(binding)
        wanted = [phase.condition for phase in phases if phase.condition is not None]
        kept = before
        if names.CONSUMER_SEEN not in {condition.type for condition in wanted}:
            kept = conditions.remove(before, names.CONSUMER_SEEN)
        status["conditions"] = conditions.set_all(kept, wanted, self._context.clock.now())
        stored = await write_status(
            self._context.client, CLUSTER_BINDINGS, binding, {**binding, "status": status}
        )
        self._echo.written(meta.key(binding), binding, stored)
        if stored is binding:
            return
        for condition in wanted:
            known = conditions.get(before, condition.type)
            if condition.severity in {Severity.ERROR, Severity.WARNING} and (
                known is None or known.reason != condition.reason
            ):
                self._context.recorder.event(
                    binding, type="Warning", reason=condition.reason, message=condition.message
                )


def _no_tenant(binding: Object) -> Phase:
    return Phase(
        conditions.false(
            names.ACCESS_GRANTED,
            names.REASON_NOT_A_TENANT,
            Severity.WARNING,
            f"namespace {meta.namespace(binding)} lacks the annotation {keys.IDENTITY}: nothing is"
            " granted here;"
            " tenants are added with `bind-backend tenant add`",
        )
    )
