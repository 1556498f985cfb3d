"""How a login can fail.

```
LoginError
 |- IssuerAway     the issuer cannot be asked, or does not answer as it should: nobody can log in for now
 `- LoginRefused   this login is not believed: others may be fine
```

Messages are sentences for the person in front of the browser, with the next step. They never hold a token, a
code, a secret, or text of the other side beyond an error word of the protocol.
"""


class LoginError(Exception):
    """A login did not succeed.

    Attributes:
        reason: one word in CamelCase, the same in log, audit and metric.
        message: a sentence or two for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Say what failed.

        Args:
            reason: one word.
            message: for people.
        """
        super().__init__(message)
        self.reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type["LoginError"], tuple[str, str]]:
        return type(self), (self.reason, self.message)


class IssuerAway(LoginError):  # noqa: N818 - the name tells the state, which is no fault of the program
    """The issuer is away, or behaves like no OpenID Connect issuer."""


class LoginRefused(LoginError):  # noqa: N818 - as above
    """The login is refused, by the issuer or by us."""
