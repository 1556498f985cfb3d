"""The export request of one API, while it has no export: pure (spec 5.3 step 5, 12.3)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from bind_agent.api import conditions, meta, naming
from bind_agent.api.conditions_catalogue import ConditionType, Status
from bind_agent.api.meta import Object
from bind_agent.backend.access import Kind
from bind_agent.backend.controllers import request_plan
from bind_agent.backend.controlplane import objects
from bind_agent.backend.controlplane.apis_model import Api, CreateRequest, DeleteRequest, Observed, Sketch
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.exports import Problem
from bind_agent.backend.tenancy.rotation import parse_time

LAG: Final = timedelta(seconds=5)
"""A request that succeeded this long ago without an export to be seen: the export was deleted since."""


AGAIN: Final = timedelta(seconds=10)
"""A request that failed is repeated at this age at the earliest: some fail at once, whatever the provider offers."""


def ask(seen: Observed, api: Api, taken: dict[str, list[Kind]], draft: Sketch, now: datetime) -> None:
    """Add the steps for the request of one API.

    Args:
        seen: what was observed.
        api: the API.
        taken: which kinds each request in the root namespace asks for, by its name; new ones are added.
        draft: gets steps and troubles.
        now: time with a zone.
    """
    export = next((one for one in seen.exports if meta.name(one) == str(api.kind)), None)
    if export is not None:
        if meta.is_deleting(export):
            draft.waiting.append(api.kind)
        return
    if api.choice is None or (isinstance(api.draft, Problem) and api.draft.final):
        draft.not_offered(api)
        return
    standing = [one for one in seen.requests if api.kind in request_plan.resources(one)]
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


def _is_spent(request: Object, api: Api, now: datetime) -> bool:
    """Whether a request is over and another one would do better."""
    if isinstance(api.draft, Problem):
        return False
    rest = {request_plan.SUCCEEDED: LAG, request_plan.FAILED: AGAIN}.get(request_plan.phase(request))
    if rest is None:
        return False
    born = parse_time(meta.creation_timestamp(request))
    return born is None or now - born > rest


def _name(wanted: Wanted, api: Api, taken: Mapping[str, Sequence[Kind]]) -> str:
    """Name of a new request (spec 12.3).

    It is made from the template's name alone, and templates of two namespaces may share one.
    """
    template = api.choice.template if api.choice is not None else {}
    name = naming.export_request(wanted.name, meta.name(template))
    return name if name not in taken else f"{name}-{naming.digest(meta.key(template), str(api.kind))}"
