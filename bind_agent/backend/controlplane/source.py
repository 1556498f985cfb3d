"""The kubeconfig Secret of an AppClusterBinding: the shell around `secret_plan` (spec 5.3 step 1)."""

from bind_agent.api.conditions_catalogue import Status
from bind_agent.api.meta import Object
from bind_agent.api.resource import SECRETS
from bind_agent.backend.controlplane import secret_plan
from bind_agent.backend.controlplane.findings import ASK_AGAIN, Findings
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.controlplane.settings import Settings
from bind_agent.backend.controlplane.watches import Watches
from bind_agent.backend.rights import Rights
from bind_agent.kube.errors import Forbidden, KubeError


class Source:
    """Finds and judges kubeconfig Secrets."""

    def __init__(self, rights: Rights, watches: Watches, settings: Settings) -> None:
        """Set up."""
        self._rights = rights
        self._watches = watches
        self._settings = settings

    async def usable(self, wanted: Wanted, findings: Findings) -> Object | None:
        """The kubeconfig Secret when it is usable; in any case it is found out how it stands with it.

        Args:
            wanted: the AppClusterBinding.
            findings: gets SecretValid.
        """
        refused = secret_plan.judge_reference(wanted, self._settings.secret_namespaces)
        if refused is not None:
            findings.conditions.append(refused)
            return None
        try:
            if not await self._may_read(wanted):
                await self._unreadable(wanted, findings)
                return None
            secret = await self._watches.source(wanted)
        except Forbidden:
            self._watches.leave_source(wanted.key)
            await self._unreadable(wanted, findings)
            return None
        except KubeError as error:
            findings.conditions.append(secret_plan.unreachable(wanted, str(error)))
            findings.errors.append(error)
            return None
        condition = secret_plan.judge_secret(wanted, secret, allow_loopback=self._settings.allow_loopback)
        findings.conditions.append(condition)
        return secret if condition.status == Status.TRUE else None

    async def _unreadable(self, wanted: Wanted, findings: Findings) -> None:
        account = (await self._rights.account()).service_account
        findings.conditions.append(secret_plan.unreadable(wanted, account))
        findings.again(ASK_AGAIN)

    async def _may_read(self, wanted: Wanted) -> bool:
        """Asked before the first look, so that a missing right is a condition and no refused request."""
        if self._watches.follows_source(wanted):
            return True
        for verb in ("list", "watch"):
            if not await self._rights.may(
                verb, SECRETS, namespace=wanted.secret_namespace, name=wanted.secret
            ):
                return False
        return True
