"""Who can log in at the development issuer, and as which client."""

from dataclasses import dataclass
from typing import Any, Final

CLIENT_ID: Final = "kubectl-bind-dev"
"""The only client. It is public: a secret that stands in the source would be none."""


@dataclass(frozen=True, slots=True)
class Account:
    """A made-up person.

    Attributes:
        subject: `sub`, and what a `login_hint` names.
        name: for people.
        groups: `groups`.
        about: what this account is good for.
    """

    subject: str
    name: str
    groups: tuple[str, ...]
    about: str

    @property
    def claims(self) -> dict[str, Any]:
        """What tokens and the userinfo endpoint say."""
        return {
            "sub": self.subject,
            "name": self.name,
            "preferred_username": self.subject,
            "email": f"{self.subject}@example.com",
            "email_verified": True,
            "groups": list(self.groups),
        }


ACCOUNTS: Final = {
    account.subject: account
    for account in (
        Account("alice", "Alice Example", ("developers", "database-users"), "a developer with databases"),
        Account("bob", "Bob Example", ("developers",), "a developer without"),
        Account("operator", "Olivia Operator", ("operators",), "runs the platform"),
    )
}
"""By subject."""
