"""The web half of a provider, as small as spec 4.3 and 4.4 allow, in the manner of Go's backend or of ours.

The login at an issuer is left out; everything that the CLI sees is there: the parameters of ``/authorize``, the page
with its anchors, the redirect with the answer, the back channel. A tenant is provisioned by whatever the test gives.
"""

import base64
import hashlib
import json
import secrets
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bind_agent.api import keys, payloads

Provision = Callable[[str], Awaitable[bytes]]
"""From a cluster id to the kubeconfig of a tenant."""

IDENTITY = "https://issuer.example/~~~???>>>"
"""Characters that make the two alphabets of base64 differ, wherever they fall (spec 12.4)."""


@dataclass
class WebHalf:
    """A provider's web half.

    Attributes:
        provision: makes a tenant.
        requests: what is "chosen" with one click, as plain export requests.
        back_channel: like our backend; else like Go's.
        urlsafe: which alphabet the answer has (Go's).
        version: as ``/export`` states it.
        tamper: changes the answer before it is sent.
        refusals: answers of the back channel before the good one: status and headers.
        logins: parameters of ``/authorize`` by session id.
        redeemed: bodies that came over the back channel.
        redirects: where browsers were sent in the end.
    """

    provision: Provision
    requests: Sequence[Mapping[str, Any]]
    back_channel: bool = False
    urlsafe: bool = False
    version: str = "v0.0.0"
    tamper: Callable[[dict[str, Any]], dict[str, Any]] = lambda document: document
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    logins: dict[str, dict[str, str]] = field(default_factory=dict)
    redeemed: list[dict[str, Any]] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)
    base: str = ""
    codes: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """What a person gives to the CLI."""
        return f"{self.base}/export"

    async def export(self, request: web.Request) -> web.Response:
        """GET /export."""
        document = payloads.binding_provider(
            "Test \x1b[31mProvider", self.version, f"{self.base}/authorize?x=1"
        )
        link = f'<{self.base}/redeem>; rel="{keys.REDEEM_RELATION}"'
        return web.json_response(document, headers={"Link": link} if self.back_channel else {})

    async def authorize(self, request: web.Request) -> web.Response:
        """GET /authorize: the login is over at once."""
        query = dict(request.query)
        assert query["x"] == "1"
        assert ("code_challenge" in query) == ("u" in query) == self.back_channel
        query["redirect"] = query.get("u") or f"http://localhost:{query['p']}/callback"
        self.logins[query["s"]] = query
        return _found(f"/resources?s={query['s']}")

    async def resources(self, request: web.Request) -> web.Response:
        """GET /resources: an anchor whose class is the plural."""
        (first, *_) = (one["spec"]["resources"][0] for one in self.requests)
        link = f"/bind?s={request.query['s']}&resource={first['resource']}&group={first['group']}"
        html = f'<a class="btn {first["resource"]}" href="{link.replace("&", "&amp;")}">bind</a>'
        return web.Response(text=html, content_type="text/html")

    async def bind(self, request: web.Request) -> web.Response:
        """GET /bind: the answer goes back to the CLI."""
        login = self.logins[request.query["s"]]
        if self.back_channel:
            code = secrets.token_urlsafe(32)
            self.codes[code] = request.query["s"]
            return self._back(login, {"code": code, "s": request.query["s"]})
        data = json.dumps(await self._response(request.query["s"])).encode()
        encode = base64.urlsafe_b64encode if self.urlsafe else base64.b64encode
        return self._back(login, {"response": encode(data).decode()})

    async def redeem(self, request: web.Request) -> web.Response:
        """POST /redeem."""
        body = await request.json()
        self.redeemed.append(body)
        if self.refusals:
            status, headers = self.refusals.pop(0)
            return web.json_response(
                {"error": "word", "message": "come again"}, status=status, headers=headers
            )
        sid = self.codes.pop(body["code"], "")
        if not sid:
            return web.json_response({"error": "gone", "message": "the code was used"}, status=410)
        digest = hashlib.sha256(body["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != self.logins[sid]["code_challenge"]:
            return web.json_response({"error": "forbidden"}, status=403)
        return web.json_response(await self._response(sid))

    async def _response(self, sid: str) -> dict[str, Any]:
        kubeconfig = await self.provision(self.logins[sid]["c"])
        document = payloads.binding_response(
            session_id=sid, identity=IDENTITY, kubeconfig=kubeconfig, requests=tuple(self.requests)
        )
        return self.tamper(document)

    def _back(self, login: Mapping[str, str], parameters: Mapping[str, str]) -> web.Response:
        self.redirects.append(f"{login['redirect']}?{urllib.parse.urlencode(parameters)}")
        return _found(self.redirects[-1])


def _found(location: str) -> web.Response:
    return web.Response(status=302, headers={"Location": location})


@asynccontextmanager
async def serving(half: WebHalf) -> AsyncIterator[WebHalf]:
    """Serve on this machine while the block runs."""
    app = web.Application()
    app.add_routes(
        [
            web.get("/export", half.export),
            web.get("/authorize", half.authorize),
            web.get("/resources", half.resources),
            web.get("/bind", half.bind),
            web.post("/redeem", half.redeem),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    half.base = f"http://127.0.0.1:{port}"
    try:
        yield half
    finally:
        await runner.cleanup()


def export_request(api: str, claims: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A request as a Go backend sends it (spec 3.10.2)."""
    plural, _, group = api.partition(".")
    resource: dict[str, Any] = {"group": group, "resource": plural}
    if claims:
        resource["permissionClaims"] = list(claims)
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_EXPORT_REQUEST,
        "metadata": {"name": api, "creationTimestamp": None},
        "spec": {"resources": [resource]},
        "status": {},
    }
