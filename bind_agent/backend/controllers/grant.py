"""Giving a tenant the rights that its exports need, and no others (spec 4.10, 8.2; W-B1, W-B2, W-S10)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTERROLEBINDINGS
from bind_agent.backend import access, names, roots
from bind_agent.backend.access import ExportNeeds, Kind
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controllers.patience import Patience
from bind_agent.backend.echo import Echo
from bind_agent.backend.grants import NameTaken, ensure
from bind_agent.backend.tenancy import own_access
from bind_agent.backend.views import get
from bind_agent.kube.errors import Forbidden

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Granted:
    """How far granting came.

    Attributes:
        condition: AccessGranted.
        after: when to try again; None when nothing is missing.
    """

    condition: Condition
    after: timedelta | None = None


class Grants:
    """Keeps the roles of tenants."""

    def __init__(self, context: Context) -> None:
        """Set up."""
        self._context = context
        self._echo = Echo()
        self._searched: set[str] = set()
        self._patience = Patience(context.clock)

    async def bring_about(self, tenant: Object) -> Granted:
        """Write what differs of a tenant's roles and bindings.

        Args:
            tenant: the Namespace `<cns>`.

        Raises:
            KubeError: a request to the server failed and may work later.
        """
        cns = meta.name(tenant)
        hindrance = await self._bring_about(tenant)
        if hindrance is None:
            self._patience.forget(cns)
            return Granted(conditions.true(names.ACCESS_GRANTED))
        return Granted(hindrance, self._patience.wait(cns, (hindrance.message, self._context.rights.edition)))

    async def _bring_about(self, tenant: Object) -> Condition | None:
        """Write what differs; what is in the way, or None."""
        cns = meta.name(tenant)
        exports = [one for one in self._context.views.exports_in(cns) if not meta.is_deleting(one)]
        needs = [access.needs_of(export, self._context.policy.claimable) for export in exports]
        try:
            if not roots.is_root(tenant):
                await self._own(cns)
            missing = await self._tenant_role(tenant, needs)
            await self._binding(cns)
            await self._cluster_wide(tenant, needs)
        except NameTaken as error:
            return _refused(names.REASON_NAME_TAKEN, str(error))
        except Forbidden as error:
            # Despite asking first: the answer was old, or the server has other authorizers than RBAC.
            self._context.rights.forget()
            return _refused(
                names.REASON_GRANT_REFUSED, f"the API server refuses to grant rights: {error.message}"
            )
        if missing:
            return _refused(
                names.REASON_GRANT_REFUSED,
                f"the backend may not hand on {access.snippet(missing)}: see the exports of this tenant",
            )
        return None

    async def _own(self, cns: str) -> None:
        """The backend's own access to the tenant's credential, in that namespace only."""
        context = self._context
        known = self._known_binding(cns, names.BACKEND_TENANT_ROLE)
        binding = await own_access.ensure_binding(context.client, context.rights, cns, known=known)
        await own_access.settle(context.rights, cns, binding, now=context.clock.now())

    async def _tenant_role(self, tenant: Object, needs: Iterable[ExportNeeds]) -> list[access.Rule]:
        """ClusterRole `klutch-binder-<cns>`; returns what could not be put into it."""
        kinds = frozenset(kind for need in needs for kind in need.kinds)
        known = get(self._context.views.cluster_roles, keys.dynamic_role(meta.name(tenant)))
        full = access.tenant_role(tenant, kinds)
        if known is not None and access.same_grant(known, full):
            return []
        held = await self._context.rights.held()
        wanted = access.tenant_role(tenant, access.grantable(kinds, held))
        # Only a Go backend made such roles without our label, and only for namespaces that it made.
        ask = meta.labels(tenant).get(keys.MANAGED_BY) != keys.MANAGER
        await ensure(self._context.client, wanted, known, ask=ask, echo=self._echo)
        return access.uncovered(kinds, held)

    async def _binding(self, cns: str) -> None:
        """RoleBinding `klutch-binder` in `<cns>`."""
        wanted = access.binder_binding(cns, keys.BINDER, cns)
        known = self._known_binding(cns, keys.BINDER)
        await ensure(self._context.client, wanted, known, echo=self._echo)

    async def _cluster_wide(self, tenant: Object, needs: Iterable[ExportNeeds]) -> None:
        """The ClusterRoleBinding while there is something to bind, and its end after that."""
        views, client = self._context.views, self._context.client
        if views.cluster_role_bindings is None:
            # The exports that would need it say so.
            return
        cns = meta.name(tenant)
        kinds = frozenset(need.exported for need in needs if need.cluster_wide)
        known = get(views.cluster_role_bindings, keys.dynamic_role(cns))
        if kinds:
            await self._wide_role(tenant, kinds)
            await ensure(client, access.cluster_wide_binding(tenant), known, echo=self._echo)
            return
        if known is None and cns not in self._searched:
            # A Go backend leaves one that gives every right in every namespace (W-B1), without our label.
            known = await client.get_or_none(CLUSTERROLEBINDINGS, keys.dynamic_role(cns))
        self._searched.add(cns)
        if known is not None and meta.is_owned_by(known, meta.uid(tenant)):
            log.info("removing a cluster-wide grant", tenant=cns)
            await client.delete(CLUSTERROLEBINDINGS, keys.dynamic_role(cns), uid=meta.uid(known))

    async def _wide_role(self, tenant: Object, kinds: frozenset[Kind]) -> None:
        known = get(self._context.views.cluster_roles, names.cluster_wide_role(meta.name(tenant)))
        if known is not None and access.same_grant(known, access.cluster_wide_role(tenant, kinds)):
            return
        held = await self._context.rights.held()
        wanted = access.cluster_wide_role(tenant, access.grantable(kinds, held))
        await ensure(self._context.client, wanted, known, echo=self._echo)

    def _known_binding(self, cns: str, name: str) -> Object | None:
        return get(self._context.views.role_bindings, f"{cns}/{name}")


def _refused(reason: str, message: str) -> Condition:
    return conditions.false(names.ACCESS_GRANTED, reason, Severity.ERROR, message)
