"""GitOps: a file from the provider, `kubectl apply`, and the konnector that runs serves the API."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bind_agent.api import keys
from bind_agent.api.resource import SECRETS, Resource
from tests.fakes.system import System, claim, eventually, secret, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_an_applied_bundle_binds(system: System, unique: Callable[[str], str], tmp_path: Path) -> None:
    resource = Resource("gitops.example", "v1", "caches", kind="Cache")
    service = await system.publish(resource, claims=[claim("secrets", keys.OWNER_PROVIDER)])
    file = tmp_path / "bundle.yaml"
    await system.stage.run(
        "-m",
        "bind_agent.backend.app",
        "tenant",
        "add",
        "tests",
        "--cluster-id=tests1",
        f"--api={service.name}",
        "--accept-claims=all",
        f"--bundle={file}",
        f"--kubeconfig={await system.stage.backend_kubeconfig(system.provider)}",
    )
    # The programs run beside the clusters, which have no nodes; the Deployment starts nothing.
    await system.stage.kubectl(
        system.consumer, "apply", "--server-side", "--force-conflicts", f"--filename={file}"
    )
    await system.bound(service)
    namespace = await system.namespace(unique("gitops"))
    await system.down.create(resource, thing(resource, f"{namespace}/one", size=1))
    copy = await system.synced(resource, f"{namespace}/one")
    assert copy["spec"] == {"size": 1}
    there = await system.service_namespace(namespace)
    await system.up.create(SECRETS, secret(f"{there}/login", {"password": "x"}))

    async def arrived() -> bool:
        return await system.down.get_or_none(SECRETS, "login", namespace=namespace) is not None

    await eventually(arrived, what="the claimed Secret")
