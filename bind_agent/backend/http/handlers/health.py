"""`/healthz`, `/readyz`, `/metrics` and `/openapi.yaml` on the web listener.

The health endpoint on its own port is for probes and scrapers and stays. Here outsiders can ask: probes say
nothing but words, and metrics, whose labels name tenants, are for operators and for this machine.
"""

from importlib.resources import files

import orjson
from aiohttp import web

from bind_agent.backend.http import host, sessions
from bind_agent.backend.http.context import WEB, Web
from bind_agent.backend.http.operators import is_operator
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.options.web_values import LOOPBACK_HOSTS
from bind_agent.obs import metrics
from bind_agent.runtime import health

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "Via")


async def healthz(_: web.Request) -> web.Response:
    """The process answers."""
    return web.Response(body=orjson.dumps({"web": "ok"}), content_type="application/json")


async def readyz(request: web.Request) -> web.Response:
    """Whether requests should come here: 503 while a check fails.

    An issuer that is away is told, no more: another replica would not reach it either, and pages say what is the
    matter.
    """
    app = request.app[WEB]
    return health.answer(app.checks, failing=503, remarks={"issuer": lambda: not app.oidc.trouble})


async def exposition(request: web.Request) -> web.Response:
    """Metrics, for operators who are logged in, and for scrapers on this machine.

    Raises:
        Refusal: for everybody else.
    """
    app = request.app[WEB]
    session = sessions.current(request)
    operator = session is not None and is_operator(app.options, session.person)
    if not operator and not _local(request, app):
        raise Refusal(
            403,
            "operators_only",
            "Metrics name tenants, so this address shows them to operators only.",
            "Scrapers use the port of --health-address.",
        )
    body, content_type = metrics.exposition()
    return web.Response(body=body, headers={"Content-Type": content_type})


async def openapi(_: web.Request) -> web.Response:
    """The description of all endpoints."""
    return web.Response(body=document(), content_type="application/yaml", charset="utf-8")


def document() -> bytes:
    """The OpenAPI document of this package."""
    return files("bind_agent.backend.http").joinpath("openapi.yaml").read_bytes()


def _local(request: web.Request, app: Web) -> bool:
    """Whether the request was made on this machine, by nobody's proxy."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    address = str(peer[0]) if isinstance(peer, tuple) and peer else ""
    forwarded = any(name in request.headers for name in _FORWARDED)
    return (
        not forwarded
        and not app.options.trusted_proxies
        and app.options.listen_host in LOOPBACK_HOSTS
        and address in LOOPBACK_HOSTS
        and host.loopback(request.host)
    )


def routes() -> list[web.RouteDef]:
    """Probes, metrics, description."""
    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", exposition),
        web.get("/openapi.yaml", openapi),
    ]
