"""The application: routes, and what stands around every handler.

From the outside in: headers and figures for every answer, errors as a page or as JSON, then who may ask at all
(host, rate, readiness) and for how long.
"""

import asyncio
import secrets
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from bind_agent.backend.http import headers, host, limits
from bind_agent.backend.http.context import VIEW, WEB, Web
from bind_agent.backend.http.handlers import bind, export, health, login, logout, redeem
from bind_agent.backend.http.parameters import found
from bind_agent.backend.http.refusal import Refusal, of_status, wants_page
from bind_agent.backend.http.view import View
from bind_agent.obs import metrics
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)

MAX_BODY: Final = 64 * 1024
LONGEST: Final = 60.0
"""Seconds for one request, body included. Making a tenant takes a few."""

_KEPT: Final = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
"""Statuses of answers that may say themselves how long they, or what they confirm, may be kept."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_READING: Final = frozenset({"GET", "HEAD"})
_SERVER: Final = "bind-backend"


def create_app(context: Web, view: View, *, extra: Iterable[web.AbstractRouteDef] = ()) -> web.Application:
    """Put the application together.

    Args:
        context: collaborators of the handlers.
        view: renders our own pages.
        extra: further routes: catalogue, clusters, operators' view, static files.
    """
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_observe, _answer_errors, _guard])
    app[WEB] = context
    app[VIEW] = view
    for module in (export, login, bind, redeem, logout, health):
        app.add_routes(module.routes())
    app.add_routes(extra)
    app.on_response_prepare.append(_headers)
    return app


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    found = headers.security(
        request.path,
        secure=request.app[WEB].options.secure,
        cacheable=response.status in _KEPT and "Cache-Control" in response.headers,
    )
    response.headers.update(found)
    response.headers["Server"] = _SERVER


@web.middleware
async def _observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "other"
    method = request.method if request.method in _METHODS else "other"
    begun = time.perf_counter()
    status = 500
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as answer:
        status = answer.status
        raise
    else:
        return response
    finally:
        took = time.perf_counter() - begun
        metrics.HTTP_REQUESTS(route, method, str(status)).inc()
        metrics.HTTP_DURATION(route).observe(took)
        # Never the query: it carries states and codes.
        log.debug("answered", route=route, method=method, status=status, seconds=round(took, 4))


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return _say(request, refusal)
    except web.HTTPException as answer:
        if answer.status < HTTPStatus.BAD_REQUEST:
            raise
        response = _say(request, of_status(answer.status))
        if "Allow" in answer.headers:
            response.headers["Allow"] = answer.headers["Allow"]
        return response
    except TimeoutError:
        return _say(
            request,
            Refusal(
                503, "too_slow", "This took too long.", "Try again in a moment.", retry_after=5, retry=True
            ),
        )
    except Exception as error:
        reference = secrets.token_hex(4)
        # Not `exception`: the text in a traceback may quote content.
        log.error("a handler failed", path=request.path, reference=reference, error=describe(error))  # noqa: TRY400
        return _say(
            request,
            Refusal(
                500,
                "internal",
                f"Something failed here that should not (reference {reference}).",
                "Try again; if it goes on, give the reference to the operators of this provider.",
                retry=True,
            ),
        )


def _say(request: web.Request, refusal: Refusal) -> web.Response:
    if not wants_page(request):
        return refusal.json()
    return refusal.page(request.app[VIEW].error(request, refusal))


def _under_our_name(request: web.Request, app: Web) -> web.Response | None:
    """None when a request is meant for us as it stands; else where it is to be asked.

    Raises:
        Refusal: it is not meant for us, or is no mere question.
    """
    name, path, origin = request.headers.get("Host", ""), request.path, app.options.origin
    if path == "/metrics" and host.loopback(request.host):
        return None
    if path not in host.PROBES and host.by_another_name(name, app.options):
        if path in host.WITHOUT_COOKIES:
            return None
        if request.method in _READING and request.raw_path.startswith("/"):
            return found(f"{origin}{request.raw_path}")
    elif host.expected(name, path, app.options):
        return None
    raise Refusal(
        421,
        "wrong_host",
        "This server does not answer under this name.",
        f"Use {origin}.",
        link=f"{origin}/",
        link_text=f"Go to {origin}",
    )


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    app = request.app[WEB]
    path = request.path
    if (moved := _under_our_name(request, app)) is not None:
        return moved
    client = limits.bucket_key(limits.remote(request, app.options.trusted_proxies))
    # A page that refuses wants its style sheet; the page that says that there is no such file is one as any other.
    drawing = request.method in _READING and path in request.app[VIEW].files
    if wait := app.limiter.take(client, 0.0 if drawing else limits.cost(path)):
        raise Refusal(
            429,
            "too_many_requests",
            "Too many requests came from your address.",
            f"Try again in {wait} {'second' if wait == 1 else 'seconds'}.",
            retry_after=wait,
            retry=True,
        )
    always = path in host.PROBES or drawing
    if not always and not (app.views.ready and app.spent.ready):
        raise Refusal(
            503,
            "starting",
            "This server is still starting.",
            "Try again in a moment.",
            retry_after=2,
            retry=True,
        )
    async with asyncio.timeout(LONGEST):
        if limits.costly(path):
            await app.turns.wait()
        return await handler(request)
