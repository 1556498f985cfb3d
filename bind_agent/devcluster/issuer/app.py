"""The server of the development issuer."""

import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web

from bind_agent.devcluster.issuer import grants, pages
from bind_agent.devcluster.issuer.grants import AnswerError, Grants, RequestError
from bind_agent.devcluster.issuer.people import ACCOUNTS
from bind_agent.devcluster.issuer.signing import ALGORITHM, Signer
from bind_agent.devcluster.ports import LOOPBACK

DISCOVERY: Final = "/.well-known/openid-configuration"
_LARGEST_BODY: Final = 65_536

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DevIssuer:
    """The issuer, served inside this process for as long as a block runs.

    Attributes:
        url: the issuer's URL; known once it serves.
    """

    def __init__(self, port: int = 0) -> None:
        """Make a key; nothing is served yet.

        Args:
            port: on the loopback address; 0 picks a free one.
        """
        self.url = ""
        self._port = port
        self._grants = Grants()
        self._signer = Signer()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Serve.

        Raises:
            OSError: the port is taken.
        """
        application = web.Application(middlewares=[self._guard], client_max_size=_LARGEST_BODY)
        application.add_routes(
            [
                web.get("/", self._home),
                web.get("/style.css", self._style),
                web.get(DISCOVERY, self._discovery),
                web.get("/keys", self._keys),
                web.get("/authorize", self._authorize),
                web.post("/authorize", self._authorize),
                web.post("/token", self._token),
                web.get("/userinfo", self._userinfo),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]
        self.url = f"http://{LOOPBACK}:{self._port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # A page elsewhere whose name was pointed at this machine would be let in by the browser.
        if request.host not in {f"{LOOPBACK}:{self._port}", f"localhost:{self._port}"}:
            raise web.HTTPForbidden(text=f"this issuer answers at {self.url} only\n")
        response = await handler(request)
        response.headers.update(
            {
                "Cache-Control": "no-store",
                "Content-Security-Policy": pages.POLICY,
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            }
        )
        return response

    async def _home(self, _: web.Request) -> web.StreamResponse:
        return _html(pages.home(self.url, ACCOUNTS.values()))

    async def _style(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=pages.STYLE, content_type="text/css")

    async def _discovery(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "token_endpoint_auth_methods_supported": ["none"],
                "code_challenge_methods_supported": ["S256"],
                "scopes_supported": ["openid", "profile", "email"],
                "claims_supported": [
                    "sub",
                    "name",
                    "preferred_username",
                    "email",
                    "email_verified",
                    "groups",
                ],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _keys(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._signer.key_set())

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        try:
            wanted = grants.read_target(query)
        except RequestError as error:
            return _html(pages.wrong(str(error)), status=400)
        try:
            grants.check(query, wanted)
            chosen = _chosen(await request.post()) if request.method == "POST" else wanted.hint
        except AnswerError as error:
            return _redirect(
                wanted.answer(error=error.error, error_description=error.description, iss=self.url)
            )
        if chosen not in ACCOUNTS:
            action = f"/authorize?{request.rel_url.raw_query_string}"
            # The header tells scripts where a choice goes.
            return _html(pages.choose(ACCOUNTS.values(), action), headers={"X-Login-Form": action})
        return _redirect(wanted.answer(code=self._grants.code(wanted, chosen, time.time()), iss=self.url))

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = dict(parse_qsl(await request.text(), keep_blank_values=True))
        now = time.time()
        try:
            grant, access_token = self._grants.redeem(form, now)
        except AnswerError as error:
            status = 401 if error.error == "invalid_client" else 400
            return web.json_response(
                {"error": error.error, "error_description": error.description}, status=status
            )
        answer: dict[str, Any] = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": grants.TOKEN_SECONDS,
            "id_token": self._signer.id_token(self.url, grant, access_token, now),
        }
        return web.json_response(answer)

    async def _userinfo(self, request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        grant = self._grants.bearer(token.strip(), time.time()) if scheme.lower() == "bearer" else None
        if grant is None:
            return web.json_response(
                {"error": "invalid_token"}, status=401, headers={"WWW-Authenticate": "Bearer"}
            )
        return web.json_response(grants.told(grant))


def _chosen(form: Mapping[str, object]) -> str:
    if "deny" in form:
        raise AnswerError("access_denied", "the person refused")
    return str(form.get("account", ""))


def _redirect(target: str) -> web.Response:
    return web.Response(status=303, headers={"Location": target})


def _html(text: str, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)
