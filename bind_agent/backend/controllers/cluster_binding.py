"""A tenant as a whole: is its konnector alive, has it its rights, has it its credential (spec 4.10).

One reconciler with three phases and one status write, so that no two writers of ours meet on one object.
Every phase runs even when another one fails.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS
from bind_agent.backend import names, roots
from bind_agent.backend.controllers import heartbeat_plan
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controllers.grant import Grants
from bind_agent.backend.controllers.reaper import Reaper
from bind_agent.backend.echo import Echo
from bind_agent.backend.tenancy.address import AddressError
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.provision import secret_name
from bind_agent.backend.tenancy.reaper import Verdict
from bind_agent.backend.views import get
from bind_agent.kube.errors import ApiError, Conflict, KubeError
from bind_agent.runtime.controller import Result
from bind_agent.runtime.status import write_status

log = structlog.get_logger(__name__)

_LONGEST = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Phase:
    """What one phase found.

    Attributes:
        condition: to be set; None leaves the present one.
        after: when to look again.
        error: why it could not end, to be raised after the status is written.
    """

    condition: Condition | None
    after: timedelta | None = None
    error: Exception | None = None


class ClusterBindingReconciler:
    """Looks after one tenant."""

    def __init__(self, context: Context, credentials: Credentials, reaper: Reaper | None = None) -> None:
        """Set up; without a reaper, silence has no consequences."""
        self._context = context
        self._reaper = reaper
        self._credentials = credentials
        self._grants = Grants(context)
        self._echo = Echo()
        self._credential_due: dict[str, tuple[tuple[str, ...], datetime]] = {}

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
            phases.append(await _guarded(lambda: self._access(tenant)))
            if not roots.is_root(tenant):
                # The Secret of a root namespace leads to the app cluster and is not ours to issue.
                phases.append(await _guarded(lambda: self._credential(binding)))
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

    async def _credential(self, binding: Object) -> Phase:
        if revoked := meta.annotation(binding, names.REVOKED):
            self._credential_due.pop(meta.namespace(binding), None)
            return _revoked(revoked)
        cns, now, marks = meta.namespace(binding), self._context.clock.now(), _credential_marks(binding)
        known, due = self._credential_due.get(cns, (None, now))
        if known == marks and now < due:
            # Heartbeats bring the key back every few minutes; they say nothing about the credential.
            return Phase(conditions.true(names.CREDENTIAL_ISSUED), due - now)
        self._credential_due.pop(cns, None)
        try:
            kept = await self._credentials.keep(cns, secret_name(binding))
        except AddressError as error:
            return _without_credential(names.REASON_EXTERNAL_ADDRESS_MISSING, str(error))
        except Conflict:
            raise
        except ApiError as error:
            failed = _without_credential(
                names.REASON_CREDENTIAL_FAILED, f"no credential could be issued: {error.message}"
            )
            return Phase(failed.condition, error=error)
        if kept.written:
            # What is watched may be behind, and a konnector whose watch is still open would be handed the new one.
            if revoked := await self._revoked_meanwhile(cns):
                await self._credentials.destroy(cns, secret_name(binding))
                return _revoked(revoked)
            self._context.recorder.event(
                binding, type="Normal", reason="CredentialIssued", message="a new credential is in the Secret"
            )
        self._credential_due[cns] = (marks, now + kept.after)
        return Phase(conditions.true(names.CREDENTIAL_ISSUED), kept.after)

    async def _revoked_meanwhile(self, cns: str) -> str:
        """When the tenant was revoked, asked of the API server; empty when it was not."""
        # A list, because the backend has no right to read single ones besides.
        found = (await self._context.client.list(CLUSTER_BINDINGS, namespace=cns)).items
        present = next((one for one in found if meta.name(one) == keys.CLUSTER_BINDING_NAME), None)
        return "" if present is None else meta.annotation(present, names.REVOKED)

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


def _credential_marks(binding: Object) -> tuple[str, ...]:
    """What makes the credential worth a look: a person's order, or a complaint of the konnector."""
    complaint = conditions.get(conditions.of(binding), ConditionType.SECRET_VALID)
    return (
        meta.annotation(binding, names.CREDENTIAL_CHANGED),
        secret_name(binding),
        "" if complaint is None else complaint.reason,
    )


async def _guarded(phase: Callable[[], Awaitable[Phase]]) -> Phase:
    """Run a phase; its failure waits until the others have run and the status is written."""
    try:
        return await phase()
    except KubeError as error:
        return Phase(None, error=error)


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


def _revoked(at: str) -> Phase:
    return _without_credential(
        names.REASON_CREDENTIAL_REVOKED,
        f"the credential was revoked at {at}: `bind-backend tenant add` issues a new one",
        Severity.WARNING,
    )


def _without_credential(reason: str, message: str, severity: str = Severity.ERROR) -> Phase:
    return Phase(conditions.false(names.CREDENTIAL_ISSUED, reason, severity, message))
