"""What a person is told once after a change: only the change itself can cause it.

An address that says it could be typed by anybody, or come in a mail: a green "all credentials have ended" of a cluster
whose credential has leaked and works. So the word travels in a sealed cookie, for one session, one cluster and one
minute, and goes with the first page that says it.
"""

from datetime import timedelta
from typing import Final

import msgspec
from aiohttp import web

from bind_agent.backend.http.context import Web
from bind_agent.backend.http.keyring import SealBroken
from bind_agent.backend.http.sessions import Session

LIFE: Final = timedelta(minutes=1)

_PURPOSE: Final = "notice"


class _Notice(msgspec.Struct, frozen=True, array_like=True):
    session: str
    namespace: str
    word: str
    until: int


def leave(response: web.StreamResponse, app: Web, session: Session, namespace: str, word: str) -> None:
    """Have the next page of a cluster say something.

    Args:
        response: of the change.
        app: seals.
        session: whose.
        namespace: of the cluster.
        word: what was done, see `asks.DONE`.
    """
    now = app.clock.now()
    notice = _Notice(session.id, namespace, word, int((now + LIFE).timestamp()))
    sealed = app.keyring.seal(_PURPOSE, msgspec.json.encode(notice), now)
    app.cookies.set(response, app.cookies.notice, sealed, max_age=int(LIFE.total_seconds()))


def found(request: web.Request, app: Web, session: Session, namespace: str) -> str:
    """The word that a change of this session has left for this cluster; empty when there is none."""
    try:
        plain = app.keyring.open(_PURPOSE, request.cookies.get(app.cookies.notice, ""))
        notice = msgspec.json.decode(plain, type=_Notice)
    except (SealBroken, msgspec.DecodeError):
        return ""
    meant = (notice.session, notice.namespace) == (session.id, namespace)
    return notice.word if meant and notice.until > app.clock.now().timestamp() else ""


def drop(response: web.StreamResponse, app: Web) -> None:
    """What was said is not said again."""
    app.cookies.drop(response, app.cookies.notice)
