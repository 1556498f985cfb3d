"""What the failures of API servers are called, and what of them is fact rather than free text.  Pure."""

from collections.abc import Mapping
from typing import Any, Final

from bind_agent.api.resource import Resource

# The StatusReasons of apimachinery (meta/v1).  Admission webhooks may answer with words of their own, which
# then can be anything, content of the refused object included.
REASONS: Final = frozenset(
    {
        "Unauthorized",
        "Forbidden",
        "NotFound",
        "AlreadyExists",
        "Conflict",
        "Gone",
        "Invalid",
        "ServerTimeout",
        "StoreReadError",
        "Timeout",
        "TooManyRequests",
        "BadRequest",
        "MethodNotAllowed",
        "NotAcceptable",
        "RequestEntityTooLarge",
        "UnsupportedMediaType",
        "InternalError",
        "Expired",
        "ServiceUnavailable",
    }
)


def known_reason(reason: str) -> str:
    """The reason if Kubernetes has such a one, else nothing."""
    return reason if reason in REASONS else ""


def says_absent(status: Mapping[str, Any], resource: Resource, name: str) -> bool:
    """Whether a `Status` with code 404 is an API server's word that it has no object of that name.

    An API server answers 404 as well for a kind or a version that it does not serve (at the moment), then
    without naming an object, and a proxy does so for anything that it cannot forward.  Neither says that the
    object does not exist.

    Args:
        status: the decoded answer, of whatever shape the other side sent.
        resource: the kind that was asked for.
        name: of the object that was asked for.
    """
    details = status.get("details")
    if not name or status.get("reason") != "NotFound" or not isinstance(details, dict):
        return False
    # API servers give the plural as the kind; some that are added to them (aggregated) give the kind itself.
    return (
        details.get("name") == name
        and details.get("kind", "") in ("", resource.plural, resource.kind)
        and details.get("group", "") in ("", resource.group)
    )
