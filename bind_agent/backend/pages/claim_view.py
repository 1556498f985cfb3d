"""Claims of templates and exports in words for a page: pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from bind_agent.api.claim_words import ClaimWords, Voice, describe
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.shared import without_nulls
from bind_agent.api.text import printable

VOICE: Final = Voice(here="your cluster")

MOST: Final = 50
"""Claims that are shown of one API."""

_TEXT: Final = 200


def words(claims: Iterable[Mapping[str, Any]], *, api: str, provider: str) -> tuple[ClaimWords, ...]:
    """What is copied which way when these claims are accepted.

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
