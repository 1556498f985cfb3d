"""``--dry-run``: the objects that a run would write, without a single write anywhere.

Both clusters are only read. The provider's decision is not known then, so the export of an earlier
run, or else the request itself, stands for what it would offer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bind_agent.api import keys
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.meta import Object, name, namespace
from bind_agent.api.resource import BINDINGS
from cli.binding import claims as claim_rules
from cli.binding import consent, install
from cli.binding.claims import Answer, Decision, describe, same_entries
from cli.binding.consumer import ConsumerSide
from cli.binding.credential import stored_kubeconfig
from cli.binding.flow import Plan
from cli.binding.objects import (
    binding_manifest,
    conflict_policy_of,
    namespace_manifest,
    role_manifest,
    same_role,
    secret_manifest,
)
from cli.binding.offering import Offer
from cli.binding.provider import ProviderSide
from cli.binding.survey import Standing, Survey
from cli.output import (
    Progress,
    inert,
    qualified_name,
    render_columns,
    render_object,
    without_managed_fields,
)

_GENERATED = "(generated)"


@dataclass(frozen=True, slots=True)
class Step:
    """One write that would happen.

    Attributes:
        cluster: ``provider`` or ``app cluster``.
        action: ``create``, ``update`` or ``keep``.
        obj: the object.
    """

    cluster: str
    action: str
    obj: Object


def plan_steps(plan: Plan, provider: ProviderSide, consumer: ConsumerSide, progress: Progress) -> list[Step]:
    """All writes of a run, in order.

    Raises:
        CliError: what a run would fail with before its first write.
    """
    survey = consumer.survey(plan.request.wanted, plan.kubeconfig, prefer=plan.prefer_secret)
    installer = install.Installer(consumer.cluster, progress)
    konnector = install.decide(
        installer.deployment(), image=plan.image, skip=plan.skip_konnector, claimable=plan.claimable
    )
    if survey.move is not None:
        progress.note(
            f"the Secret {inert(survey.move.secret)} leads to {inert(survey.move.old.checked.server)}; it"
            f" would be moved to {inert(plan.kubeconfig.checked.server)}, if that is proven or said to be the same"
            " tenant"
        )
    stands, request = provider.preview(plan.request)
    steps = [Step("provider", "keep" if stands else "create", request)]
    steps += _konnector_steps(konnector, survey)
    secret = _secret_step(plan, survey)
    steps.append(secret)
    accepted: set[str] = set()
    offers = [provider.offered(standing.wanted, None, standing.claims) for standing in survey.standings]
    consent.check_listed(plan.policy, offers, elsewhere=plan.claimed_elsewhere)
    for standing, offer in zip(survey.standings, offers, strict=True):
        entries = _entries(plan, provider, standing, offer, progress)
        accepted |= {one.group_resource for one in entries if one.accepted}
        steps += _binding_steps(plan, survey, standing, entries, secret=name(secret.obj) or _GENERATED)
    installer.tell_lacking(konnector, accepted)
    return steps


def _konnector_steps(konnector: install.Decision, survey: Survey) -> list[Step]:
    if konnector.action in (install.Action.LEAVE, install.Action.SKIP):
        return [] if survey.namespace else [Step("app cluster", "create", namespace_manifest())]
    action = "create" if konnector.action is install.Action.INSTALL else "update"
    return [
        Step("app cluster", action, obj) for obj in install.manifests(konnector.image, konnector.arguments)
    ]


def _secret_step(plan: Plan, survey: Survey) -> Step:
    shown = secret_manifest(plan.kubeconfig, name=survey.missing, redacted=True)
    if survey.secret is None:
        return Step("app cluster", "create", shown)
    stored = stored_kubeconfig(survey.secret)
    same = stored is not None and stored.digest == plan.kubeconfig.digest
    shown["metadata"] = {"name": name(survey.secret), "namespace": keys.CONSUMER_NAMESPACE}
    return Step("app cluster", "keep" if same else "update", shown)


def _entries(
    plan: Plan, provider: ProviderSide, standing: Standing, offer: Offer, progress: Progress
) -> list[AcceptablePermissionClaim]:
    """The claims that a binding would get; what a person would be asked about is told instead of asked."""
    wanted, offered = standing.wanted, offer.claims
    if not offer.certain:
        progress.note(f"{wanted.name}: what the provider claims shows when it has answered a request")
    consent.check_offered(offered, api=wanted.name, progress=progress, allowed=plan.claimable)
    decisions, questions = consent.open_questions(plan.policy, offered, standing.claims, plan.claimable)
    for question in questions:
        claim = question.claim
        accepted = plan.policy is not None and plan.policy.accepts(claim)
        decisions.append(Decision(claim, accepted, Answer.FLAG, kept=question.kept))
        verdict = (
            ("accepted" if accepted else "rejected") if plan.policy else "would be asked, shown as rejected"
        )
        words = " ".join(describe(claim, api=wanted.name, provider=provider.pretty_name())[:2])
        progress.note(f"{wanted.name}: claim on {inert(claim.group_resource)} {verdict}: {words}")
    if plan.policy is not None:
        consent.check_required(decisions, api=wanted.name)
    return claim_rules.entries(offered, decisions)


def _binding_steps(
    plan: Plan,
    survey: Survey,
    standing: Standing,
    entries: Sequence[AcceptablePermissionClaim],
    *,
    secret: str,
) -> list[Step]:
    wanted, policy = standing.wanted, plan.policy_for(standing.binding)
    manifest = role_manifest(wanted, entries, conflict_policy=policy)
    action = "create" if standing.role is None else "update"
    role = Step("app cluster", "keep" if same_role(standing.role, manifest) else action, manifest)
    binding = binding_manifest(
        survey.served or BINDINGS, wanted, entries, secret=secret, conflict_policy=policy
    )
    if standing.binding is None:
        return [role, Step("app cluster", "create", binding)]
    same = same_entries(standing.claims, entries) and policy == conflict_policy_of(standing.binding)
    return [role, Step("app cluster", "keep" if same else "update", binding)]


def render(steps: Sequence[Step], form: str) -> str:
    """The steps for people (a table) or for programs (the objects that would be created or updated)."""
    if form in {"json", "yaml"}:
        shown = [without_managed_fields(step.obj) for step in steps if step.action != "keep"]
        return render_object(shown, form)
    rows = [
        (
            step.cluster,
            step.action,
            step.obj.get("kind"),
            namespace(step.obj),
            name(step.obj) or f"{(step.obj['metadata']).get('generateName')}{_GENERATED}",
        )
        for step in steps
    ]
    if form == "name":
        return "".join(
            f"{qualified_name(step.obj, str(row[-1]))}\n" for step, row in zip(steps, rows, strict=True)
        )
    return render_columns(("CLUSTER", "ACTION", "KIND", "NAMESPACE", "NAME"), rows)
