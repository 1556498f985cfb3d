"""Answers that say no: a status, one word for programs, a sentence for people, and what to do next."""

from typing import Any, Final

import orjson
from aiohttp import web

from bind_agent.backend.consumer_words import for_consumers

_TITLES: Final = {
    400: "This request cannot be understood",
    401: "Please sign in",
    403: "This is not allowed",
    404: "There is no such page",
    405: "This is not possible here",
    409: "This cannot be done now",
    410: "This link has been used",
    413: "This request is too large",
    421: "Wrong address",
    429: "Too many requests",
    503: "Not available at the moment",
}

_OF_THE_LIBRARY: Final = {
    404: ("Nothing is served at this address.", "Look for a mistake in it, or begin at the start page."),
    405: (
        "This address is for forms and programs, or only for looking.",
        "Go back to the page that you came from and use its button, or begin at the start page.",
    ),
    413: ("More was sent than this server reads.", "Begin again at the start page."),
}
"""What is wrong and what to do about a status that the HTTP library answers by itself."""

_WORDS: Final = {
    400: "bad_request",
    401: "login_required",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer that says no. Neither text may hold anything secret, nor anything unchecked from outside."""

    def __init__(
        self,
        status: int,
        word: str,
        message: str,
        advice: str = "",
        *,
        retry_after: int = 0,
        login: bool = False,
        retry: bool = False,
        link: str = "",
        title: str = "",
        link_text: str = "",
    ) -> None:
        """Describe it.

        Args:
            status: HTTP status, 400 to 599.
            word: for programs, in lower case with underscores.
            message: what is wrong, a sentence.
            advice: what to do next, a sentence.
            retry_after: seconds after which trying again makes sense; 0 for none.
            login: whether signing in is the cure.
            retry: whether asking for the same again is.
            link: address of our own that helps; wins over `login` and `retry`.
            title: heading of its page; by the status when empty.
            link_text: words of the button; by where it leads when empty.
        """
        super().__init__(message)
        self.status = status
        self.word = word
        self.message = for_consumers(message)
        self.advice = for_consumers(advice)
        self.retry_after = retry_after
        self.login = login
        self.retry = retry
        self.link = link
        self.title = title or _title(status)
        self.link_text = link_text

    def document(self) -> dict[str, Any]:
        """As JSON."""
        text = f"{self.message} {self.advice}".strip()
        return {"error": self.word, "message": text}

    def json(self) -> web.Response:
        """The answer for a program."""
        return self._with_headers(
            web.Response(
                status=self.status, body=orjson.dumps(self.document()), content_type="application/json"
            )
        )

    def page(self, html: str) -> web.Response:
        """The answer for a person."""
        return self._with_headers(web.Response(status=self.status, text=html, content_type="text/html"))

    def _with_headers(self, response: web.Response) -> web.Response:
        if self.retry_after:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


def of_status(status: int) -> Refusal:
    """What to say about a status that the HTTP library answered by itself."""
    message, advice = _OF_THE_LIBRARY.get(status, (f"{_title(status)}.", ""))
    return Refusal(status, _WORDS.get(status, "refused"), message, advice)


def _title(status: int) -> str:
    return _TITLES.get(status, "Something went wrong" if status >= 500 else "Not possible")


def wants_page(request: web.Request) -> bool:
    """Whether a person looks at the answer; a program names JSON or nothing particular."""
    return "text/html" in request.headers.get("Accept", "")
