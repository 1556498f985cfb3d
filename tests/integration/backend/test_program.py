"""The program itself, as a process under its shipped account: start, commands, takeover, stop."""

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from bind_agent.api import keys
from bind_agent.api.resource import NAMESPACES, SECRETS
from bind_agent.backend.tenancy import rotation
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE, Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from tests.fakes.backend_lab import eventually

pytestmark = pytest.mark.integration

MODULE = ("-m", "bind_agent.backend.app")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(clusters: Playground) -> AsyncIterator[Cluster]:
    """A provider with nothing but the shipped manifests."""
    yield await clusters.add(ClusterOptions("program", audit=True))
    await clusters.remove("program")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(clusters: Playground, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Manifests are applied."""
    found = Stage(clusters, tmp_path_factory.mktemp("program"))
    await found.install_backend(cluster)
    return found


async def test_a_persons_way_through_all_commands(stage: Stage, cluster: Cluster, tmp_path: Path) -> None:
    first, second = await stage.backend(cluster), await stage.backend(cluster, name="standby")
    await first.start()
    await second.start()
    own = await stage.account_kubeconfig(cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT)
    flag = f"--kubeconfig={own}"
    out = tmp_path / "anna.kubeconfig"
    try:
        await stage.run(*MODULE, "tenant", "add", "anna", "--cluster-id=c1", f"--out={out}", flag)
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        printed = await stage.run(*MODULE, "tenant", "add", "anna", "--cluster-id=c1", flag)
        assert printed == out.read_text()

        async def listed() -> bool:
            rows = json.loads(await stage.run(*MODULE, "tenant", "list", "--output=json", flag))
            (row,) = [one for one in rows if one["name"] == "anna"]
            return bool((row["name"], row["clusterId"], row["credential"]) == ("anna", "c1", "issued"))

        await eventually(listed)
        rows = yaml.safe_load(await stage.run(*MODULE, "tenant", "list", "--output=yaml", flag))
        (row,) = [one for one in rows if one["name"] == "anna"]
        assert row["namespace"] in await stage.run(*MODULE, "tenant", "list", flag)

        # The leader goes; the standby takes over and goes on with what is due.
        await first.stop()
        assert "old one ended" in await stage.run(*MODULE, "tenant", "rotate", "anna", "--now", flag)
        assert "works for another 1s" in await stage.run(
            *MODULE, "tenant", "rotate", "anna", "--overlap=1s", flag
        )
        admin = Client.open(from_kubeconfig(cluster.kubeconfig), user_agent="admin-in-tests")
        async with admin:

            async def retired() -> bool:
                found = await admin.get(SECRETS, keys.KUBECONFIG, namespace=row["namespace"])
                return rotation.read(found).retiring == ()

            await eventually(retired, timeout=40)
            said = await stage.run(*MODULE, "tenant", "revoke", "anna", flag)
            assert "what stays" in said
            with pytest.raises(DevClusterError, match="tenant add"):
                await stage.run(*MODULE, "tenant", "rotate", "anna", flag)
            await stage.run(*MODULE, "tenant", "revoke", "--delete", "--yes", row["namespace"], flag)

            async def gone() -> bool:
                return await admin.get_or_none(NAMESPACES, row["namespace"]) is None

            await eventually(gone)
        with pytest.raises(DevClusterError, match="tenant list"):
            await stage.run(*MODULE, "tenant", "revoke", "anna", flag)
    finally:
        await first.stop()
        await second.stop()
    token = yaml.safe_load(out.read_text())["users"][0]["user"]["token"]
    for server in (first, second):
        assert token not in server.log.read_text()
    refused = [
        f"{one.verb} {one.uri}"
        for one in cluster.audit_requests()
        if one.user.endswith(":bind-backend") and one.code in {401, 403}
    ]
    assert refused == []


async def test_a_namesake_of_an_issuer_is_noted(stage: Stage, cluster: Cluster, tmp_path: Path) -> None:
    flag = f"--kubeconfig={await stage.account_kubeconfig(cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT)}"
    issuer = "--issuer=https://issuer.example"
    add = (*MODULE, "tenant", "add", "twin", "--cluster-id=c1", f"--out={tmp_path / 'twin.kubeconfig'}", flag)

    async def said(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *add, *arguments, stderr=asyncio.subprocess.PIPE
        )
        _, error = await process.communicate()
        assert process.returncode == 0, error
        return error.decode()

    assert "note: cluster-" not in await said(issuer)
    told = await said()
    assert "tenant added" in told
    assert f"meant that one: bind-backend tenant add twin --cluster-id=c1 {issuer}" in told


async def test_a_cluster_that_is_no_provider_is_left_alone(clusters: Playground, stage: Stage) -> None:
    wrong = await clusters.add(ClusterOptions("no-provider"))
    try:
        with pytest.raises(DevClusterError, match=r"does not serve clusterbindings.* --kubeconfig"):
            await stage.run(
                *MODULE, "tenant", "add", "anna", "--cluster-id=c1", f"--kubeconfig={wrong.kubeconfig}"
            )
        async with Client.open(from_kubeconfig(wrong.kubeconfig), user_agent="admin-in-tests") as admin:
            found = {one["metadata"]["name"] for one in (await admin.list(NAMESPACES)).items}
        assert found == {"default", "kube-node-lease", "kube-public", "kube-system"}
    finally:
        await clusters.remove("no-provider")


async def test_commands_that_cannot_work_say_what_to_do(
    stage: Stage, cluster: Cluster, tmp_path: Path
) -> None:
    reader = tmp_path / "reader.kubeconfig"
    reader.write_text(cluster.user_kubeconfig("somebody", ["readers"]))
    with pytest.raises(DevClusterError, match="manifests/backend"):
        await stage.run(*MODULE, "tenant", "list", f"--kubeconfig={reader}")
    stale = tmp_path / "stale.kubeconfig"
    stale.write_text(cluster.kubeconfig_for(token="wrong"))
    with pytest.raises(DevClusterError, match="another --kubeconfig"):
        await stage.run(*MODULE, "tenant", "list", f"--kubeconfig={stale}")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DevClusterError, match="symbolic link"):
        await stage.run(
            *MODULE,
            "tenant",
            "add",
            "bert",
            "--cluster-id=1",
            f"--out={link}",
            f"--kubeconfig={cluster.kubeconfig}",
        )
    with pytest.raises(DevClusterError, match="no template on the provider"):
        await stage.run(*MODULE, "rbac", "things.example.org", f"--kubeconfig={cluster.kubeconfig}")


async def test_without_its_manifests_it_ends_with_one_sentence(clusters: Playground, tmp_path: Path) -> None:
    cluster = await clusters.add(ClusterOptions("bare"))
    try:
        stage = Stage(clusters, tmp_path / "bare")
        with pytest.raises(DevClusterError, match="kubectl apply -k manifests/crds"):
            await stage.run(
                *MODULE,
                "--no-web",
                "--no-install-crds",
                "--no-leader-elect",
                "--health-address=127.0.0.1:0",
                f"--kubeconfig={cluster.kubeconfig}",
            )
    finally:
        await clusters.remove("bare")
