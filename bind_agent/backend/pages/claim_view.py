"""Claims of templates and exports in words for a page: pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from bind_agent.api.claim_words import ClaimWords, Voice, describe
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.shared import without_nulls
from bind_agent.api.text import printable
from bind_agent.backend.claims import MOST

VOICE: Final = Voice(here="your cluster")

_TEXT: Final = 200


def words(claims: Iterable[Mapping[str, Any]], *, api: str, provider: str) -> tuple[ClaimWords, ...]:
    """What is copied which way when these claims are accepted: all that a template may have.

    A template with more than `claims.MOST` is refused; what an earlier release exported of one is counted
    by `hidden`.

    Args:
        claims: as on the wire; one that breaks the wire's rules is left out (the backend refuses to export it).
        api: `plural.group`.
        provider: what the provider is called.
    """
    found = []
    for raw in list(claims)[:MOST]:
        try:
            claim = msgspec.convert(without_nulls(raw), PermissionClaim)
        except (msgspec.ValidationError, ValueError, RecursionError):
            continue
        if not claim.problems(""):
            found.append(describe(claim, api=api, provider=printable(provider, _TEXT), voice=VOICE))
    return tuple(found)


def hidden(claims: Iterable[Mapping[str, Any]]) -> int:
    """How many claims are too many for `words`."""
    return max(0, len(list(claims)) - MOST)
