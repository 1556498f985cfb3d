"""Servers that stand beside the backend in its benchmark, each a process of its own.

python tests/bench/servers.py issuer PORT PEOPLE    the development issuer, with so many people more
python tests/bench/servers.py bare PORT FILE KUBECONFIG   aiohttp and nothing else, answering with one file

The bare one takes logins as well: for each it sends, one after the other, the requests to the API server that nobody
can do without who makes a tenant, with aiohttp's client and no more.
"""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from bind_agent.backend.tenancy import provision
from bind_agent.devcluster.issuer import __main__ as development
from bind_agent.devcluster.issuer.people import ACCOUNTS, Account
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.tls import load_certificate

if not __package__:  # started as a file: the helpers of the tests are found from the top of the checkout
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.bench.crowd import subject

_API: Final = web.AppKey("api", aiohttp.ClientSession)


def issuer(port: int, people: int) -> None:
    """Serve until ended."""
    for number in range(people):
        name = subject(number)
        ACCOUNTS[name] = Account(name, f"Person {number}", ("developers", "database-users"), "in a benchmark")
    asyncio.run(development.serve(port))


def bare(port: int, page: Path, kubeconfig: Path) -> None:
    """Serve until ended."""
    body = page.read_bytes()
    cluster = from_kubeconfig(kubeconfig)
    making = asyncio.Semaphore(provision.AT_ONCE)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html", charset="utf-8")

    async def login(request: web.Request) -> web.Response:
        async with making:
            for path, wanted in bare_login(request.query["name"]):
                async with request.app[_API].post(path, json=wanted) as stored:
                    await stored.json()
                    stored.raise_for_status()
        return web.Response()

    async def session(app: web.Application) -> AsyncIterator[None]:
        context = ssl.create_default_context(cadata=(cluster.ca_pem or b"").decode())
        load_certificate(context, cluster.credential.certificate, cluster.credential.key)
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(cluster.server, connector=connector) as app[_API]:
            yield

    app = web.Application()
    app.add_routes([web.get("/", answer), web.post("/login", login)])
    app.cleanup_ctx.append(session)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


def bare_login(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What has to be created for one tenant: path and body of each request."""
    metadata = {"metadata": {"name": name}}
    core = f"/api/v1/namespaces/{name}"
    roles = "/apis/rbac.authorization.k8s.io/v1"
    yield "/api/v1/namespaces", metadata
    yield f"{core}/serviceaccounts", metadata
    yield f"{core}/serviceaccounts/{name}/token", {"spec": {"expirationSeconds": 3600}}
    yield f"{core}/secrets", {**metadata, "stringData": {"kubeconfig": "x" * 3000}}
    rules = [{"apiGroups": ["bench.example"], "resources": ["databases"], "verbs": ["get", "list", "watch"]}]
    yield f"{roles}/clusterroles", {**metadata, "rules": rules}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": name}]
    bound = {**metadata, "roleRef": reference, "subjects": subjects}
    yield f"{roles}/namespaces/{name}/rolebindings", bound
    # In place of the ClusterBinding and of the export, which the backend would take for its own.
    yield f"{core}/configmaps", metadata
    yield f"{core}/configmaps", {"metadata": {"name": f"{name}-export"}, "data": {"schema": "x" * 20_000}}
    # What makes a login good for once only.
    yield f"/apis/coordination.k8s.io/v1/namespaces/{name}/leases", metadata


if __name__ == "__main__":
    if sys.argv[1] == "issuer":
        issuer(int(sys.argv[2]), int(sys.argv[3]))
    else:
        bare(int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
