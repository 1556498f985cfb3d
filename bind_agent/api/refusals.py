"""What the failures of API servers are called, and what of them is fact rather than free text.  Pure."""

from typing import Final

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
