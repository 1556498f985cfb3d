"""Who logged in: what an identity provider has proven about a person (spec 4.4, W-S5, W-S7)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A person or account as the issuer vouches for it.

    Attributes:
        issuer: URL of the issuer, exactly as in the ID token.
        subject: the issuer's name for the account; unique and stable there, and nowhere else.
        name: for display only.
        email: for display, and for rules where the issuer has verified it.
        email_verified: whether the issuer vouches for the address.
        groups: groups at the issuer, sorted, without doubles.
    """

    issuer: str
    subject: str
    name: str = ""
    email: str = ""
    email_verified: bool = False
    groups: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """`<issuer>/<subject>`, as BindingResponse carries it (spec 3.10.2)."""
        return f"{self.issuer}/{self.subject}"
