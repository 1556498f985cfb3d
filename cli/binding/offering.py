"""What a provider claims for an API: what its export says, or as much as is known where that cannot be read. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bind_agent.api.claims import AcceptablePermissionClaim, PermissionClaim, content_hash
from bind_agent.api.meta import Object
from bind_agent.api.shared import to_wire
from cli.binding.claims import ClaimError, parse_claim, without_answer
from cli.binding.request import Wanted
from cli.errors import CliError


@dataclass(frozen=True, slots=True)
class Offer:
    """The claims of an API.

    Attributes:
        claims: the claims, in the provider's order.
        certain: the export said so. Otherwise there may be others, and nothing may be concluded from a claim
            that is missing.
    """

    claims: list[PermissionClaim]
    certain: bool


def of_export(wanted: Wanted, export: Object) -> Offer:
    """What an export says.

    Raises:
        CliError: a claim is malformed.
    """
    spec = export.get("spec")
    claims = spec.get("permissionClaims") if isinstance(spec, dict) else None
    return Offer(_parsed(wanted, claims if isinstance(claims, list) else []), certain=True)


def without_export(
    wanted: Wanted, request: Object | None, earlier: Sequence[AcceptablePermissionClaim]
) -> Offer:
    """What is known without the export: the claims of the request, and those that a binding has answers to.

    Args:
        wanted: the API.
        request: the request as the provider left it; None before one stands.
        earlier: entries of the existing binding. They stay in question: that the export cannot be read is no
            reason to take anything back.

    Raises:
        CliError: a claim is malformed.
    """
    claims = _parsed(wanted, _claims_of_request(request, wanted))
    known = {content_hash(claim) for claim in claims}
    claims += [without_answer(entry) for entry in earlier if content_hash(entry) not in known]
    return Offer(claims, certain=False)


def ended(wanted: Wanted) -> CliError:
    """The provider granted an API and does not offer it any more."""
    return CliError(
        f"the provider has ended {wanted.name}: it granted the request, and there is no export of it now",
        next_step="run the command again, which asks for it anew, or ask the provider's operators",
    )


def _parsed(wanted: Wanted, claims: Sequence[Any]) -> list[PermissionClaim]:
    try:
        return [parse_claim(claim, f"claim {index}") for index, claim in enumerate(claims, 1)]
    except ClaimError as error:
        raise CliError(
            f"{wanted.name}: the provider's export is malformed: {error}",
            next_step="report this to the provider",
        ) from None


def _claims_of_request(request: Object | None, wanted: Wanted) -> list[Any]:
    if request is None:
        return [to_wire(claim) for claim in wanted.claims]
    for entry in (request.get("spec") or {}).get("resources") or []:
        if isinstance(entry, dict) and (entry.get("group") or "", entry.get("resource")) == (
            wanted.group,
            wanted.plural,
        ):
            claims = entry.get("permissionClaims")
            return claims if isinstance(claims, list) else []
    return []
