"""Processes that need the programs at the same time: one prepares them, none waits for a dead one."""

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

#: Finds the programs with a build that takes a while and leaves a line for each time it ran.
SEARCH = """
import sys, time
from pathlib import Path
from bind_agent.devcluster.binaries import Sources, find_control_plane
from bind_agent.devcluster.versions import PROGRAMS
cache, seconds = Path(sys.argv[1]), float(sys.argv[2])
def build(folder, progress, *, toolchains):
    with (cache / "builds").open("a") as file:
        file.write("build\\n")
    print("building", flush=True)
    time.sleep(seconds)
    for name in PROGRAMS:
        (folder / "bin" / name).write_text("#!/bin/sh\\necho v1\\n")
        (folder / "bin" / name).chmod(0o755)
print(find_control_plane(Sources(cache=cache, download=False), build=build).folder, flush=True)
"""


async def search(cache: Path, seconds: float) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SEARCH,
        str(cache),
        str(seconds),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_two_processes_build_once(tmp_path: Path) -> None:
    processes = [await search(tmp_path, 1.5) for _ in range(2)]
    outputs = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len({output.split()[-1] for output, _ in outputs}) == 1
    assert (tmp_path / "builds").read_text() == "build\n"
    said = b"".join(errors for _, errors in outputs).decode()
    assert said.count("another process prepares the control plane programs; waiting for it ...") == 1


async def test_when_the_builder_is_killed_the_next_one_builds(tmp_path: Path) -> None:
    first = await search(tmp_path, 60)
    assert first.stdout is not None
    assert await first.stdout.readline() == b"building\n"
    second = await search(tmp_path, 0)
    await asyncio.sleep(0.5)
    first.kill()
    await first.communicate()
    output, errors = await second.communicate()
    assert second.returncode == 0, errors.decode()
    assert (tmp_path / "builds").read_text() == "build\nbuild\n"
    folder = Path(output.split()[-1].decode())
    assert [path.name for path in (tmp_path / "control-plane").iterdir()] == [folder.parent.name]
