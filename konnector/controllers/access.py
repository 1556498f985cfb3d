"""Rights that the provider has not granted, as they are shown on the binding: pure.

The provider says it on the export (condition `AccessGranted`, which Go backends do not write); a consumer looks at
the binding. Until the first object is created nothing else would show that none can be synced.
"""

from typing import Final

from bind_agent.api import conditions
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.meta import Object
from bind_agent.api.text import printable

_LIMIT: Final = 1024


def mirrored(export: Object, stated: Condition | None) -> Condition | None:
    """The condition to state on the bindings of an export.

    Args:
        export: the export as observed.
        stated: what was last stated about it on the binding.

    Returns:
        The provider's refusal, made fit to be shown; True after one that is over; None when there was never one.
    """
    said = conditions.get(conditions.of(export), ConditionType.ACCESS_GRANTED)
    if said is not None and said.status == "False":
        return conditions.false(
            ConditionType.ACCESS_GRANTED,
            Reason.GRANT_REFUSED,
            Severity.ERROR,
            "the provider has not granted the rights for this API, so no object is synced: ask its operators, who read"
            " on its export: " + printable(said.message, _LIMIT),
        )
    return None if stated is None else conditions.true(ConditionType.ACCESS_GRANTED)
