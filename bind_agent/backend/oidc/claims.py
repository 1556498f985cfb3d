"""A person from the claims of a verified token: bounded, printable, of the right type, or left out."""

from collections.abc import Mapping
from typing import Any, Final

from bind_agent.api.text import printable
from bind_agent.backend.oidc.errors import LoginRefused
from bind_agent.backend.person import Person

LONGEST_SUBJECT: Final = 255
"""OpenID Connect Core 2: a subject has at most 255 characters."""
LONGEST_NAME: Final = 128
LONGEST_EMAIL: Final = 254
LONGEST_GROUP: Final = 256
MOST_GROUPS: Final = 500
"""More groups than rules will ever name; what is cut off gives no rights."""

_NAMES: Final = ("name", "preferred_username", "nickname")


def person(claims: Mapping[str, Any], *, groups_claim: str) -> Person:
    """The person whom the claims describe.

    Subject and issuer have been proven; what else there is may be missing or unusable, and is then left empty: a
    rule that needs it does not hold.

    Args:
        claims: of a verified ID token, possibly completed from the userinfo endpoint.
        groups_claim: name of the claim with the groups.

    Raises:
        LoginRefused: the subject is missing, too long, or has characters that cannot be shown.
    """
    email, verified = _email(claims.get("email")), claims.get("email_verified")
    return Person(
        issuer=str(claims["iss"]),
        subject=subject(claims.get("sub")),
        name=_name(claims),
        email=email,
        # Some issuers write booleans as text.
        email_verified=bool(email) and (verified is True or verified == "true"),
        groups=_groups(claims.get(groups_claim)),
    )


def subject(value: object) -> str:
    """The subject, unchanged.

    Raises:
        LoginRefused: it is none that an identity can be built on.
    """
    if not isinstance(value, str) or not value.strip():
        raise LoginRefused(
            "SubjectMissing",
            "The sign-in service does not say who you are. The operator of this server has to look into it.",
        )
    if len(value) > LONGEST_SUBJECT or not value.isprintable() or value != value.strip():
        raise LoginRefused(
            "SubjectMalformed",
            "The sign-in service names you in a way that this server cannot use: too long, or with characters"
            " that cannot be shown. The operator of this server has to look into it.",
        )
    return value


def lacks(claims: Mapping[str, Any], *, groups_claim: str) -> bool:
    """Whether something is missing that the userinfo endpoint may know (OpenID Connect Core 5.3)."""
    return any(name not in claims for name in ("email", groups_claim))


def completed(claims: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Claims of the ID token, and what it lacks from the userinfo endpoint.

    Args:
        claims: of the verified ID token; they win.
        more: of the userinfo endpoint.

    Raises:
        LoginRefused: the userinfo endpoint speaks of somebody else (OpenID Connect Core 5.3.2).
    """
    if more.get("sub") != claims.get("sub"):
        raise LoginRefused(
            "SubjectMismatch",
            "The sign-in service answered about somebody else. Start again from the beginning.",
        )
    # An address and whether it is verified belong together.
    without = {"email", "email_verified"} if "email" in claims else set()
    return {**{name: value for name, value in more.items() if name not in without}, **claims}


def _name(claims: Mapping[str, Any]) -> str:
    for claim in _NAMES:
        value = claims.get(claim)
        if isinstance(value, str) and (text := printable(value, LONGEST_NAME)):
            return text
    return ""


def _email(value: object) -> str:
    if not isinstance(value, str) or not 3 <= len(value) <= LONGEST_EMAIL or not value.isprintable():
        return ""
    local, at, domain = value.rpartition("@")
    return value if local and at and domain and "@" not in local and " " not in value else ""


def _groups(value: object) -> tuple[str, ...]:
    entries = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    usable = {entry for entry in entries if isinstance(entry, str) and _is_group(entry)}
    return tuple(sorted(usable)[:MOST_GROUPS])


def _is_group(text: str) -> bool:
    return 0 < len(text) <= LONGEST_GROUP and text.isprintable() and text == text.strip()
