"""Static files: kept for ever by browsers, because their addresses change with their content."""

from aiohttp import web

from bind_agent.backend.http.headers import STATIC
from bind_agent.backend.pages.handlers.common import view


async def static(request: web.Request) -> web.Response:
    """One file of the package.

    Raises:
        web.HTTPNotFound: there is none of this name.
    """
    found = view(request).pages.assets.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    current = request.query.get("v") == found.etag.strip('"')
    headers = {
        "Content-Type": found.type,
        "ETag": found.etag,
        "Vary": "Accept-Encoding",
        # An address of an earlier release gets what there is now, but not for ever.
        "Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache",
    }
    if request.headers.get("If-None-Match") == found.etag:
        return web.Response(status=304, headers=headers)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=found.packed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=found.body, headers=headers)


async def favicon(_: web.Request) -> web.Response:
    """What browsers ask for unasked; ours is named in the pages."""
    return web.Response(status=204, headers={"Cache-Control": "public, max-age=86400"})


def routes() -> list[web.RouteDef]:
    """Below `/static/`."""
    return [web.get(f"{STATIC}{{name}}", static), web.get("/favicon.ico", favicon)]
