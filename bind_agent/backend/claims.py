"""Which claims of a template may be offered: pure (threats A23).

The lists of kinds stand in `bind_agent.api.guards`, because konnector and CLI refuse by the same ones. A
platform team may allow more kinds by flag, never the dangerous ones.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from bind_agent.api import guards
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.guards import Refusal
from bind_agent.backend.access import Kind, claimed_kind

MOST: Final = 100
"""Claims of one template. A person is to read each of them before accepting; nobody reads more."""


def refuse(claims: Iterable[Mapping[str, Any]], allowed: Collection[str]) -> Refusal | None:
    """Why these claims may not be offered; None when they may.

    Args:
        claims: permission claims as on the wire.
        allowed: group resources that may be claimed.
    """
    claims = list(claims)
    if len(claims) > MOST:
        return Refusal(
            Reason.TEMPLATE_INVALID,
            f"{len(claims)} claims are more than the {MOST} that a person can be asked to accept",
        )
    for claim in claims:
        try:
            typed = msgspec.convert(claim, PermissionClaim)
        except msgspec.ValidationError:
            return Refusal(Reason.TEMPLATE_INVALID, f"the claim on {claimed_kind(claim)} is malformed")
        if (refusal := guards.refuse_claim(typed, allowed=allowed)) is not None:
            return refusal
    return None


def parse_kind(text: str) -> Kind:
    """A kind written as `plural` or `plural.group`.

    Raises:
        ValueError: it is no kind, or one that may never be claimed; the message is meant for a person.
    """
    return Kind(*guards.parse_kind(text))
