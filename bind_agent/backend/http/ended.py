"""The last look at a session before something is changed in its name.

Pages that only show something go by what is watched, which costs nothing and may be a moment behind. A change asks the
API server: a logout of this second counts, whichever replica it came to.
"""

from aiohttp import web

from bind_agent.backend.http import sessions
from bind_agent.backend.http.context import WEB
from bind_agent.backend.http.offers import away
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session
from bind_agent.kube.errors import KubeError


async def refuse_ended(request: web.Request, session: Session) -> None:
    """Go on only with a session that nobody has ended; one GET.

    Raises:
        Refusal: its person has logged out, or that cannot be known now.
    """
    try:
        ended = await request.app[WEB].spent.used(sessions.SPENT, session.id)
    except KubeError as error:
        raise away("look at your session", error) from None
    if ended:
        sessions.forget(request)
        raise Refusal(401, "login_required", "You have signed out.", "Sign in again.", login=True)
