"""The pages that the listener shows: what happened, and that the window can be closed. Pure.

They load nothing and run one line, which takes the answer out of the address bar and the history (threat A54).
"""

import base64
import hashlib
import html
from dataclasses import dataclass
from typing import Final

_SCRIPT: Final = 'history.replaceState(null,"","/")'
_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1.5rem}"
    "h1{font-size:1.4rem}"
)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        status: HTTP status code.
        title: what happened, in a few words.
        text: the rest, a sentence or two.
    """

    status: int
    title: str
    text: str

    def html(self) -> bytes:
        """The document; all text is escaped."""
        title, text = html.escape(self.title), html.escape(self.text)
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            f"<style>{_STYLE}</style><script>{_SCRIPT}</script></head>"
            f"<body><main><h1>{title}</h1><p>{text}</p></main></body></html>\n"
        ).encode()


DONE: Final = Page(
    200, "Logged in", "kubectl bind has your answer and goes on in the terminal. You can close this window."
)
LATE: Final = Page(410, "Already answered", "kubectl bind has an answer already. You can close this window.")
NOT_FOUND: Final = Page(404, "Nothing here", "kubectl bind waits for an answer at another address.")
WRONG_HOST: Final = Page(421, "Not this name", "kubectl bind answers under its own address only.")
BACKGROUND: Final = Page(403, "Not in the background", "Only a browser's window can bring an answer.")


def refused(why: str) -> Page:
    """The page for an answer that is not taken."""
    return Page(400, "Not accepted", f"{why} kubectl bind goes on waiting; look at the terminal.")
