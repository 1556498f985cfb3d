"""Has a tenant its credential, or, when that was revoked, really none (spec 4.10)."""

from datetime import datetime, timedelta
from typing import Final

from bind_agent.api import conditions, meta
from bind_agent.api.conditions_catalogue import ConditionType, Severity
from bind_agent.api.meta import Object
from bind_agent.backend import names
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controllers.phase import Phase
from bind_agent.backend.tenancy.address import AddressError
from bind_agent.backend.tenancy.admission import secret_name
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.directory import Directory
from bind_agent.backend.tenancy.identity import add_command, identity_of
from bind_agent.backend.tenancy.revocation import Revocations, revoked_by
from bind_agent.kube.errors import ApiError, Conflict, KubeError

SOON: Final = timedelta(seconds=5)
"""Whoever has just revoked is at it, and is not to be met halfway."""

LATE: Final = timedelta(minutes=5)
"""Longer than issuing takes: what somebody issued who began before a revocation is there by then."""

_LOOKS: Final = 2


class CredentialPhase:
    """Looks after the credential of each tenant."""

    def __init__(self, context: Context, credentials: Credentials) -> None:
        """Set up."""
        self._context = context
        self._credentials = credentials
        self._revocations = Revocations(
            context.client, Directory(context.client), credentials, clock=context.clock
        )
        self._due: dict[str, tuple[tuple[str, ...], datetime]] = {}
        self._ended: dict[str, tuple[str, int, float]] = {}

    async def run(self, binding: Object) -> Phase:
        """Issue, renew, retire or end what is due.

        Args:
            binding: the ClusterBinding of a tenant, as watched.

        Raises:
            KubeError: a request failed and may work later.
        """
        if revoked := meta.annotation(binding, names.REVOKED):
            self._due.pop(meta.namespace(binding), None)
            return await self._end(binding, revoked)
        self._ended.pop(meta.namespace(binding), None)
        return await self._keep(binding)

    async def _keep(self, binding: Object) -> Phase:
        cns, now, marks = meta.namespace(binding), self._context.clock.now(), _marks(binding)
        known, due = self._due.get(cns, (None, now))
        if known == marks and now < due:
            # Heartbeats bring the key back every few minutes; they say nothing about the credential.
            return Phase(conditions.true(names.CREDENTIAL_ISSUED), due - now)
        self._due.pop(cns, None)
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
            if present := await self._revocations.finish(cns, secret_name(binding)):
                return self._revoked(present)
            self._context.recorder.event(
                binding, type="Normal", reason="CredentialIssued", message="a new credential is in the Secret"
            )
        self._due[cns] = (marks, now + kept.after)
        return Phase(conditions.true(names.CREDENTIAL_ISSUED), kept.after)

    async def _end(self, binding: Object, revoked: str) -> Phase:
        """See to it that a revocation is complete: soon, and once more when whoever was issuing is through.

        Whoever revokes ends the credentials, and whoever issues looks whether somebody has revoked meanwhile. Either
        may die in between, and only the mark tells the next leader. After these two times nothing is asked again.
        """
        cns, monotonic = meta.namespace(binding), self._context.clock.monotonic()
        told = self._revoked(binding).condition
        mark, left, due = self._ended.get(cns, ("", 0, 0.0))
        if mark != revoked:
            left, due = _LOOKS, monotonic + SOON.total_seconds()
            self._ended[cns] = (revoked, left, due)
        if not left:
            return Phase(told)
        if monotonic < due:
            return Phase(told, timedelta(seconds=due - monotonic))
        try:
            # What is watched may be behind: who was let in again a moment ago has a new credential.
            if not await self._revocations.finish(cns, secret_name(binding)):
                return Phase(None)
        except KubeError as error:
            return Phase(told, error=error)
        self._ended[cns] = (revoked, left - 1, monotonic + LATE.total_seconds())
        return Phase(told, LATE if left > 1 else None)

    def _revoked(self, binding: Object) -> Phase:
        helps = "binding again issues a new one"
        if revoked_by(binding) == names.BY_OPERATOR:
            namespace = self._context.views.tenant(meta.namespace(binding)) or {}
            legacy = self._context.legacy_issuer
            helps = f"`{add_command(identity_of(namespace, legacy), legacy)}` issues a new one"
        return _without_credential(
            names.REASON_CREDENTIAL_REVOKED,
            f"the credential was revoked at {meta.annotation(binding, names.REVOKED)}: {helps}",
            Severity.WARNING,
        )


def _marks(binding: Object) -> tuple[str, ...]:
    """What makes the credential worth a look: a person's order, or a complaint of the konnector."""
    complaint = conditions.get(conditions.of(binding), ConditionType.SECRET_VALID)
    return (
        meta.annotation(binding, names.CREDENTIAL_CHANGED),
        secret_name(binding),
        "" if complaint is None else complaint.reason,
    )


def _without_credential(reason: str, message: str, severity: str = Severity.ERROR) -> Phase:
    return Phase(conditions.false(names.CREDENTIAL_ISSUED, reason, severity, message))
