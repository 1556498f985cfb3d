"""`GET /export`: who the provider is, and where one logs in (spec 3.10.1)."""

from typing import Final

import orjson
from aiohttp import web

from bind_agent._version import __version__
from bind_agent.api import payloads
from bind_agent.backend import names
from bind_agent.backend.http import host
from bind_agent.backend.http.context import WEB

OLDEST: Final = (0, 3, 0)
"""Go's CLI refuses older providers (spec 7.2), except `v0.0.0`, which stands for none in particular."""

UNVERSIONED: Final = "v0.0.0"


async def export(request: web.Request) -> web.Response:
    """Answer with a BindingProvider.

    The document is Go's to the letter; that we exchange one-time codes stands in a header, where it disturbs
    nobody. A CLI exchanges them under the name that it asked, and takes no other; a browser logs in under the name
    that it comes back to.
    """
    app = request.app[WEB]
    base = origin(request)
    begin = app.options.origin if host.by_another_name(request.host, app.options) else base
    document = payloads.binding_provider(
        app.tenancy.pretty_name, wire_version(__version__), app.options.authorize_url or f"{begin}/authorize"
    )
    return web.Response(
        body=orjson.dumps(document),
        content_type="application/json",
        headers={"Link": f'<{base}/redeem>; rel="{names.REDEEM_RELATION}"'},
    )


def origin(request: web.Request) -> str:
    """Scheme and host under which this request reached us; the host was checked before."""
    scheme = host.scheme(
        request.app[WEB].options,
        tls=request.transport is not None and request.transport.get_extra_info("ssl_object") is not None,
        forwarded=request.headers.get("X-Forwarded-Proto", ""),
    )
    return f"{scheme}://{request.host}"


def wire_version(version: str) -> str:
    """The version as Go's CLI takes it: ours from 0.3.0 on, before that none in particular."""
    number, _, early = version.partition("+")[0].partition("-")
    try:
        parsed = tuple(int(part) for part in number.split("."))
    except ValueError:
        return UNVERSIONED
    # A version before a release is older than the release.
    new = parsed > OLDEST or (parsed == OLDEST and not early)
    return f"v{version}" if len(parsed) == 3 and new else UNVERSIONED


def routes() -> list[web.RouteDef]:
    """`/export`."""
    return [web.get("/export", export)]
