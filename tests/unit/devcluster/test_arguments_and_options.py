"""Command lines of the servers, and what may be asked of a playground."""

import socket
from pathlib import Path

import pytest

from bind_agent.devcluster import ClusterOptions, Playground, arguments
from bind_agent.devcluster.arguments import ClusterFiles
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.ports import LOOPBACK, RANGE, free_port, is_free

pytestmark = pytest.mark.unit

FILES = ClusterFiles(Path("/c"))


def apiserver(*flags: str, audit: bool = False) -> list[str]:
    return arguments.apiserver(
        Path("/bin/kube-apiserver"),
        cluster="consumer",
        files=FILES,
        etcd_socket=Path("/s/etcd.sock"),
        port=1234,
        audit=audit,
        flags=flags,
    )


def test_each_cluster_has_its_own_prefix_and_listens_on_loopback_only() -> None:
    line = apiserver()
    assert line[0] == "/bin/kube-apiserver"
    assert "--etcd-prefix=/consumer" in line
    assert "--bind-address=127.0.0.1" in line
    assert "--authorization-mode=RBAC" in line
    assert not [flag for flag in line if flag.startswith("--audit")]


def test_the_audit_log_is_written_on_request() -> None:
    assert "--audit-log-path=/c/audit.log" in apiserver(audit=True)


def test_flags_of_the_caller_come_last_and_so_win() -> None:
    assert apiserver("--min-request-timeout=5", "--shutdown-delay-duration=3s")[-2:] == [
        "--min-request-timeout=5",
        "--shutdown-delay-duration=3s",
    ]


def test_etcd_is_reachable_through_sockets_only() -> None:
    line = arguments.etcd(
        Path("/bin/etcd"),
        data=Path("/d"),
        client_socket=Path("/s/c"),
        flags=["--x"],
    )
    assert "--listen-client-urls=unix:///s/c" in line
    assert "--listen-peer-urls=unix://peer.sock:0" in line
    assert line[-1] == "--x"


def test_the_manager_runs_the_controllers_that_the_product_relies_on() -> None:
    line = arguments.controller_manager(Path("/bin/m"), cluster="c", files=FILES, flags=["--x"])
    (controllers,) = [flag for flag in line if flag.startswith("--controllers=")]
    assert "namespace-controller" in controllers
    assert "clusterrole-aggregation-controller" in controllers
    assert "--use-service-account-credentials=true" in line
    assert line[-1] == "--x"


@pytest.mark.parametrize("name", ["a", "provider", "a-1", "x" * 40])
def test_names_that_can_be_used(name: str) -> None:
    assert ClusterOptions(name).name == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a/b", "../x", "a.b", "x" * 41, "a\n", "ä"])
def test_names_that_cannot(name: str) -> None:
    with pytest.raises(ValueError, match="use at most 40 lower-case letters"):
        ClusterOptions(name)


def test_a_playground_refuses_two_clusters_of_one_name() -> None:
    with pytest.raises(ValueError, match="name of its own"):
        Playground("a", ClusterOptions("a", audit=True))


def test_a_playground_keeps_data_in_a_directory_only(tmp_path: Path) -> None:
    assert Playground("a", directory=tmp_path, keep_data=True).directory == tmp_path
    with pytest.raises(ValueError, match="needs a directory"):
        Playground("a", keep_data=True)


async def test_a_playground_that_does_not_run_says_so() -> None:
    playground = Playground("a")
    with pytest.raises(DevClusterError, match="async with"):
        _ = playground.directory
    with pytest.raises(DevClusterError, match="async with"):
        await playground.add("b")
    await playground.stop()


def test_free_ports_are_free_and_not_taken() -> None:
    port = free_port()
    assert port in RANGE
    assert is_free(port)
    assert free_port(taken=RANGE) not in RANGE
    with socket.create_server((LOOPBACK, 0)) as server:
        assert not is_free(server.getsockname()[1])
