"""`kubectl bind dev` as a person uses it."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bind_agent.backend.oidc import flow
from bind_agent.backend.oidc.client import OidcClient
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.devcluster import ControlPlane, detached
from bind_agent.devcluster.daemon import owned
from bind_agent.devcluster.state import ProcessId, State
from tests.fakes.eventually import eventually
from tests.fakes.issuer import browser, follow_login

CALLBACK = "http://127.0.0.1:1/callback"

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def start(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli.main",
        "dev",
        *(str(argument) for argument in arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # A run of the tests in the background ignores Ctrl-C, and what it starts would do so too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


async def dev(*arguments: object) -> tuple[int, str, str]:
    process = await start(*arguments)
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


def processes(directory: Path) -> list[ProcessId]:
    state = State.read(directory)
    assert state is not None
    return list(state.processes)


def content(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def socket_folder(directory: Path) -> Path:
    """The temporary folder of etcd's sockets, as the API server names it."""
    log = (directory / "data" / "clusters" / "a" / "kube-apiserver.log").read_text()
    return Path(re.findall(r"unix://(/\S*)/etcd.sock", log)[0])


async def gone(those: list[ProcessId]) -> None:
    await eventually(lambda: not any(process.alive for process in those))


@pytest_asyncio.fixture(loop_scope="session")
async def directory(tmp_path: Path, control_plane: ControlPlane) -> AsyncIterator[Path]:
    yield tmp_path / "playground"
    await dev("down", "--dir", tmp_path / "playground")


async def test_a_detached_playground_from_up_to_down(directory: Path) -> None:
    code, output, errors = await dev("up", "--detach", "--clusters", "a,b", "--dir", directory)
    assert code == 0, errors
    assert "a         https://127.0.0.1" in output
    assert str(directory / "b.kubeconfig") in output
    assert "stop with: kubectl bind dev down --dir" in errors
    running = processes(directory)
    assert len(running) == 7
    assert (directory / "a.kubeconfig").stat().st_mode & 0o777 == 0o600

    code, output, _ = await dev("status", "--dir", directory, "-o", "json")
    seen = json.loads(output)
    assert (code, seen["running"]) == (0, True)
    assert [(cluster["name"], cluster["ready"]) for cluster in seen["clusters"]] == [("a", True), ("b", True)]
    assert "https://127.0.0.1" in (await dev("status", "--dir", directory))[1]

    code, output, _ = await dev("kubectl", "--dir", directory, "b", "--", "get", "namespaces", "-o", "name")
    assert code == 0
    assert "namespace/kube-system" in output
    code, _, errors = await dev("kubectl", "--dir", directory, "b", "get", "nonsense")
    assert code == 1
    assert "doesn't have a resource type" in errors

    code, _, errors = await dev("up", "--detach", "--dir", directory)
    assert code == 1
    assert "runs in" in errors
    assert all(process.alive for process in running)

    assert (await dev("down", "--dir", directory))[0] == 0
    assert not any(process.alive for process in running)
    assert content(directory) == ["playground.lock", "playground.log"]
    assert (await dev("down", "--dir", directory))[0] == 0
    assert (await dev("status", "--dir", directory))[0] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
async def test_in_the_foreground_until_told_to_end(directory: Path, number: signal.Signals) -> None:
    process = await start("up", "--clusters", "a", "--dir", directory)
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b"running until Ctrl-C" not in await process.stderr.readline():
            pass
    running = processes(directory)
    process.send_signal(number)
    _, errors = await process.communicate()
    assert process.returncode == 0
    assert b"stopped" in errors
    assert not any(each.alive for each in running[1:])
    assert content(directory) == ["playground.lock"]


async def test_told_to_end_while_starting(directory: Path) -> None:
    process = await start("up", "--clusters", "a", "--dir", directory)
    await eventually((directory / "playground.lock").exists, every=0.01)
    await asyncio.sleep(0.3)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        await process.communicate()
    assert content(directory) == ["playground.lock"]


async def test_interrupted_while_it_waits_for_the_background(directory: Path) -> None:
    process = await start("up", "--detach", "--clusters", "a", "--dir", directory)
    await eventually((directory / "data" / "etcd" / "etcd.log").exists, every=0.01)
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == 130, errors
    assert content(directory) == ["playground.lock", "playground.log"]
    assert not owned(directory)


async def test_an_owner_that_hangs_is_killed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await dev("up", "--detach", "--clusters", "a", "--dir", directory))[0] == 0
    running = processes(directory)
    scratch = socket_folder(directory)
    assert content(scratch) == ["etcd.sock", "peer.sock:0"]
    running[0].signal(signal.SIGSTOP)
    monkeypatch.setattr(detached, "_DOWN_TIMEOUT", 0.5)
    assert await asyncio.to_thread(detached.down, directory)
    assert not any(process.alive for process in running)
    await eventually(lambda: not scratch.exists())


