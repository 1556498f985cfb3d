"""Ending consumers that nobody hears of: the shell around `tenancy.reaper`."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS
from bind_agent.backend import names
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.tenancy.directory import Tenant
from bind_agent.backend.tenancy.identity import identity_of
from bind_agent.backend.tenancy.provision import Tenants
from bind_agent.backend.tenancy.reaper import (
    DELETE,
    TRUSTED,
    Limits,
    Verdict,
    Vigil,
    is_implausible,
    is_reapable,
    judge,
    overdue,
)
from bind_agent.obs import metrics

log = structlog.get_logger(__name__)

CLOCK: Final = "clock"
MOST: Final = "most"
"""Why nobody is ended, as the metric says it."""

_COUNTED: Final = 10.0
"""Seconds for which a count of the silent is used again: many are due at once, and there may be thousands."""


class Reaper:
    """Revokes and deletes consumers whose heartbeat is long gone."""

    def __init__(self, context: Context, tenants: Tenants, limits: Limits) -> None:
        """Set up; from now on this backend watches.

        Args:
            context: collaborators of the controllers.
            tenants: executes.
            limits: how long a consumer may stay silent.
        """
        self._context = context
        self._tenants = tenants
        self._limits = limits
        self._vigil = Vigil()
        self._held_until = 0.0
        self._counted: tuple[float, list[str]] | None = None

    def judge(self, binding: Object) -> Verdict:
        """What is to be done about the consumer behind a ClusterBinding."""
        if self._limits.revoke_after is None:
            # Nothing is remembered of thousands about whom nothing will be decided.
            return Verdict()
        clock = self._context.clock
        monotonic = clock.monotonic()
        watched = self._vigil.watched(binding, monotonic)
        verdict = judge(binding, self._limits, now=clock.now(), watched=watched)
        if verdict.act and monotonic < self._held_until:
            return replace(verdict, act="", after=timedelta(seconds=self._held_until - monotonic))
        return verdict

    async def act(self, namespace: Object) -> None:
        """Do what is due, if that is still so at this very moment, and nothing speaks against our own clock.

        Watches may be behind, and then everybody looks silent; so what decides is read once more.

        Args:
            namespace: the tenant's.

        Raises:
            KubeError: a request failed; what is left is done the next time.
        """
        cns = meta.name(namespace)
        found = (await self._context.client.list(CLUSTER_BINDINGS, namespace=cns)).items
        binding = next((one for one in found if is_reapable(one)), None)
        verdict = self.judge(binding) if binding is not None else Verdict()
        if binding is None or not verdict.act or verdict.condition is None:
            return
        if not (await self._clock_is_right() and self._is_plausible(verdict.act)):
            return
        delete = verdict.act == DELETE
        log.warning("ending a consumer that was not seen", namespace=cns, deed=verdict.act)
        self._context.recorder.event(
            binding,
            type="Warning",
            reason="ConsumerDeleted" if delete else "ConsumerRevoked",
            message=verdict.condition.message,
        )
        who = identity_of(namespace, self._context.legacy_issuer)
        tenant = Tenant(cns, meta.uid(namespace), who, binding)
        await self._tenants.revoke(tenant, delete=delete, by=names.BY_REAPER)

    async def _clock_is_right(self) -> bool:
        """Whether the API server has the same time; else everything is held back for a while."""
        theirs, ours = await self._context.rights.server_time(), self._context.clock.now()
        if theirs is not None and abs(theirs - ours) <= TRUSTED:
            return True
        self._hold(CLOCK, ours=ours.isoformat(), server=theirs.isoformat() if theirs else "unknown")
        return False

    def _is_plausible(self, step: str) -> bool:
        """Whether those who are silent are few enough; else everything is held back for a while."""
        now = self._context.clock.monotonic()
        if self._counted is None or now - self._counted[0] >= _COUNTED:
            self._counted = (now, self._count())
        steps = self._counted[1]
        silent, everyone = steps.count(step), len(steps)
        if not is_implausible(silent, everyone):
            return True
        self._hold(MOST, deed=step, silent=silent, tenants=everyone)
        return False

    def _count(self) -> list[str]:
        """The step that each tenant is overdue for, mostly none."""
        views, now = self._context.views, self._context.clock.now()
        bindings = {meta.name(one): views.binding(meta.name(one)) for one in views.tenants()}
        self._vigil.keep(bindings.keys())
        return [overdue(one, self._limits, now) for one in bindings.values() if one is not None]

    def _hold(self, reason: str, **fields: object) -> None:
        now = self._context.clock.monotonic()
        if now < self._held_until:
            # Another worker was faster and has told it.
            return
        self._held_until = now + self._limits.notice.total_seconds()
        metrics.REAPER_HELD(reason).inc()
        log.warning(
            "silent consumers are not ended",
            reason=reason,
            again_in=self._limits.notice.total_seconds(),
            **fields,
        )
