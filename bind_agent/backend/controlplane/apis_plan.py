"""Bindings, requests and exports of an app cluster, brought in line with `spec.apiExports`: pure (spec 5.3, 4 and 5).

An API that is wanted gets an APIServiceBinding and, while it has no export, a request. One that is not wanted any
more loses its request first (it would make the export again), then its binding, and its export only when the
binding is really gone: whoever holds the binding may need the export for cleaning up.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from bind_agent.api import conditions, guards, keys, meta, naming
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity, Status
from bind_agent.api.meta import Object
from bind_agent.backend.access import Kind
from bind_agent.backend.controllers import request_plan
from bind_agent.backend.controlplane import claims_policy, objects, words
from bind_agent.backend.controlplane.claims_policy import Policy, PolicyError
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.exports import Draft, Problem, refuse_kind
from bind_agent.backend.templates import Choice
from bind_agent.backend.tenancy.rotation import parse_time

LAG: Final = timedelta(seconds=5)
"""A request that succeeded this long ago without an export to be seen: the export was deleted since."""


@dataclass(frozen=True, slots=True)
class CreateBinding:
    """An API gets its binding."""

    binding: Object


@dataclass(frozen=True, slots=True)
class PatchBinding:
    """A binding is brought in line; the patch names what was observed."""

    name: str
    patch: Object


@dataclass(frozen=True, slots=True)
class DeleteBinding:
    """An API is not wanted any more."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """An export is asked for."""

    request: Object


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """A request that is not wanted, or that ended without an export."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteExport:
    """An export that is not wanted and that no binding needs."""

    name: str
    uid: str


Step: TypeAlias = CreateBinding | PatchBinding | DeleteBinding | CreateRequest | DeleteRequest | DeleteExport


@dataclass(frozen=True, slots=True)
class Api:
    """One wanted API and what the provider has for it.

    Attributes:
        kind: the resource.
        choice: its template; None when there is none.
        draft: what its export would say, or why there can be none now.
    """

    kind: Kind
    choice: Choice | None
    draft: Draft | Problem


