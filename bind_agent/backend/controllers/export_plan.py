"""What becomes of an APIServiceExport: pure (spec 4.8; W-B9, W-B10)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bind_agent.api import conditions, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity, Status
from bind_agent.api.meta import Object
from bind_agent.backend import access, exports, names
from bind_agent.backend.access import ExportNeeds, HeldRights, Rule
from bind_agent.backend.exports import Draft, Problem

_SPEC_WORDS: Final = {Reason.CRD_INVALID: Reason.CRD_UPDATE_FAILED}
"""Reasons that spec 3.11.3 words differently on an export than on a request."""

_MILD: Final = frozenset({Reason.TEMPLATE_NOT_FOUND, Reason.TEMPLATE_AMBIGUOUS})
"""The export goes on as it is."""

_PASSING: Final = (names.ALLOWED, names.VERSION_NOT_SERVED, ConditionType.RETIRING)
"""Conditions that stand only while there is something to say."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with an export.

    Attributes:
        write: the whole object to write, or None; the status follows in the next run, never in the same.
        status: the status it should have.
        after: when to look again without an event.
    """

    write: Object | None
    status: Mapping[str, Any]
    after: timedelta | None = None


def decide(
    export: Object,
    wanted: Draft | Problem,
    granted: Condition | None,
    *,
    told: Iterable[Condition] = (),
    again: timedelta | None = None,
    now: datetime,
) -> Decision:
    """Decide about an export whose CRD exists.

    Args:
        export: as observed.
        wanted: what it should say, or why that is not known or nothing new is exported.
        granted: the condition about the tenant's rights; None when it is not known yet and stays as it is.
        told: conditions that stand only while there is something to say: `Allowed`, `Retiring`.
        again: when to ask again for rights that are missing.
        now: time with a zone.
    """
    old = export.get("status")
    status = dict(old) if isinstance(old, Mapping) else {}
    warnings = []
    if isinstance(wanted, Problem) and wanted.existing is not None:
        warnings.append(_goes_on(wanted))
        wanted = wanted.existing
    change = exports.revised(export, wanted) if isinstance(wanted, Draft) else wanted
    if isinstance(change, dict):
        return Decision(write=change, status=status)
    found = [_in_sync(change)]
    if granted is not None:
        found.append(granted)
    entries = conditions.of(export)
    spoken = {condition.type: condition for condition in (*told, *warnings)}
    for passing in _PASSING:
        if passing in spoken:
            found.append(spoken[passing])
        else:
            entries = conditions.remove(entries, passing)
    status["conditions"] = conditions.set_all(entries, found, now)
    return Decision(write=None, status=status, after=again)


def _in_sync(problem: Problem | None) -> Condition:
    if problem is None:
        return conditions.true(ConditionType.PROVIDER_IN_SYNC)
    return conditions.false(
        ConditionType.PROVIDER_IN_SYNC,
        _SPEC_WORDS.get(problem.reason, problem.reason),
        Severity.WARNING if problem.reason in _MILD else Severity.ERROR,
        problem.message,
    )


def _goes_on(problem: Problem) -> Condition:
    """The condition for an export whose template makes no new ones.

    It is True while it warns: the export works, and stays ready.
    """
    return Condition(
        type=names.VERSION_NOT_SERVED,
        status=Status.TRUE,
        reason=problem.reason,
        message=f"{problem.message}; until then nothing new is exported from it, and this export goes on",
    )


def not_allowed(message: str) -> Condition:
    """The condition for an export that its tenant could not request any more: rules changed, or groups."""
    return conditions.false(
        names.ALLOWED,
        names.REASON_NOT_ALLOWED,
        Severity.WARNING,
        f"{message}; this export goes on until `bind-backend export retire` ends it",
    )


def has_all(needs: ExportNeeds, role: Mapping[str, Any] | None, wide: Mapping[str, Any] | None) -> bool:
    """Whether the tenant's roles already give what an export needs, so that nobody has to be asked.

    Args:
        needs: of the export.
        role: ClusterRole `klutch-binder-<cns>`, or None.
        wide: ClusterRole `klutch-binder-<cns>-cluster`, or None.
    """
    if access.uncovered(needs.kinds, _rules(role)):
        return False
    return not needs.cluster_wide or not access.uncovered({needs.exported}, _rules(wide))


def refused(export: Mapping[str, Any], missing: Sequence[Rule]) -> Condition:
    """The condition for rights that the backend cannot hand on."""
    return conditions.false(
        names.ACCESS_GRANTED,
        names.REASON_GRANT_REFUSED,
        Severity.ERROR,
        f"the backend may not hand on {access.snippet(missing)}: apply the output of"
        f" `bind-backend rbac {meta.name(export)}` on the provider (a ClusterRole labelled"
        f" {names.AGGREGATE_TO_BACKEND}=true)",
    )


def needs_overlay(export: Mapping[str, Any]) -> Condition:
    """The condition for an export that is watched in all namespaces, by a backend that may not grant that."""
    return conditions.false(
        names.ACCESS_GRANTED,
        names.REASON_GRANT_REFUSED,
        Severity.ERROR,
        f"{meta.name(export)} is exported cluster-wide, and the backend may not make"
        " ClusterRoleBindings: apply"
        f" {names.CLUSTER_SCOPE_OVERLAY} on the provider and restart the backend",
    )


def _rules(role: Mapping[str, Any] | None) -> HeldRights:
    rules = role.get("rules") if role is not None else None
    return HeldRights(
        tuple(rule for rule in rules if isinstance(rule, dict)) if isinstance(rules, list) else ()
    )
