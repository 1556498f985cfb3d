"""Addresses of pages: each built in one place, every part quoted (spec 4.3)."""

from typing import Final
from urllib.parse import quote, urlencode

HOME: Final = "/"
CATALOGUE: Final = "/resources"
CLUSTERS: Final = "/clusters"
ADMIN: Final = "/admin"
ADMIN_TENANTS: Final = "/admin/tenants"
ADMIN_EXPORTS: Final = "/admin/exports"
BIND: Final = "/bind"
LOGOUT: Final = "/logout"
ENDED: Final = "/session-ended"


def bind(*, sid: str, plural: str, group: str, proof: str = "") -> str:
    """Address that binds an API: the anchor of spec 4.3, with the proof that the click came from our page.

    Args:
        sid: session id of the CLI that waits for the answer.
        plural: of the resource.
        group: of the resource.
        proof: bound to the session; without it `/bind` only asks.
    """
    query = {"s": sid, "resource": plural, "group": group}
    return f"{BIND}?{urlencode({**query, 't': proof} if proof else query)}"


def api(name: str, sid: str = "", version: str = "") -> str:
    """Page of one API; `name` is `plural.group`, `version` the one whose fields are shown."""
    return _with(f"{CATALOGUE}/{_part(name)}", s=sid, version=version)


def login(back: str = HOME) -> str:
    """Where a person signs in for the pages alone, and comes back from."""
    return f"/login?{urlencode({'next': back})}"


def ended(back: str = HOME) -> str:
    """The page that says that a session has ended, and offers to sign in and go back."""
    return f"{ENDED}?{urlencode({'next': back})}"


def catalogue(sid: str = "", search: str = "") -> str:
    """The catalogue, for a waiting CLI and with a search."""
    return _with(CATALOGUE, s=sid, q=search)


def cluster(namespace: str) -> str:
    """Page of one cluster."""
    return f"{CLUSTERS}/{_part(namespace)}"


def change(namespace: str, action: str) -> str:
    """Page that asks before `rotate` or `revoke`, and target of its form."""
    return f"{cluster(namespace)}/{_part(action)}"


def unbind(namespace: str, export: str) -> str:
    """Page that asks before an API is taken off a cluster, and target of its form."""
    return f"{cluster(namespace)}/exports/{_part(export)}/unbind"


def keep(namespace: str, export: str) -> str:
    """Page that asks before the end of an API is taken back, and target of its form."""
    return f"{cluster(namespace)}/exports/{_part(export)}/keep"


def tenant(namespace: str) -> str:
    """The operators' page of one tenant."""
    return f"{ADMIN_TENANTS}/{_part(namespace)}"


def listing(base: str, page: int, search: str, only: bool) -> str:
    """One page of the operators' lists, with the search that is in force."""
    return _with(base, page=str(page), q=search, only="trouble" if only else "")


def _part(text: str) -> str:
    return quote(text, safe="")


def _with(path: str, **query: str) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