async def test_what_a_killed_owner_leaves_is_cleared_away(directory: Path) -> None:
    assert (await dev("up", "--detach", "--clusters", "a", "--dir", directory))[0] == 0
    running = processes(directory)
    running[0].signal(signal.SIGKILL)
    await gone(running)
    code, _, errors = await dev("status", "--dir", directory)
    assert (code, "no playground runs" in errors) == (1, True)
    code, _, errors = await dev("up", "--detach", "--clusters", "b", "--dir", directory)
    assert code == 0, errors
    assert not (directory / "a.kubeconfig").exists()
    assert (directory / "b.kubeconfig").exists()


async def test_a_server_that_dies_ends_the_playground_with_a_reason(directory: Path) -> None:
    assert (await dev("up", "--detach", "--clusters", "a", "--dir", directory))[0] == 0
    state = State.read(directory)
    assert state is not None
    (manager,) = [server.process for server in state.servers if server.name == "a/kube-controller-manager"]
    manager.signal(signal.SIGKILL)
    await gone(list(state.processes))
    code, _, errors = await dev("status", "--dir", directory)
    assert code == 1
    assert "the last one in the background ended with errors" in errors
    assert "a/kube-controller-manager ended by itself" in (directory / "playground.log").read_text()


async def test_a_playground_that_cannot_start_says_why(directory: Path, control_plane: ControlPlane) -> None:
    assets = directory.parent / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-controller-manager", "kubectl"):
        (assets / name).symlink_to(control_plane.folder / name)
    (assets / "kube-apiserver").write_text("#!/bin/sh\necho no thanks\nexit 3\n")
    (assets / "kube-apiserver").chmod(0o755)
    code, _, errors = await dev("up", "--detach", "--assets", assets, "--dir", directory)
    assert code == 1
    assert "kube-apiserver ended with status 3" in errors
    assert "no thanks" in errors


async def test_binaries_names_the_programs(control_plane: ControlPlane) -> None:
    code, output, _ = await dev("binaries", "-o", "json")
    assert code == 0
    assert {each["path"] for each in json.loads(output)["programs"]} == {
        str(control_plane.folder / name)
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
    }


async def test_a_login_issuer_lives_and_dies_with_the_playground(directory: Path) -> None:
    code, output, errors = await dev("up", "--login", "--detach", "--clusters", "a", "--dir", directory)
    assert code == 0, errors
    assert "kubectl-bind-dev" in output
    assert "bind-backend serve" in errors

    code, output, _ = await dev("status", "--dir", directory, "-o", "json")
    login = json.loads(output)["login"]
    assert (code, login["ready"], login["client_id"]) == (0, True, "kubectl-bind-dev")
    assert login["backend"][:3] == ["bind-backend", "serve", f"--kubeconfig={directory / 'a.kubeconfig'}"]
    assert f"--oidc-issuer-url={login['issuer']}" in login["backend"]
    _, output, errors = await dev("status", "--dir", directory)
    assert login["issuer"] in output
    assert "alice,bob,operator" in output
    assert "--oidc-issuer-client-id=kubectl-bind-dev" in errors

    config = OidcConfig(issuer_url=login["issuer"], client_id=login["client_id"], callback_url=CALLBACK)
    verifier, nonce = flow.new_verifier(), flow.new_nonce()
    async with OidcClient(config) as oidc, browser() as session:
        url = await oidc.authorization_url(
            state="s", nonce=nonce, code_challenge=flow.challenge(verifier), login_hint="alice"
        )
        landed = await follow_login(session, url, stop_at=CALLBACK)
        person = await oidc.login(
            landed.url.query["code"], code_verifier=verifier, nonce=nonce, issuer=landed.url.query["iss"]
        )
    assert (person.subject, person.groups) == ("alice", ("database-users", "developers"))

    running = processes(directory)
    assert login["pid"] in {process.pid for process in running}
    assert (await dev("down", "--dir", directory))[0] == 0
    assert not any(process.alive for process in running)


async def test_an_issuer_that_ends_by_itself_ends_the_playground(directory: Path) -> None:
    assert (await dev("up", "--login", "--detach", "--clusters", "a", "--dir", directory))[0] == 0
    running = processes(directory)
    state = State.read(directory)
    assert state is not None
    next(server.process for server in state.servers if server.name == "issuer").signal(signal.SIGKILL)
    await gone(running)
    code, _, errors = await dev("status", "--dir", directory)
    assert code == 1
    assert "ended with errors" in errors
