"""The running server against its own OpenAPI document, with generated requests: anonymous and logged in."""

import asyncio
from typing import Any, Final

import hypothesis
import pytest
import pytest_asyncio
import requests
import schemathesis
import yaml
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bind_agent.backend.http.app import create_app
from bind_agent.backend.http.handlers.health import document
from bind_agent.backend.pages import routes as pages
from tests.fakes.issuer import browser
from tests.fakes.weblab import Cli, Portal

pytestmark = pytest.mark.integration

DOCUMENT: Final[dict[str, Any]] = yaml.safe_load(document())
METHODS: Final = frozenset({"get", "post", "put", "delete", "patch", "head", "options", "trace"})
OPERATIONS: Final = [
    (method, path) for path, item in DOCUMENT["paths"].items() for method in item if method in METHODS
]
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES: Final = 12


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cookie(web: Portal) -> str:
    """The Cookie header of somebody who is logged in."""
    async with browser() as session:
        await web.sign_in(session, Cli("abc123", "c-openapi"))
        kept = session.cookie_jar.filter_cookies(web.at("/"))
        return "; ".join(f"{name}={one.value}" for name, one in kept.items() if "klutch-bind" in name)


# Cases are drawn in a thread of their own. What the event loop does meanwhile uses `random` for its pauses, which
# hypothesis takes for the strategy's doing.
@pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)
@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value
)
@pytest.mark.parametrize("known", [False, True], ids=["anonymous", "logged-in"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
async def test_answers_are_as_described(
    web: Portal, cookie: str, method: str, path: str, known: bool, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    operation = schema[path][method]
    sent = {"Cookie": cookie} if known else {}

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.headers = {**(case.headers or {}), **sent}
        response = case.call(base_url=web.url, allow_redirects=False, timeout=30)
        if response.status_code == 400 and response.headers.get("server") != ["bind-backend"]:
            # Too long to be read as HTTP at all.
            return
        case.validate_response(response, checks=CHECKS)

    try:
        await asyncio.to_thread(ask)
    except hypothesis.errors.Unsatisfiable:
        # Nothing can be wrong with a request that has no parts.
        assert mode is GenerationMode.NEGATIVE


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/export", "/bind", "/redeem", "/resources"])
async def test_methods_that_are_not_described(web: Portal, method: str, path: str) -> None:
    answer = await asyncio.to_thread(requests.request, method, f"{web.url}{path}", timeout=30)
    assert answer.status_code == 405
    described = {name.upper() for name in DOCUMENT["paths"][path]}
    assert described <= set(answer.headers["Allow"].split(","))


async def test_every_route_is_described_and_nothing_else(web: Portal) -> None:
    app = create_app(
        web.half._context(web.watched, _there(web), web.half._oidc), web.half._view, extra=pages.routes()
    )
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == set(OPERATIONS)


async def test_the_document_is_served(web: Portal) -> None:
    answer = await asyncio.to_thread(requests.get, f"{web.url}/openapi.yaml", timeout=30)
    assert yaml.safe_load(answer.content) == DOCUMENT


def _there(web: Portal) -> Any:
    assert web.watched.spent is not None
    return web.watched.spent
