"""A provider, an app cluster, and the CLI between them, for tests of ``kubectl bind``."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bind_agent.api import keys
from bind_agent.devcluster import Cluster
from tests.fakes.tenant import Finished, Tenant, expect, run_cli


@dataclass
class Lab:
    """A provider, an app cluster, and the CLI between them."""

    provider: Cluster
    consumer: Cluster
    folder: Path

    def tenant(self, namespace: str, *claims: dict[str, Any]) -> Tenant:
        """A tenant that is not set up yet."""
        return Tenant(self.provider, namespace, self.folder, list(claims))

    def request_file(self, *apis: str, name: str = "", claims: list[dict[str, Any]] | None = None) -> str:
        """A file with a request for APIs ``P.G``."""
        resources = []
        for api in apis:
            plural, _, group = api.partition(".")
            resources.append(
                {"group": group, "resource": plural} | ({"permissionClaims": claims} if claims else {})
            )
        request = {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_EXPORT_REQUEST,
            "metadata": {"name": name or apis[0]},
            "spec": {"resources": resources},
        }
        path = self.folder / f"request-{apis[0]}.json"
        path.write_text(json.dumps(request), encoding="utf-8")
        return str(path)

    async def bind(self, tenant: Tenant, request: str, *options: str, stdin: str = "") -> Finished:
        """``kubectl bind apiservice`` on the app cluster."""
        return await run_cli(
            "apiservice",
            "--kubeconfig",
            str(self.consumer.kubeconfig),
            "--remote-kubeconfig",
            str(tenant.kubeconfig),
            "--file",
            request,
            *options,
            stdin=stdin,
        )

    async def binding(self, api: str) -> dict[str, Any] | None:
        """The binding of an API on the app cluster."""
        path = f"/apis/{keys.API_VERSION}/namespaces/{keys.CONSUMER_NAMESPACE}/apiservicebindings/{api}"
        status, answer = await self.consumer.request("GET", path)
        return answer if status == 200 else None

    async def secrets(self) -> list[dict[str, Any]]:
        """The kubeconfig Secrets on the app cluster."""
        answer = await expect(self.consumer, "GET", f"/api/v1/namespaces/{keys.CONSUMER_NAMESPACE}/secrets")
        return [one for one in answer["items"] if one["metadata"]["name"].startswith(keys.KUBECONFIG_PREFIX)]


def writes(cluster: Cluster, since: int) -> list[tuple[str, str]]:
    """Requests of the CLI since the mark that may change something."""
    return [
        (event.verb, event.uri)
        for event in cluster.audit_requests(since=since)
        if event.verb not in {"get", "list", "watch"} and event.user_agent.startswith("kubectl-bind/")
    ]


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let something happen while the block runs; it ends with the block at the latest."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until_there(cluster: Cluster, path: str) -> Any:
    """Wait until an object exists, and return it."""
    while True:
        status, answer = await cluster.request("GET", path)
        if status == 200:
            return answer
        await asyncio.sleep(0.1)
