"""What an operator says about the issuer."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bind_agent.backend.oidc.addresses import endpoint_fault

DEFAULT_SCOPES: Final = ("openid", "profile", "email")
_LONGEST: Final = 2048


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """The issuer and how this backend is registered there (flags of spec 4.1).

    Attributes:
        issuer_url: exactly as the issuer writes itself in its tokens.
        client_id: name of this backend at the issuer.
        client_secret: its secret; empty for a public client.
        callback_url: the redirect URI that is registered at the issuer.
        scopes: what is asked for; `openid` is always among it.
        groups_claim: the claim that holds a person's groups.
        ca_file: PEM file with the only authorities that may vouch for the issuer; the system's when None.
    """

    issuer_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    callback_url: str = ""
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    groups_claim: str = "groups"
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: the text says which part is wrong, and how it should be.
        """
        for what, url, query in (
            ("the issuer's URL", self.issuer_url, False),
            ("the callback URL", self.callback_url, True),
        ):
            if fault := endpoint_fault(url):
                raise ValueError(f"{what} {fault}")
            if not query and "?" in url:
                raise ValueError(f"{what} has a query: write it exactly as the issuer writes itself")
        if not self.client_id or not self.client_id.isprintable() or len(self.client_id) > _LONGEST:
            raise ValueError("the client id is empty, too long or not printable")
        if len(self.client_secret) > _LONGEST or not self.client_secret.isprintable():
            raise ValueError("the client secret is too long or not printable (a line break at its end?)")
        if not self.groups_claim:
            raise ValueError("the name of the groups claim is empty")
        if any(
            not scope or not scope.isascii() or not scope.isprintable() or " " in scope
            for scope in self.scopes
        ):
            raise ValueError("a scope is empty, or has a space or an unprintable character in it")

    @property
    def scope(self) -> str:
        """The scopes as the protocol writes them."""
        return " ".join(dict.fromkeys(("openid", *self.scopes)))
