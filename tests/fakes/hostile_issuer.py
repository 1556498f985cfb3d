"""An OpenID Connect issuer that misbehaves on request, one way at a time.

Without a request it behaves: each test changes one thing and can show that the change is what is refused.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Self, TypeAlias
from urllib.parse import parse_qs

from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

SigningKey: TypeAlias = RSAKey | ECKey | OKPKey
Behaviour: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

DISCOVERY: Final = "/.well-known/openid-configuration"
KEYS: Final = "/keys"
TOKEN: Final = "/token"
USERINFO: Final = "/userinfo"
CLIENT: Final = "the-client"
SECRET: Final = "the secret & more"

_ALGORITHMS: Final = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
]

# Making an RSA key takes a while; two are enough for any test.
OWN_KEY: Final = RSAKey.generate_key(2048, {"kid": "own", "use": "sig"})
FOREIGN_KEY: Final = RSAKey.generate_key(2048, {"kid": "own", "use": "sig"})


class _Anything(jws.JWSRegistry):
    """Signs whatever stands in a header."""

    def check_header(self, header: dict[str, Any]) -> None:
        """Nothing is wrong."""


class HostileIssuer:
    """An issuer on the loopback address, inside the test's own loop.

    Attributes:
        document: changes to the discovery document; None removes a member.
        key: what tokens are signed with.
        published: the keys that it shows; JSON Web Keys or anything else.
        algorithm: of the signature.
        header: changes to the token's header.
        claims: changes to the token's claims; None removes one.
        token: replaces the whole ID token when set.
        answer: changes to the token endpoint's answer; None removes a member.
        userinfo: what the userinfo endpoint says.
        behaviour: replaces an endpoint, by path.
        asked: how often each path was asked for.
        forms: what was sent to the token endpoint, with the Authorization header as `authorization`.
        now: the issuer's clock, in seconds since 1970.
        nonce: goes into the token.
    """

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self.key: SigningKey = OWN_KEY
        self.published: list[Any] = [OWN_KEY.as_dict(private=False)]
        self.algorithm = "RS256"
        self.header: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.token: str | None = None
        self.answer: dict[str, Any] = {}
        self.userinfo: Mapping[str, Any] = {}
        self.behaviour: dict[str, Behaviour] = {}
        self.asked: Counter[str] = Counter()
        self.forms: list[dict[str, str]] = []
        self.now = 0
        self.nonce = ""
        self.access_token = "the-access-token"
        self._port = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Serve, on the same port as before."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self._port = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Serve no more; the port refuses connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """The issuer's URL."""
        return f"http://127.0.0.1:{self._port}"

    def rotate(self, key: SigningKey) -> None:
        """Sign with another key from now on, and publish that one only."""
        self.key, self.published = key, [key.as_dict(private=False)]

    def discovery(self) -> dict[str, Any]:
        """The discovery document."""
        return _changed(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize?tenant=blue",
                "token_endpoint": self.url + TOKEN,
                "jwks_uri": self.url + KEYS,
                "userinfo_endpoint": self.url + USERINFO,
                "response_types_supported": ["code", "id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            },
            self.document,
        )

    def id_token(self) -> str:
        """The ID token."""
        if self.token is not None:
            return self.token
        header = {"alg": self.algorithm, **({"kid": self.key.kid} if self.key.kid else {}), **self.header}
        registry = _Anything(algorithms=_ALGORITHMS)
        return jws.serialize_compact(
            {name: value for name, value in header.items() if value is not None},
            json.dumps(self.payload()).encode(),
            self.key,
            registry=registry,
        )

    def payload(self) -> dict[str, Any]:
        """Claims of the ID token."""
        return _changed(
            {
                "iss": self.url,
                "sub": "alice",
                "aud": CLIENT,
                "exp": self.now + 300,
                "iat": self.now,
                "nonce": self.nonce,
                "name": "Alice Example",
                "email": "alice@example.com",
                "email_verified": True,
                "groups": ["developers"],
            },
            self.claims,
        )

    def unsigned(self, *, algorithm: str | None = "none", signature: str = "") -> str:
        """A token without a signature of ours."""
        head = {"typ": "JWT", **({} if algorithm is None else {"alg": algorithm})}
        return f"{_segment(head)}.{_segment(self.payload())}.{signature}"

    def signed_with_the_public_key(self) -> str:
        """A token with a symmetric signature, for which the public key serves as the secret."""
        public = OWN_KEY.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        content = f"{_segment({'alg': 'HS256', 'kid': 'own'})}.{_segment(self.payload())}"
        digest = hmac.new(public, content.encode(), hashlib.sha256).digest()
        return f"{content}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        if behaviour := self.behaviour.get(request.path):
            return await behaviour(request)
        if request.path == DISCOVERY:
            return web.json_response(self.discovery())
        if request.path == KEYS:
            return web.json_response({"keys": self.published})
        if request.path == TOKEN:
            return await self._token(request)
        if request.path == USERINFO:
            bearer = f"Bearer {self.access_token}"
            known = request.headers.get("Authorization") == bearer
            return web.json_response(self.userinfo if known else {}, status=200 if known else 401)
        return web.Response(status=404)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        self.forms.append({**form, "authorization": request.headers.get("Authorization", "")})
        return web.json_response(
            _changed(
                {"access_token": self.access_token, "token_type": "Bearer", "id_token": self.id_token()},
                self.answer,
            )
        )


def answering(status: int, text: str = "", *, kind: str = "text/html", **headers: str) -> Behaviour:
    """A behaviour: the same answer always."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type=kind, headers=headers)

    return answer


def silent() -> Behaviour:
    """A behaviour: no answer at all."""

    async def wait(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    return wait


def trickling() -> Behaviour:
    """A behaviour: a byte now and then, for ever, so that no single read takes long."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    return trickle


def endless() -> Behaviour:
    """A behaviour: as many bytes as somebody reads, and no length announced."""

    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    return pour


def _changed(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def _segment(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
