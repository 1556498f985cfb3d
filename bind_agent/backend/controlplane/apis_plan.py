"""Bindings, requests and exports of an app cluster, brought in line with `spec.apiExports`: pure (spec 5.3, 4 and 5).

An API that is wanted gets an APIServiceBinding and, while it has no export, a request. One that is not wanted any
more loses its request first (it would make the export again), then its binding, and its export only when the
binding is really gone: whoever holds the binding may need the export for cleaning up.
"""

from datetime import datetime

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import Reason, Severity
from bind_agent.backend.controllers import request_plan
from bind_agent.backend.controlplane import claims_policy, words
from bind_agent.backend.controlplane.apis_model import (
    DeleteBinding,
    DeleteExport,
    DeleteRequest,
    Observed,
    Plan,
    Sketch,
)
from bind_agent.backend.controlplane.asking_plan import ask
from bind_agent.backend.controlplane.binding_plan import bind
from bind_agent.backend.controlplane.claims_policy import Policy, PolicyError
from bind_agent.backend.exports import refuse_kind


def plan(seen: Observed, *, now: datetime) -> Plan:
    """Decide.

    Args:
        seen: what was observed.
        now: time with a zone.
    """
    draft = Sketch()
    policy: Policy | None = None
    try:
        policy = _policy(seen)
    except PolicyError as error:
        draft.trouble(None, words.CLAIM_POLICY_INVALID, f"annotation {keys.ACCEPT_CLAIMS}: {error}")
    _remove(seen, draft)
    taken = {meta.name(one): request_plan.resources(one) for one in seen.requests}
    for api in seen.apis:
        if (refused := refuse_kind(api.kind)) is not None:
            draft.trouble(api.kind, refused.reason, refused.message)
            continue
        bind(seen, api, policy, draft)
        ask(seen, api, taken, draft, now)
    return Plan(tuple(draft.steps), _condition(draft), draft.after)


def _policy(seen: Observed) -> Policy:
    """Which claims are accepted.

    Raises:
        PolicyError: it cannot be read, or names what cannot be claimed.
    """
    policy = claims_policy.parse(seen.wanted.accept_claims)
    claims = [claim for api in seen.apis if api.choice is not None for claim in api.choice.claims]
    claims_policy.check(policy, claims, seen.claimable)
    return policy


def _remove(seen: Observed, draft: Sketch) -> None:
    kinds = {api.kind for api in seen.apis}
    names = {str(kind) for kind in kinds}
    for request in seen.requests:
        if (
            seen.wanted.is_ours(request)
            and not meta.is_deleting(request)
            and not kinds & set(request_plan.resources(request))
        ):
            draft.steps.append(DeleteRequest(meta.name(request), meta.uid(request)))
    for binding in seen.bindings:
        if meta.name(binding) not in names and seen.wanted.is_ours(binding) and not meta.is_deleting(binding):
            draft.steps.append(DeleteBinding(meta.name(binding), meta.uid(binding)))
    held = {meta.name(one) for one in seen.bindings}
    for export in seen.exports:
        name = meta.name(export)
        if name not in names and name not in held and not meta.is_deleting(export):
            draft.steps.append(DeleteExport(name, meta.uid(export)))


def _condition(draft: Sketch) -> Condition:
    if draft.problems:
        kind, (reason, message) = next(iter(draft.problems.items()))
        more = f" (and {len(draft.problems) - 1} more)" if len(draft.problems) > 1 else ""
        prefix = f"{kind}: " if kind is not None else ""
        return conditions.false(words.APIS_BOUND, reason, Severity.ERROR, f"{prefix}{message}{more}")
    if draft.waiting:
        names = ", ".join(str(kind) for kind in sorted(draft.waiting)[:5])
        return conditions.false(
            words.APIS_BOUND, Reason.PENDING, Severity.INFO, f"waiting for the exports of {names}"
        )
    return conditions.true(words.APIS_BOUND)