@dataclass(frozen=True, slots=True)
class Observed:
    """What is in the root namespace.

    Attributes:
        wanted: the AppClusterBinding.
        apis: of it, in order.
        bindings: all APIServiceBindings there.
        exports: all APIServiceExports there.
        requests: all APIServiceExportRequests there.
        claimable: group resources that may be claimed.
    """

    wanted: Wanted
    apis: Sequence[Api]
    bindings: Sequence[Object] = ()
    exports: Sequence[Object] = ()
    requests: Sequence[Object] = ()
    claimable: Collection[str] = guards.CLAIMABLE


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and how it stands.

    Attributes:
        steps: in order.
        condition: APIsBound.
        after: when to look again without an event.
    """

    steps: tuple[Step, ...]
    condition: Condition
    after: timedelta | None = None


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    steps: list[Step] = field(default_factory=list)
    problems: dict[Kind | None, tuple[str, str]] = field(default_factory=dict)
    waiting: list[Kind] = field(default_factory=list)
    after: timedelta | None = None

    def trouble(self, kind: Kind | None, reason: str, message: str) -> None:
        """Note what stands in the way; of several things about one kind the first one counts."""
        self.problems.setdefault(kind, (reason, message))


def plan(seen: Observed, *, now: datetime) -> Plan:
    """Decide.

    Args:
        seen: what was observed.
        now: time with a zone.
    """
    draft = _Draft()
    policy: Policy | None = None
    try:
        policy = claims_policy.parse(seen.wanted.accept_claims)
    except PolicyError as error:
        draft.trouble(None, words.CLAIM_POLICY_INVALID, f"annotation {keys.ACCEPT_CLAIMS}: {error}")
    _remove(seen, draft)
    taken = {meta.name(one): _asked(one) for one in seen.requests}
    for api in seen.apis:
        if (refused := refuse_kind(api.kind)) is not None:
            draft.trouble(api.kind, refused.reason, refused.message)
            continue
        _bind(seen, api, policy, draft)
        _request(seen, api, taken, draft, now)
    return Plan(tuple(draft.steps), _condition(draft), draft.after)


def _remove(seen: Observed, draft: _Draft) -> None:
    kinds = {api.kind for api in seen.apis}
    names = {str(kind) for kind in kinds}
    for request in seen.requests:
        if (
            seen.wanted.is_ours(request)
            and not meta.is_deleting(request)
            and not kinds & set(_asked(request))
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


def _bind(seen: Observed, api: Api, policy: Policy | None, draft: _Draft) -> None:
    """The binding of one API."""
    present = next((one for one in seen.bindings if meta.name(one) == str(api.kind)), None)
    if present is not None and meta.is_deleting(present):
        draft.waiting.append(api.kind)
        return
    if present is None:
        if api.choice is None:
            _not_offered(api, draft)
            return
        settled = claims_policy.settle(policy, api.choice.claims, (), (), allowed=seen.claimable)
        draft.steps.append(
            CreateBinding(objects.binding(seen.wanted, api.kind, settled.entries, settled.annotation))
        )
        return
    spec = present.get("spec")
    spec = spec if isinstance(spec, Mapping) else {}
    if spec.get("kubeconfigSecretRef", objects.secret_ref(seen.wanted)) != objects.secret_ref(seen.wanted):
        draft.trouble(
            api.kind,
            words.BINDING_CONFLICT,
            f"the binding {seen.wanted.root}/{api.kind} refers to another Secret, which cannot be changed: delete it",
        )
        return
    patch = _binding_patch(seen, api, policy, present, spec)
    if patch:
        head = {"uid": meta.uid(present), "resourceVersion": meta.resource_version(present)}
        patch = {**patch, "metadata": {**patch.get("metadata", {}), **head}}
        draft.steps.append(PatchBinding(str(api.kind), patch))


def _binding_patch(
    seen: Observed, api: Api, policy: Policy | None, present: Object, spec: Mapping[str, Any]
) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    labels = meta.labels(present)
    if changed := {key: value for key, value in seen.wanted.labels.items() if labels.get(key) != value}:
        patch["metadata"] = {"labels": changed}
    if not spec:
        patch["spec"] = {"kubeconfigSecretRef": objects.secret_ref(seen.wanted)}
    if api.choice is None:
        # Nobody knows what is offered; what was decided stays.
        return patch
    found = spec.get("permissionClaims")
    entries = [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []
    before = meta.annotation(present, keys.ACCEPTED_BY_POLICY)
    settled = claims_policy.settle(
        policy, api.choice.claims, entries, claims_policy.remembered(before), allowed=seen.claimable
    )
    if list(settled.entries) != entries:
        patch["spec"] = {**patch.get("spec", {}), "permissionClaims": [dict(one) for one in settled.entries]}
    if settled.annotation != before:
        patch.setdefault("metadata", {})["annotations"] = {
            keys.ACCEPTED_BY_POLICY: settled.annotation or None
        }
    return patch


def _request(seen: Observed, api: Api, taken: dict[str, list[Kind]], draft: _Draft, now: datetime) -> None:
    """The request of one API, while it has no export."""
    export = next((one for one in seen.exports if meta.name(one) == str(api.kind)), None)
    if export is not None:
        if meta.is_deleting(export):
            draft.waiting.append(api.kind)
        return
    if api.choice is None or (isinstance(api.draft, Problem) and api.draft.final):
        _not_offered(api, draft)
        return
    standing = [one for one in seen.requests if api.kind in _asked(one)]
    spent = [one for one in standing if _is_spent(one, api, now)]
    if len(spent) == len(standing):
        for request in spent:
            draft.steps.append(DeleteRequest(meta.name(request), meta.uid(request)))
            taken.pop(meta.name(request), None)
        name = _name(seen.wanted, api, taken)
        taken[name] = [api.kind]
        draft.steps.append(CreateRequest(objects.request(seen.wanted, name, api.kind, api.choice.claims)))
        draft.waiting.append(api.kind)
        return
    if isinstance(api.draft, Problem):
        draft.trouble(api.kind, api.draft.reason, api.draft.message)
        return
    for request in standing:
        told = conditions.get(conditions.of(request), ConditionType.EXPORTS_READY)
        if told is not None and told.status == Status.FALSE:
            draft.trouble(api.kind, told.reason, told.message)
    draft.waiting.append(api.kind)
    draft.after = LAG


def _not_offered(api: Api, draft: _Draft) -> None:
    """The provider has no template, or can never export this kind."""
    problem = api.draft if isinstance(api.draft, Problem) else None
    draft.trouble(
        api.kind,
        problem.reason if problem else Reason.TEMPLATE_NOT_FOUND,
        problem.message if problem else f"no template selects {api.kind}",
    )


def _is_spent(request: Object, api: Api, now: datetime) -> bool:
    """Whether a request is over and another one would do better."""
    if isinstance(api.draft, Problem):
        return False
    phase = request_plan.phase(request)
    if phase == request_plan.SUCCEEDED:
        born = parse_time(meta.creation_timestamp(request))
        return born is None or now - born > LAG
    return phase == request_plan.FAILED


def _name(wanted: Wanted, api: Api, taken: Mapping[str, Sequence[Kind]]) -> str:
    """Name of a new request (spec 12.3).

    It is made from the template's name alone, and templates of two namespaces may share one.
    """
    template = api.choice.template if api.choice is not None else {}
    name = naming.export_request(wanted.name, meta.name(template))
    return name if name not in taken else f"{name}-{naming.digest(meta.key(template), str(api.kind))}"


def _asked(request: Object) -> list[Kind]:
    return request_plan.resources(request)


def _condition(draft: _Draft) -> Condition:
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
