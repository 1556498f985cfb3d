"""A provider for tests of the CLI: real API server, tenant with the rights of the spec, a played backend.

The backend's controllers are played by a task that answers requests as spec 4.7 says; everything else (rights
and tokens, CRDs, defaults) is real.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bind_agent.api import keys
from bind_agent.devcluster import Cluster
from bind_agent.manifests import load_manifests

Answer = Callable[[dict[str, Any]], Mapping[str, Any] | None]

_RULES = [
    {"apiGroups": [keys.GROUP], "resources": [resource], "verbs": verbs}
    for resource, verbs in {
        "apiserviceexportrequests": ["create", "delete", "patch", "update", "get", "list", "watch"],
        "apiserviceexports": ["get", "list", "watch"],
        "clusterbindings": ["get", "list", "watch"],
    }.items()
]


@dataclass(frozen=True, slots=True)
class Finished:
    """A run of the CLI: exit code and what it wrote."""

    code: int
    out: str
    err: str


async def run_cli(*arguments: str, stdin: str = "", timeout: float = 120.0) -> Finished:
    """Run ``kubectl-bind`` as a process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli.main",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), timeout)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(f"the command did not end: {out.decode()} {err.decode()}") from None
    return Finished(process.returncode or 0, out.decode(), err.decode())


async def expect(cluster: Cluster, method: str, path: str, body: Any = None) -> Any:
    """An admin's request that has to succeed; an object that exists already is fine."""
    for _ in range(60):
        status, answer = await cluster.request(method, path, body)
        if status != 429:
            break
        # A kind that was just installed: the server is still filling its cache.
        await asyncio.sleep(0.5)
    assert status < 300 or (status == 409 and method == "POST"), (status, method, path, answer)
    return answer


async def install_crds(cluster: Cluster, folder: str = "crds", only: str = "") -> None:
    """Install our kinds and wait until they are served."""
    names = []
    for crd in load_manifests(folder):
        if only and crd["metadata"]["name"] != only:
            continue
        await expect(cluster, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        names.append(crd["metadata"]["name"])
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
    for name in names:
        for _ in range(100):
            _, crd = await cluster.request("GET", path + name)
            conditions = (crd.get("status") or {}).get("conditions") or []
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                break
            await asyncio.sleep(0.05)


@dataclass
class Tenant:
    """A tenant's namespace on the provider.

    Attributes:
        cluster: the provider.
        namespace: the cluster namespace.
        folder: where kubeconfig files are written.
        claims: claims that the played backend puts on exports.
    """

    cluster: Cluster
    namespace: str
    folder: Path
    claims: list[dict[str, Any]] = field(default_factory=list)
    token: str = ""

    @property
    def kubeconfig(self) -> Path:
        """File with the tenant's kubeconfig."""
        return self.folder / f"{self.namespace}.kubeconfig"

    async def create(self, *, rights: bool = True) -> "Tenant":
        """Namespace, ServiceAccount, token and kubeconfig; the rights may come later."""
        await expect(self.cluster, "POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        account = {"metadata": {"name": keys.BINDER}}
        await expect(self.cluster, "POST", f"/api/v1/namespaces/{self.namespace}/serviceaccounts", account)
        binding = {
            "metadata": {"name": "cluster", "namespace": self.namespace},
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_CLUSTER_BINDING,
            "spec": {
                "kubeconfigSecretRef": {"name": "kubeconfig", "key": "kubeconfig"},
                "providerPrettyName": "Test \x1b[31mProvider",
            },
        }
        await expect(
            self.cluster,
            "POST",
            f"/apis/{keys.API_VERSION}/namespaces/{self.namespace}/clusterbindings",
            binding,
        )
        if rights:
            await self.grant()
        await self.renew()
        return self

    async def grant(self) -> None:
        """The rights of spec 8.2 that the CLI needs."""
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        await expect(
            self.cluster, "POST", f"{base}/roles", {"metadata": {"name": keys.BINDER}, "rules": _RULES}
        )
        await expect(
            self.cluster,
            "POST",
            f"{base}/rolebindings",
            {
                "metadata": {"name": keys.BINDER},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": keys.BINDER},
                "subjects": [{"kind": "ServiceAccount", "name": keys.BINDER, "namespace": self.namespace}],
            },
        )

    async def renew(self) -> None:
        """Another token in the kubeconfig file."""
        self.token = await self.cluster.service_account_token(self.namespace, keys.BINDER)
        text = self.cluster.kubeconfig_for(token=self.token, namespace=self.namespace)
        self.kubeconfig.write_text(text, encoding="utf-8")

    async def requests(self) -> list[dict[str, Any]]:
        """The export requests that stand."""
        return await self._items("apiserviceexportrequests")

    async def _items(self, plural: str) -> list[dict[str, Any]]:
        answer = await expect(
            self.cluster, "GET", f"/apis/{keys.API_VERSION}/namespaces/{self.namespace}/{plural}"
        )
        return list(answer["items"])

    @asynccontextmanager
    async def backend(
        self, *, status: Mapping[str, Any] | None = None, delay: float = 0.0
    ) -> AsyncIterator[None]:
        """Answer requests while the block runs.

        Args:
            status: what to answer; by default exports are made and the request succeeds.
            delay: seconds before each answer.
        """
        task = asyncio.create_task(self._answer(status, delay))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _answer(self, status: Mapping[str, Any] | None, delay: float) -> None:
        while True:
            for request in await self.requests():
                if request.get("status", {}).get("phase", "Pending") != "Pending":
                    continue
                await asyncio.sleep(delay)
                if status is None:
                    await self._export(request)
                await self._settle(request, status or {"phase": "Succeeded"})
            await asyncio.sleep(0.05)

    async def _export(self, request: dict[str, Any]) -> None:
        for resource in request["spec"]["resources"]:
            await self.set_export(resource["group"], resource["resource"], self.claims)

    async def set_export(self, group: str, plural: str, claims: Sequence[Mapping[str, Any]]) -> None:
        """Create the export of an API, or change its claims."""
        path = f"/apis/{keys.API_VERSION}/namespaces/{self.namespace}/apiserviceexports"
        export = _export(group, plural, claims)
        status, existing = await self.cluster.request("GET", f"{path}/{plural}.{group}")
        if status == 404:
            await expect(self.cluster, "POST", path, export)
        else:
            existing["spec"] = export["spec"]
            await expect(self.cluster, "PUT", f"{path}/{plural}.{group}", existing)

    async def _settle(self, request: dict[str, Any], status: Mapping[str, Any]) -> None:
        name = request["metadata"]["name"]
        path = f"/apis/{keys.API_VERSION}/namespaces/{self.namespace}/apiserviceexportrequests/{name}/status"
        await self.cluster.request("PUT", path, {**request, "status": dict(status)})


def _export(group: str, plural: str, claims: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_EXPORT,
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": plural, "singular": plural[:-1], "kind": plural[:-1].capitalize()},
            "scope": "Namespaced",
            "informerScope": "Namespaced",
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
            "permissionClaims": list(claims),
        },
    }
