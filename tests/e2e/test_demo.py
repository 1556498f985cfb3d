"""`kubectl bind dev demo` as a pipeline runs it: the story, failures, and that no process is left."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bind_agent.devcluster import ControlPlane
from bind_agent.devcluster.binaries import PROGRAMS
from bind_agent.devcluster.state import ProcessId
from tests.fakes.eventually import eventually
from tests.fakes.issuer import browser, follow_login
from tests.fakes.processes import descendants

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

_STEPS = [
    *("clusters", "backend", "service", "grant", "konnector", "bind"),
    *("create", "credentials", "sql", "change", "delete", "stop"),
]


class Demo:
    """One run, with everything that it said and every process that it ever had."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told = ""
        self.seen: set[ProcessId] = set()

    async def until(self, text: str = "") -> None:
        """Read the story up to a line with this text, or to its end."""
        assert self.process.stderr is not None
        while line := (await self.process.stderr.readline()).decode():
            self.told += line
            self.seen |= descendants(self.process.pid)
            if text and text in line:
                return
        assert not text, self.told

    async def end(self) -> tuple[int, Any]:
        """The exit code and the summary, None when it was killed."""
        await self.until()
        assert self.process.stdout is not None
        out = await self.process.stdout.read()
        code = await self.process.wait()
        return code, json.loads(out) if out else None

    def left(self) -> list[ProcessId]:
        return [process for process in self.seen if process.alive]


