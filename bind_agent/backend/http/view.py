"""Pages of this package: errors, the question before a bind, the end of a session."""

from collections.abc import Collection
from typing import Any, Protocol

from aiohttp import web

from bind_agent.backend.http.refusal import Refusal


class View(Protocol):
    """Renders our own pages; everything given is escaped."""

    @property
    def files(self) -> Collection[str]:
        """Paths of the files that pages are drawn with."""
        ...

    def error(self, request: web.Request, refusal: Refusal) -> str:
        """The page of an error."""
        ...

    def confirm(self, request: web.Request, **model: Any) -> str:
        """The question whether an API is to be bound.

        Model: `session`, `bind`, `kind`, `action` and `csrf` of the form, and `link` with the proof
        in it for a target that browsers stop after a form (else empty).
        """
        ...

    def signed_out(self, request: web.Request) -> str:
        """The end of a session."""
        ...
