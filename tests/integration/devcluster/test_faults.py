"""Servers broken on demand come back on the same port with the same data."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from bind_agent.devcluster import Cluster, ClusterOptions, ControlPlane, Playground
from bind_agent.devcluster.errors import ServerError
from bind_agent.devcluster.server import Server
from tests.fakes.eventually import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def playground(control_plane: ControlPlane) -> AsyncIterator[Playground]:
    async with Playground("one", control_plane=control_plane) as playground:
        yield playground


@pytest.fixture
def cluster(playground: Playground) -> Cluster:
    return playground["one"]


async def store(cluster: Cluster, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    status, answer = await cluster.request("POST", CONFIG_MAPS, body)
    assert status == 201, answer


async def stored(cluster: Cluster, name: str) -> bool:
    status, _ = await cluster.request("GET", f"{CONFIG_MAPS}/{name}")
    return status == 200


@contextlib.contextmanager
def leading_nowhere(server: Server, port: int) -> Iterator[None]:
    """Have the kubeconfig of a server name a port where nobody listens."""
    (flag,) = (argument for argument in server.argv if argument.startswith("--kubeconfig="))
    kubeconfig = Path(flag.partition("=")[2])
    good = kubeconfig.read_text()
    kubeconfig.write_text(good.replace(f":{port}", ":1"))
    try:
        yield
    finally:
        kubeconfig.write_text(good)


@pytest.mark.parametrize("graceful", [True, False], ids=["stopped", "killed"])
async def test_a_restarted_api_server_has_its_port_and_data(cluster: Cluster, graceful: bool) -> None:
    name = f"restart-{graceful}".lower()
    await store(cluster, name)
    port, pid = cluster.port, cluster.apiserver.pid
    begin = time.monotonic()
    await cluster.apiserver.restart(graceful=graceful)
    assert time.monotonic() - begin < 60
    assert cluster.port == port
    assert cluster.apiserver.pid != pid
    assert await stored(cluster, name)


async def test_a_killed_api_server_refuses_until_it_is_started(cluster: Cluster) -> None:
    await cluster.apiserver.kill()
    assert not cluster.apiserver.running
    with pytest.raises(ConnectionRefusedError):
        await cluster.request("GET", "/readyz")
    await cluster.apiserver.kill()
    await cluster.apiserver.stop()
    await cluster.apiserver.start()
    pid = cluster.apiserver.pid
    await cluster.apiserver.start()
    assert cluster.apiserver.pid == pid
    await cluster.wait_ready()


async def test_a_paused_api_server_accepts_and_does_not_answer(cluster: Cluster) -> None:
    await cluster.apiserver.pause()
    try:
        assert cluster.apiserver.running
        with pytest.raises(TimeoutError):
            await cluster.request("GET", "/readyz", timeout=1)
    finally:
        await cluster.apiserver.resume()
    assert (await cluster.request("GET", "/readyz"))[0] == 200


async def test_a_paused_api_server_can_be_stopped(cluster: Cluster) -> None:
    await cluster.apiserver.pause()
    await cluster.apiserver.stop()
    assert not cluster.apiserver.running
    await cluster.apiserver.start()


async def test_a_killed_etcd_comes_back_with_its_data(playground: Playground, cluster: Cluster) -> None:
    await store(cluster, "before-etcd-died")
    await playground.etcd.kill()
    try:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lost"}}
        with pytest.raises(TimeoutError):
            await cluster.request("POST", CONFIG_MAPS, body, timeout=2)
    finally:
        await playground.etcd.start()
    await cluster.wait_ready()
    assert await stored(cluster, "before-etcd-died")


async def test_compaction_makes_old_versions_expire(playground: Playground, cluster: Cluster) -> None:
    for number in range(3):
        await store(cluster, f"compacted-{number}")
    _, page = await cluster.request("GET", f"{CONFIG_MAPS}?limit=1")
    token = page["metadata"]["continue"]
    assert (await cluster.request("GET", f"{CONFIG_MAPS}?limit=1&continue={token}"))[0] == 200
    version = page["metadata"]["resourceVersion"]
    await store(cluster, "later")
    await playground.etcd.compact()
    await cluster.apiserver.restart()  # its own cache covers the past otherwise
    status, answer = await cluster.request("GET", f"{CONFIG_MAPS}?limit=1&continue={token}")
    assert (status, answer["reason"]) == (410, "Expired")
    old = f"{CONFIG_MAPS}?watch=true&resourceVersion={version}&timeoutSeconds=1"
    status, answer = await cluster.request("GET", old)
    assert 410 in (status, answer.get("object", {}).get("code"))


async def test_without_its_manager_a_namespace_stays(cluster: Cluster) -> None:
    manager = cluster.controller_manager
    assert manager is not None
    await manager.kill()
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "stays"}}
    assert (await cluster.request("POST", "/api/v1/namespaces", body))[0] == 201
    assert (await cluster.request("DELETE", "/api/v1/namespaces/stays"))[0] == 200
    await asyncio.sleep(1)
    assert (await cluster.request("GET", "/api/v1/namespaces/stays"))[0] == 200
    await manager.start()

    async def is_gone() -> bool:
        return (await cluster.request("GET", "/api/v1/namespaces/stays"))[0] == 404

    await eventually(is_gone, seconds=40)


async def test_a_manager_is_ready_when_it_works_and_not_by_what_was_made_before(cluster: Cluster) -> None:
    manager = cluster.controller_manager
    assert manager is not None
    await manager.kill()
    refused = pytest.raises(ServerError, match=r"kube-controller-manager (is not ready|ended)")
    with leading_nowhere(manager, cluster.port), refused:
        await manager.start(timeout=3)
    await manager.start()


async def test_an_end_that_nobody_asked_for_is_noticed(playground: Playground, cluster: Cluster) -> None:
    waiting = asyncio.create_task(playground.first_failure())
    await cluster.apiserver.stop()
    await cluster.apiserver.start()
    await asyncio.sleep(0.1)
    assert not waiting.done()
    manager = cluster.controller_manager
    assert manager is not None
    assert manager.pid is not None
    os.kill(manager.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        assert await waiting is manager
    await manager.start()


async def test_a_cluster_can_be_added_and_removed(playground: Playground) -> None:
    extra = await playground.add("extra")
    assert extra.kubeconfig.exists()
    assert (await extra.request("GET", "/api/v1/namespaces/default"))[0] == 200
    with pytest.raises(ValueError, match="there is a cluster extra already"):
        await playground.add("extra")
    await playground.remove("extra")
    assert not extra.kubeconfig.exists()
    assert not any(server.running for server in extra.servers)
    assert [cluster.name for cluster in playground] == ["one"]


async def test_a_server_with_a_wrong_flag_shows_its_last_words(playground: Playground) -> None:
    with pytest.raises(ServerError, match=r"(?s)odd/kube-apiserver ended with.*unknown flag") as caught:
        await playground.add(ClusterOptions("odd", apiserver_flags=["--no-such"]))
    assert caught.value.log.exists()
    assert "odd" not in [cluster.name for cluster in playground]
