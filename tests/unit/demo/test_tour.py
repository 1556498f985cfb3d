"""Failures of the story made clear, and the hints at its end; the story itself is in tests/e2e."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bind_agent.devcluster.demo import tour, tour_failures, tour_hints, tour_steps
from bind_agent.devcluster.demo.databases import ServerError as DatabaseError
from bind_agent.devcluster.demo.tour_commands import CommandFailed
from bind_agent.devcluster.demo.tour_scene import NotAsPromised, Scene, object_path
from bind_agent.devcluster.errors import ServerError
from bind_agent.devcluster.server import Server

pytestmark = pytest.mark.unit

_TAILS = {"konnector": "words"}


def test_names_of_steps_are_unique_and_counted() -> None:
    names = [tour_steps.CLUSTERS[0], *(step.name for step in tour_steps.STEPS), tour_steps.STOP[0]]
    assert len(set(names)) == len(names) == tour.Options().count
    assert tour.Options(keep=True).count == len(names) - 1


def test_a_server_that_fails_is_told_with_its_own_log() -> None:
    error = ServerError("provider/etcd", "ended with status 7", log=Path("/gone/log"), tail="its words")
    failure = tour_failures.explain("clusters", error, tails=_TAILS, folder=None)
    assert (failure.step, failure.reason) == ("clusters", "provider/etcd ended with status 7")
    assert failure.tails == {"provider/etcd": "its words"}
    assert "--dir DIR" in failure.next_step


def test_a_server_without_words_leaves_those_of_the_step() -> None:
    error = ServerError("etcd", "ended by itself", log=Path("/gone/log"), tail="")
    assert tour_failures.explain("keep", error, tails=_TAILS, folder=None).tails == _TAILS


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            CommandFailed(["kubectl", "x"], "ended with 1", "no such thing"),
            "`kubectl x` ended with 1:\nno such thing",
        ),
        (
            CommandFailed(["kubectl", "x"], "does not end within 2 s", ""),
            "`kubectl x` does not end within 2 s",
        ),
        (NotAsPromised("not within 60 s: the Secret gone"), "not within 60 s: the Secret gone"),
        (DatabaseError("Rejected", "cannot write", retry=1), "cannot write"),
    ],
    ids=["command", "mute-command", "promise", "database"],
)
def test_other_failures_come_with_the_logs_of_their_step(error: Exception, reason: str) -> None:
    failure = tour_failures.explain("delete", error, tails=_TAILS, folder=Path("/kept/logs"))
    assert failure.reason == reason
    assert failure.tails == _TAILS
    assert "/kept/logs" in failure.next_step


class FakeScene:
    """A scene in which a server may end."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[Server] = asyncio.get_running_loop().create_future()

    async def trouble(self) -> Server:
        return await asyncio.shield(self.ended)


async def test_work_is_given_up_when_a_program_ends(tmp_path: Path) -> None:
    scene = FakeScene()
    gave_up = asyncio.Event()

    async def work() -> None:
        scene.ended.set_result(
            cast("Server", SimpleNamespace(name="konnector", log=tmp_path, tail=lambda: "bye"))
        )
        try:
            await asyncio.Event().wait()
        finally:
            gave_up.set()

    with pytest.raises(ServerError, match="konnector ended by itself") as caught:
        await tour._unless_trouble(work(), cast("Scene", scene))
    assert caught.value.tail == "bye"
    assert gave_up.is_set()


async def test_work_ends_as_it_does_while_all_programs_run() -> None:
    scene = FakeScene()
    await tour._unless_trouble(asyncio.sleep(0), cast("Scene", scene))

    async def fail() -> None:
        raise NotAsPromised("so")

    with pytest.raises(NotAsPromised):
        await tour._unless_trouble(fail(), cast("Scene", scene))
    assert not scene.ended.done()


def test_hints_name_real_files_and_no_secret(tmp_path: Path) -> None:
    def cluster(name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, kubeconfig=tmp_path / f"{name}.kubeconfig")

    scene = SimpleNamespace(
        provider=cluster("provider"),
        consumer=cluster("consumer"),
        playground=SimpleNamespace(
            directory=tmp_path, control_plane=SimpleNamespace(kubectl=Path("/opt/control plane/kubectl"))
        ),
        programs={"konnector": SimpleNamespace(log=tmp_path / "konnector.log")},
        web="http://127.0.0.1:4321",
        stage=SimpleNamespace(ports={"konnector": 1234}),
        kubectl_words=Scene.kubectl_words,
        manifest=Scene.manifest,
        name="orders",
        namespace="default",
        secret="orders-credentials",
    )
    text = tour_hints.hints(cast("Scene", scene))
    lines = text.split("\n")
    assert next(line for line in lines if line.startswith("export PATH=")).endswith(":$PATH")
    assert f"kubectl --kubeconfig={tmp_path}/consumer.kubeconfig get apiservicebindings -A" in lines
    assert f"kubectl bind dev kubectl --dir {tmp_path} consumer get crds" in lines
    assert f"tail -f {tmp_path}/konnector.log" in lines
    assert "curl http://127.0.0.1:1234/metrics" in lines
    assert any(line.startswith('psql "$(kubectl') for line in lines)
    assert any("sign in as alice" in line for line in lines)
    for path in ("resources", "clusters", "admin"):
        assert any(line.startswith(f"http://127.0.0.1:4321/{path} ") for line in lines)
    again = next(line for line in lines if line.startswith("kubectl bind http"))
    assert again.startswith("kubectl bind http://127.0.0.1:4321/export --kubeconfig=")
    apply = next(line for line in lines if " apply -f " in line)
    assert Path(apply.rpartition(" ")[2]).is_file()


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("postgresqls", "/apis/databases.example.com/v1/namespaces/ns/postgresqls/x"),
        ("secrets", "/api/v1/namespaces/ns/secrets/x"),
    ],
)
def test_paths_of_objects(resource: str, path: str) -> None:
    assert object_path(resource, "ns", "x") == path
