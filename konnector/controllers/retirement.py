"""The announced end of an export, as it is shown on the binding: pure.

The provider says it on the export (condition `Retiring`); a consumer looks at the binding. The condition is
True while it warns, so it does not touch the summary `Ready`: what works stays ready to its last day.
"""

from bind_agent.api import conditions
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Status
from bind_agent.api.meta import Object
from bind_agent.api.text import printable

_LIMIT = 1024


def mirrored(export: Object, stated: Condition | None) -> Condition | None:
    """The condition to state on the bindings of an export.

    Args:
        export: the export as observed.
        stated: what was last stated about it on the binding.

    Returns:
        The provider's announcement, made fit to be shown; after one that was taken back a False without severity,
        which by the summary's rules counts less than anything that holds; None when there was never one.
    """
    announced = conditions.get(conditions.of(export), ConditionType.RETIRING)
    if announced is not None and announced.status == Status.TRUE:
        return Condition(
            type=ConditionType.RETIRING,
            status=Status.TRUE,
            reason=Reason.RETIREMENT_ANNOUNCED,
            message=printable(announced.message, _LIMIT),
        )
    return None if stated is None else Condition(type=ConditionType.RETIRING, status=Status.FALSE)
