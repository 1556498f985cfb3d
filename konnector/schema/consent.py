"""What is said of an update that is held, and how a person lets it through: pure (threats A37).

The message ends with the command, and is bounded: the list of changes gives way, the command never does. Only names
are the provider's in it, and these without blanks and quotes (``breaking.word``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from konnector.schema.breaking import Change
from konnector.schema.compare import MOST_CHANGES, Held

_MOST_SHOWN: Final = 5
_ROOM: Final = 400
"""Characters for the list of changes."""


def held(
    verdict: Held,
    binding: Mapping[str, Any],
    *,
    control_plane: bool = False,
    hindrance: Condition | None = None,
) -> Condition:
    """``SchemaInSync`` of a binding whose update is held.

    Args:
        verdict: what is held.
        binding: the binding.
        control_plane: it is not on the app cluster.
        hindrance: why the CRD that is there is not served (``serving.hindrance``), which is the graver of the two.
    """
    message = _releasable(verdict, binding, control_plane) if verdict.offer else _final(verdict, binding)
    severity = Severity.WARNING
    if hindrance is not None:
        severity, message = hindrance.severity, f"{hindrance.message}; besides, {message}"
    return conditions.false(ConditionType.SCHEMA_IN_SYNC, Reason.SCHEMA_UPDATE_HELD, severity, message)


def given(binding: Mapping[str, Any]) -> str:
    """The offer that a person has consented to, empty without consent."""
    return meta.annotation(binding, keys.ACCEPT_SCHEMA)


def _releasable(verdict: Held, binding: Mapping[str, Any], control_plane: bool) -> str:
    where = "the control plane" if control_plane else "the app cluster"
    namespace = meta.namespace(binding)
    place = f" --namespace {namespace}" if namespace else ""
    return (
        f"the provider's new schema would harm stored objects and is held: {_listed(verdict.changes)}; to apply it "
        f"all the same, run on {where}: kubectl annotate apiservicebindings {meta.name(binding)}{place} "
        f"{keys.ACCEPT_SCHEMA}={verdict.offer} --overwrite"
    )


def _final(verdict: Held, binding: Mapping[str, Any]) -> str:
    """The CRD has the name of the binding; when it is deleted, it is made anew as it is offered."""
    refused = (
        f"the provider's new schema cannot replace the one on the app cluster: {_listed(verdict.changes)}; the API "
        "server would refuse that, whoever consents"
    )
    if verdict.has_objects:
        return (
            f"{refused}: ask the provider to take it back; the only other way is to delete the CRD "
            f"{meta.name(binding)} on the app cluster, and with it all its objects, here and at the provider"
        )
    return (
        f"{refused}; there are no objects, so nothing is lost when the CRD is made anew: run on the app cluster: "
        f"kubectl delete customresourcedefinitions {meta.name(binding)}"
    )


def _listed(changes: Sequence[Change]) -> str:
    shown: list[str] = []
    for change in changes[:_MOST_SHOWN]:
        if shown and len("; ".join((*shown, str(change)))) > _ROOM:
            break
        shown.append(str(change))
    rest = len(changes) - len(shown)
    more = "" if not rest else " (and more)" if len(changes) == MOST_CHANGES else f" (and {rest} more)"
    return "; ".join(shown) + more
