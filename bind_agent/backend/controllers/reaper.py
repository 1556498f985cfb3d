"""Ending consumers that nobody hears of: the shell around `tenancy.reaper`."""

import structlog

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS
from bind_agent.backend import names
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.tenancy.directory import Tenant
from bind_agent.backend.tenancy.identity import identity_of
from bind_agent.backend.tenancy.provision import Tenants
from bind_agent.backend.tenancy.reaper import DELETE, Limits, Verdict, is_reapable, judge

log = structlog.get_logger(__name__)


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
        self._since = context.clock.now()

    def judge(self, binding: Object) -> Verdict:
        """What is to be done about the consumer behind a ClusterBinding."""
        return judge(binding, self._limits, now=self._context.clock.now(), working_since=self._since)

    async def act(self, namespace: Object) -> None:
        """Do what is due, if that is still so at this very moment.

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