@asynccontextmanager
async def demo(*arguments: object) -> AsyncIterator[Demo]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "dev", "demo", "-o", "json"),
        *(str(argument) for argument in arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Demo(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await eventually(lambda: not running.left())


async def test_the_whole_story() -> None:
    async with demo() as running:
        code, summary = await running.end()
        assert code == 0, running.told
        # Nothing is waited for here: it ends when everything else has ended.
        assert running.left() == []
    steps = {step["name"]: step for step in summary["steps"]}
    assert list(steps) == _STEPS
    assert (summary["ok"], summary["failure"], summary["interrupted"]) == (True, None, False)
    assert all(step["ok"] for step in steps.values())
    assert sum(step["seconds"] for step in steps.values()) == pytest.approx(summary["seconds"], abs=0.5)
    assert not any(map(os.path.exists, steps["clusters"]["facts"]["kubeconfigs"].values()))

    assert steps["create"]["facts"]["phase"] == "Ready"
    database = steps["create"]["facts"]["database"]
    assert database.startswith("db_orders_")
    keys = ["database", "host", "password", "port", "uri", "username"]
    assert steps["credentials"]["facts"]["keys"] == keys
    assert steps["credentials"]["facts"]["address"]["database"] == database
    assert steps["sql"]["facts"] == {"rows": [[1, "lamp"], [2, "chair"]]}
    assert steps["change"]["facts"] == {"before": 10, "after": 2, "sessions": 2, "rows": 2}
    assert steps["delete"]["facts"] == {
        "consumer": {"left": []},
        "provider": {"left": []},
        "postgresql": {"databases": 0, "roles": 0},
    }
    # The binding came about by a login, and by nothing else.
    (begun, *_) = steps["bind"]["commands"]
    pages = steps["backend"]["facts"]["pages"]
    assert begun.startswith(f"kubectl bind {pages['catalogue'].removesuffix('/resources')}/export ")
    assert "--no-browser" in begun
    assert not any("tenant add" in command for step in steps.values() for command in step["commands"])
    assert (steps["bind"]["facts"]["person"], steps["bind"]["facts"]["namespace"][:8]) == (
        "alice",
        "cluster-",
    )
    outcome = "\n".join(steps["bind"]["outcome"])
    for words in ("/authorize?", "sign in as alice, press Bind at PostgreSQL", "Logged in"):
        assert words in outcome
    # A connection string with a password in it is what must not be seen anywhere.
    assert not re.search(r"postgres(ql)?://[^\s']+:[^\s']+@", running.told + json.dumps(summary))


async def test_kept_running_its_pages_can_be_looked_at(tmp_path: Path) -> None:
    async with demo("--dir", tmp_path, "--keep") as running:
        await running.until("running until Ctrl-C")
        assert "sign in as alice" in running.told
        catalogue, clusters, operators = (
            next(
                line.split()[0]
                for line in running.told.split("\n")
                if line.split()[:1] and path in line.split()[0]
            )
            for path in ("/resources", "/clusters", "/admin")
        )
        async with browser() as visitor:
            visitor.headers["Accept"] = "text/html"
            page = await follow_login(visitor, clusters, account="alice")
            assert (page.status, str(page.url)) == (200, clusters)
            assert "healthy" in page.body
            page = await follow_login(visitor, catalogue)
            assert (page.status, "postgresqls" in page.body) == (200, True)
            assert (await follow_login(visitor, operators)).status == 403
        async with browser() as visitor:
            visitor.headers["Accept"] = "text/html"
            page = await follow_login(visitor, operators, account="operator")
            assert (page.status, str(page.url)) == (200, operators)
        running.process.send_signal(signal.SIGTERM)
        code, summary = await running.end()
        assert running.left() == []
    assert (code, summary["ok"]) == (0, True)
    assert [path.name for path in tmp_path.iterdir()] == ["playground.lock"]  # noqa: ASYNC240


async def test_killed_in_the_middle_it_leaves_no_process(tmp_path: Path) -> None:
    async with demo("--dir", tmp_path) as running:
        await running.until("$ kubectl bind http")
        kubectl = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "dev", "kubectl", "--dir", str(tmp_path)),
            *("provider", "get", "apiserviceexporttemplates", "-A"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await kubectl.communicate()
        assert b"postgresqls" in out
        running.seen |= descendants(running.process.pid)
        assert len(running.left()) > 10
        running.process.kill()
        await eventually(lambda: not running.left())


async def test_interrupted_it_stops_everything(tmp_path: Path) -> None:
    async with demo("--dir", tmp_path, "--keep") as running:
        await running.until("bind-backend serve")
        running.process.send_signal(signal.SIGINT)
        code, summary = await running.end()
        assert running.left() == []
    assert code == 130
    assert (summary["ok"], summary["interrupted"]) == (False, True)
    assert "everything is stopped" in running.told
    assert [path.name for path in tmp_path.iterdir()] == ["playground.lock"]  # noqa: ASYNC240


@pytest.mark.parametrize(
    ("program", "step", "log"),
    [("etcd", "clusters", "etcd"), ("kubectl", "backend", None)],
    ids=["a-server-does-not-start", "a-command-fails"],
)
async def test_a_failure_names_step_reason_and_next_step(
    tmp_path: Path, control_plane: ControlPlane, program: str, step: str, log: str | None
) -> None:
    assets, directory = tmp_path / "assets", tmp_path / "demo"
    assets.mkdir()
    for name in PROGRAMS:
        (assets / name).symlink_to(control_plane.folder / name)
    (assets / program).unlink()
    (assets / program).write_text("#!/bin/sh\necho 'out of order' >&2\nexit 7\n")
    (assets / program).chmod(0o755)
    async with demo("--assets", assets, "--dir", directory) as running:
        code, summary = await running.end()
        assert running.left() == []
    assert code == 1
    failure = summary["failure"]
    assert failure["step"] == step == summary["steps"][-1]["name"]
    assert summary["steps"][-1]["ok"] is False
    assert "7" in failure["reason"]
    assert "out of order" in (failure["logs"][log] if log else failure["reason"])
    for text in (failure["reason"], failure["nextStep"], "everything is stopped"):
        assert text in running.told
    if log is None:
        assert (directory / "logs" / "provider-kube-apiserver.log").stat().st_size
        assert str(directory / "logs") in failure["nextStep"]
