"""`kubectl bind dev up --login`, and then every command that it prints, typed into shells as it is printed."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bind_agent.devcluster import ControlPlane
from bind_agent.devcluster.demo.tour_login import Visit, follow
from bind_agent.devcluster.demo.tour_pages import printed_address
from bind_agent.devcluster.ports import free_port
from bind_agent.devcluster.state import State
from bind_agent.manifests import manifests_dir
from tests.fakes.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

API = "postgresqls.databases.example.com"


class Shell:
    """Shells that have the product and kubectl on their path."""

    def __init__(self, control_plane: ControlPlane) -> None:
        folders = (Path(sys.executable).parent, control_plane.kubectl.parent)
        path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
        self._environment = {**os.environ, "PATH": path, "NO_PROXY": "127.0.0.1"}

    async def start(self, line: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_shell(
            line, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self._environment, start_new_session=True
        )

    async def run(self, line: str) -> tuple[str, str]:
        process = await self.start(line)
        out, err = await process.communicate()
        assert process.returncode == 0, f"{line}: {err.decode()}"
        return out.decode(), err.decode()

    @asynccontextmanager
    async def running(self, line: str, log: Path) -> AsyncIterator[None]:
        """A program in a terminal of its own, and Ctrl-C at the end."""
        process = await self.start(f"{line} >'{log}' 2>&1")
        try:
            yield
            assert process.returncode is None, log.read_text()[-2000:]  # noqa: ASYNC240
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.communicate()


def printed_commands(errors: str) -> tuple[str, str, str]:
    """Backend, konnector and login, on ports that nobody else has."""
    _, _, text = errors.partition("a backend for it:\n")
    backend, _, rest = text.partition("\nand when it offers an API")
    lines = rest.split("\n")[1:]
    commands = "\0".join((backend, *lines[:2]))
    for port in (8080, 8081, 8082):
        assert f"127.0.0.1:{port}" in commands
        commands = commands.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    backend, konnector, login = commands.split("\0")
    return backend, konnector, login


async def answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def log_in(shell: Shell, line: str, issuer: str) -> str:
    """Run the printed login and be the person at the browser; what it prints in the end."""
    process = await shell.start(f"{line} --accept-claims=all --wait --timeout=90s --login-timeout=90s")
    said: list[str] = []
    try:
        assert process.stderr is not None
        while not (address := printed_address(heard := (await process.stderr.readline()).decode())):
            assert heard, said
            said.append(heard)
        plural, _, group = API.partition(".")
        await follow(address, Visit("bob", issuer, plural, group, patience=60), said.append)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


async def test_what_is_printed_leads_from_nothing_to_a_binding(
    tmp_path: Path, control_plane: ControlPlane
) -> None:
    shell, directory = Shell(control_plane), tmp_path / "play ground"
    try:
        _, errors = await shell.run(f"kubectl bind dev up --login --detach --dir '{directory}'")
        state = State.read(directory)
        assert state is not None
        assert state.login is not None
        backend, konnector, login = printed_commands(errors)
        address = next(word for word in login.split() if word.startswith("http"))
        kubectl = f"kubectl --kubeconfig='{directory}/provider.kubeconfig' apply -f "
        example = manifests_dir() / "examples/postgres"
        async with shell.running(backend, tmp_path / "backend.log"):
            await eventually(lambda: answers(address), seconds=60)
            for name in ("crd", "rbac", "template"):
                await shell.run(f"{kubectl}'{example}/{name}.yaml'")
            await shell.run(
                f"bind-backend rbac {API} --kubeconfig='{directory}/provider.kubeconfig' | {kubectl}-"
            )
            async with shell.running(konnector, tmp_path / "konnector.log"):
                out = await log_in(shell, f"{login} --no-browser", state.login.issuer)
        assert API in out
        assert "True" in out
    finally:
        await shell.run(f"kubectl bind dev down --dir '{directory}'")
