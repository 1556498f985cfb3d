"""All pages of this package for `bind_agent.backend.http.app.create_app(..., extra=routes())`."""

from aiohttp import web

from bind_agent.backend.pages.handlers import catalogue, changes, clusters, files, home, operators


def routes() -> list[web.RouteDef]:
    """Routes of every page and of the static files; the application's view has to be a `PageView`."""
    modules = (home, catalogue, clusters, changes, operators, files)
    return [route for module in modules for route in module.routes()]
