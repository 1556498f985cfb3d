"""The few pages of the development issuer: who are you, what is wrong, what is this."""

from collections.abc import Iterable
from html import escape
from typing import Final

from bind_agent.devcluster.issuer.people import CLIENT_ID, Account

STYLE: Final = """\
:root { color-scheme: light dark; --line: #8a8f98; --note: #8a4b00; --wash: #fff4e5; }
@media (prefers-color-scheme: dark) { :root { --note: #ffc37a; --wash: #33270f; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem; }
.note { color: var(--note); background: var(--wash); padding: .5rem .75rem; border-radius: .4rem; }
button { display: block; width: 100%; text-align: left; font: inherit; margin: .75rem 0; padding: .75rem 1rem;
  border: 1px solid var(--line); border-radius: .4rem; background: transparent; color: inherit; cursor: pointer; }
button:hover, button:focus-visible { outline: 3px solid #2f6fde; outline-offset: 1px; }
small { display: block; }
"""

POLICY: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
"""Content-Security-Policy. It has no `form-action`: browsers apply that to the redirect after the form as well."""

_NOTE: Final = (
    '<p class="note" role="note">This issuer is for development on this machine only. Nobody is asked for a password.'
    "</p>"
)


def choose(accounts: Iterable[Account], action: str) -> str:
    """The page on which a person is picked.

    Args:
        accounts: to pick from.
        action: where the choice goes.
    """
    buttons = "".join(
        f'<button name="account" value="{escape(one.subject)}"><strong>{escape(one.name)}</strong>'
        f"<small>{escape(one.about)}; groups: {escape(', '.join(one.groups))}</small></button>"
        for one in accounts
    )
    form = (
        f'<form method="post" action="{escape(action)}">{buttons}'
        '<button name="deny" value="yes">Nobody<small>refuse to sign in</small></button></form>'
    )
    return _page("Who are you?", f"{_NOTE}{form}")


def wrong(text: str) -> str:
    """The page for a request that cannot be answered at the client."""
    return _page("This cannot work", f"{_NOTE}<p>{escape(text)}</p>")


def home(issuer: str, accounts: Iterable[Account]) -> str:
    """What this is.

    Args:
        issuer: its URL.
        accounts: who can log in.
    """
    people = "".join(
        f"<li><strong>{escape(one.subject)}</strong>: {escape(one.name)}, {escape(one.about)}; groups:"
        f" {escape(', '.join(one.groups))}</li>"
        for one in accounts
    )
    return _page(
        "Development issuer",
        f"{_NOTE}<p>Issuer URL: <code>{escape(issuer)}</code><br>Client id: <code>{CLIENT_ID}</code>"
        f" (public, with PKCE)</p><h2>Who can sign in</h2><ul>{people}</ul>",
    )


def _page(title: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)} - development issuer</title><link rel="stylesheet" href="/style.css"></head>'
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>"
    )
