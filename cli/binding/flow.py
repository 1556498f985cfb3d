"""The order of ``kubectl bind apiservice``.

Look first, then ask the provider, then ask the person, and only then write to the app cluster; the
binding itself comes last, when everything it needs is there. A failure withdraws the request that this
run handed in and says what stays; running the command again takes up whatever stands.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bind_agent.api import conditions, keys
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.guards import CLAIMABLE
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from cli.binding import consent, install, moving
from cli.binding.consumer import ConsumerSide
from cli.binding.credential import Kubeconfig
from cli.binding.objects import conflict_policy_of
from cli.binding.provider import ProviderSide
from cli.binding.request import ExportRequest, Wanted
from cli.binding.survey import Standing, Survey
from cli.errors import CliError, WaitTimeoutError
from cli.output import Progress, inert

_POLL: Final = 1.0
_PATIENCE_SECONDS: Final = 30.0
"""Copies that another binding claims as well stay; then the rights do so too."""
_RETRACTION_SECONDS: Final = 3.0
"""What a konnector at work takes at most to take copies back; those on the provider cannot be seen from here."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run is to do.

    Attributes:
        request: the checked request.
        kubeconfig: the provider's, checked.
        policy: ``--accept-claims``; None asks.
        image: ``--konnector-image``, empty for the default.
        skip_konnector: do not touch the konnector.
        wait_ready: wait until the bindings are Ready.
        timeout: seconds for each wait.
        prefer_secret: Secret in ``klutch-bind`` that the person named as the source of the kubeconfig.
        claimable: group resources that may be claimed.
        move_provider: ``--move-provider``: the person vouches that another address leads to the same tenant.
        conflict_policy: ``--conflict-policy``; empty leaves what a binding says (nothing means Fail).
        claimed_elsewhere: group resources that other requests of the same command claim.
    """

    request: ExportRequest
    kubeconfig: Kubeconfig
    policy: consent.Policy | None
    image: str
    skip_konnector: bool
    wait_ready: bool
    timeout: float
    prefer_secret: str = ""
    claimable: frozenset[str] = CLAIMABLE
    move_provider: bool = False
    conflict_policy: str = ""
    claimed_elsewhere: frozenset[str] = frozenset()

    def policy_for(self, binding: Object | None) -> str:
        """The conflict policy that a binding has after this run."""
        return self.conflict_policy or conflict_policy_of(binding)


@dataclass(slots=True)
class Outcome:
    """What a run left behind.

    Attributes:
        served: the endpoint of bindings.
        wanted: the APIs.
        bindings: the bindings as the server holds them, in the order of the APIs.
        written: everything that was written on the app cluster, in words.
    """

    served: Resource
    wanted: tuple[Wanted, ...]
    bindings: list[Object] = field(default_factory=list)
    written: list[str] = field(default_factory=list)


class Flow:
    """Runs one plan against two clusters.

    Args:
        provider: the provider's side.
        consumer: the app cluster's side.
        asker: asks the person.
        progress: tells her.
        sleep: replaced in tests.
    """

    def __init__(
        self,
        provider: ProviderSide,
        consumer: ConsumerSide,
        asker: consent.Asker,
        progress: Progress,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider = provider
        self._consumer = consumer
        self._asker = asker
        self._progress = progress
        self._sleep = sleep
        self._installer = install.Installer(consumer.cluster, progress, sleep=sleep)

    def run(self, plan: Plan) -> Outcome:
        """Bind.

        Raises:
            CliError: what failed, what to do, and what was left behind.
        """
        survey = self._consumer.survey(plan.request.wanted, plan.kubeconfig, prefer=plan.prefer_secret)
        konnector = install.decide(
            self._installer.deployment(),
            image=plan.image,
            skip=plan.skip_konnector,
            claimable=plan.claimable,
        )
        if survey.move is not None:
            moving.agree(
                survey.move,
                plan.kubeconfig,
                self._provider.cluster,
                vouched=plan.move_provider,
                asker=self._asker,
                progress=self._progress,
            )
        submitted = self._provider.submit(plan.request, timeout=plan.timeout)
        written: list[str] = []
        try:
            answered = self._provider.wait(submitted, timeout=plan.timeout)
            decided = self._decide(plan, survey, answered)
            return self._write(plan, survey, konnector, decided, written)
        except BaseException as error:
            unbound = [one.wanted for one in survey.standings if one.binding is None]
            left = (*written, *self._provider.step_back(submitted, unbound))
            if isinstance(error, CliError):
                raise error.with_left(left) from None
            for entry in left:
                self._progress.note(f"left behind: {entry}")
            raise

    def _decide(
        self, plan: Plan, survey: Survey, answered: Object
    ) -> dict[str, list[AcceptablePermissionClaim]]:
        """The claims of each binding, all decided before anything is written on the app cluster."""
        pretty = self._provider.pretty_name()
        offers = [self._provider.offered(one.wanted, answered, one.claims) for one in survey.standings]
        consent.check_listed(plan.policy, offers, elsewhere=plan.claimed_elsewhere)
        result = {}
        for standing, offer in zip(survey.standings, offers, strict=True):
            result[standing.wanted.name] = consent.settle(
                offer.claims,
                standing.claims,
                api=standing.wanted.name,
                provider=pretty,
                policy=plan.policy,
                asker=self._asker,
                progress=self._progress,
                allowed=plan.claimable,
            )
        return result

    def _write(
        self,
        plan: Plan,
        survey: Survey,
        konnector: install.Decision,
        decided: dict[str, list[AcceptablePermissionClaim]],
        written: list[str],
    ) -> Outcome:
        written += self._installer.apply(konnector)
        accepted = {one.group_resource for entries in decided.values() for one in entries if one.accepted}
        self._installer.tell_lacking(konnector, accepted)
        served = survey.served or self._installer.wait_served(timeout=plan.timeout)
        if not survey.namespace and konnector.action in (install.Action.LEAVE, install.Action.SKIP):
            written += self._consumer.ensure_namespace()
        secret, stored = self._consumer.store_credential(survey, plan.kubeconfig)
        written += stored
        outcome = Outcome(served, plan.request.wanted, written=written)
        for standing in survey.standings:
            entries = decided[standing.wanted.name]
            # What was accepted before stays allowed until the konnector has taken back what it copied.
            before = [claim for claim in standing.claims if claim.accepted]
            role, changed = self._consumer.apply_role(
                standing.role,
                standing.wanted,
                [*entries, *before],
                conflict_policy=plan.policy_for(standing.binding),
            )
            written += changed
            binding, changed = self._consumer.write_binding(
                served, standing, entries, secret=secret, conflict_policy=plan.conflict_policy
            )
            written += changed
            written += self._narrow(plan, standing, role, before, entries)
            outcome.bindings.append(binding)
        if plan.wait_ready:
            self._wait_ready(outcome, timeout=plan.timeout)
        return outcome

    def _narrow(
        self,
        plan: Plan,
        standing: Standing,
        role: Object,
        before: Sequence[AcceptablePermissionClaim],
        entries: Sequence[AcceptablePermissionClaim],
    ) -> list[str]:
        """Take back the rights of claims that are accepted no more, once their copies are gone."""
        kept = {(claim.group, claim.resource) for claim in entries if claim.accepted}
        dropped = [claim for claim in before if (claim.group, claim.resource) not in kept]
        if dropped:
            started = time.monotonic()
            self._sleep(_RETRACTION_SECONDS)
            while self._consumer.has_copies(plan.kubeconfig, dropped):
                if time.monotonic() - started > min(plan.timeout, _PATIENCE_SECONDS):
                    return [
                        f"ClusterRole {role['metadata']['name']} (still with the rights to take back copies; "
                        "run the command again once the konnector works)"
                    ]
                self._progress.waiting("waiting for the konnector to take back its copies", since=started)
                self._sleep(_POLL)
        policy = plan.policy_for(standing.binding)
        return self._consumer.apply_role(role, standing.wanted, entries, conflict_policy=policy)[1]

    def _wait_ready(self, outcome: Outcome, *, timeout: float) -> None:
        started = time.monotonic()
        for index, wanted in enumerate(outcome.wanted):
            while True:
                binding = self._consumer.binding(outcome.served, wanted.name)
                if binding is None:
                    raise CliError(f"the binding {wanted.name} was deleted while waiting for it")
                outcome.bindings[index] = binding
                found = conditions.of(binding)
                if conditions.is_true(found, "Ready"):
                    self._progress.step(f"binding {wanted.name} is ready")
                    break
                ready = conditions.get(found, "Ready")
                # In full where the run ends with it: what to do stands at the end of a message.
                said = inert(ready.message or ready.reason) if ready else "no condition yet"
                if time.monotonic() - started > timeout:
                    raise WaitTimeoutError(
                        f"the binding {wanted.name} is not ready after {timeout:.0f}s: {said}",
                        next_step="look at the binding's conditions in the namespace "
                        f"{keys.CONSUMER_NAMESPACE}, and at the konnector's logs",
                    )
                self._progress.waiting(
                    f"waiting for binding {wanted.name} to be ready: {said[:300]}", since=started
                )
                self._sleep(_POLL)
