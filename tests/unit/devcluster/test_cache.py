"""An entry of the cache is complete and proven, or it is no entry."""

import io
import json
import os
import threading
import time
from pathlib import Path

import pytest

from bind_agent.devcluster import cache as module
from bind_agent.devcluster.cache import Entry
from bind_agent.devcluster.locking import exclusive
from bind_agent.devcluster.progress import Progress
from bind_agent.devcluster.versions import PROGRAMS

pytestmark = pytest.mark.unit


def fill(entry: Entry) -> Entry:
    with entry.filling() as folder:
        for name in PROGRAMS:
            path = folder / "bin" / name
            path.write_text(f"#!/bin/sh\necho {name}\n")
            path.chmod(0o755)
    return entry


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return fill(Entry(tmp_path / "cache" / "entry"))


def test_a_filled_entry_is_good(entry: Entry) -> None:
    assert entry.problem() is None
    assert [path.name for path in entry.path.parent.iterdir()] == ["entry"]


def test_no_entry_is_no_problem_to_speak_of(tmp_path: Path) -> None:
    assert Entry(tmp_path / "none").problem() == ""


def test_an_interrupted_filling_leaves_nothing(tmp_path: Path) -> None:
    entry = Entry(tmp_path / "cache" / "entry")

    def interrupted() -> None:
        with entry.filling() as folder:
            (folder / "bin" / "etcd").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "cache").iterdir()) == []


def test_left_overs_of_a_killed_process_are_cleared_away(entry: Entry) -> None:
    left = entry.path.parent / ".staging-killed"
    left.mkdir()
    (left / "half").write_text("half")
    fill(entry)
    assert not left.exists()
    assert entry.problem() is None


def change_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(lambda e: e.program("etcd").unlink(), "bin/etcd cannot be read", id="file-gone"),
        pytest.param(lambda e: e.program("etcd").write_text(""), "bin/etcd has 0 bytes", id="emptied"),
        pytest.param(lambda e: change_a_byte(e.program("etcd")), "another checksum", id="byte-changed"),
        pytest.param(lambda e: e.program("kubectl").chmod(0o644), "cannot be executed", id="not-executable"),
        pytest.param(
            lambda e: (e.path / "manifest.json").unlink(), "manifest cannot be read", id="no-manifest"
        ),
        pytest.param(
            lambda e: (e.path / "manifest.json").write_text("{"), "manifest cannot", id="half-manifest"
        ),
        pytest.param(
            lambda e: (e.path / "manifest.json").write_text("[]"), "manifest cannot", id="other-shape"
        ),
        pytest.param(
            lambda e: (e.path / "manifest.json").write_text('{"format": 1, "files": {"bin/etcd": 3}}'),
            "manifest cannot",
            id="other-file-shape",
        ),
        pytest.param(
            lambda e: (e.path / "manifest.json").write_text('{"format": 99, "files": {}}'),
            "format 99",
            id="format",
        ),
        pytest.param(
            lambda e: (e.path / "manifest.json").write_text('{"format": 1, "files": {}}'),
            "no files",
            id="empty",
        ),
    ],
)
def test_damage_is_found(entry: Entry, damage: object, words: str) -> None:
    assert entry.problem() is None
    damage(entry)  # type: ignore[operator]
    assert words in (entry.problem() or "")
    fill(entry)
    assert entry.problem() is None


def test_a_program_that_does_not_run_is_a_problem(tmp_path: Path) -> None:
    entry = Entry(tmp_path / "entry")
    with entry.filling() as folder:
        for name in PROGRAMS:
            (folder / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
            (folder / "bin" / name).chmod(0o755)
    assert "cannot be run" in (entry.problem() or "")


def test_unchanged_files_are_hashed_once(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert entry.problem() is None
    hashed: list[Path] = []
    real = module.sha256
    monkeypatch.setattr(module, "sha256", lambda path: hashed.append(path) or real(path))
    assert entry.problem() is None
    assert hashed == []
    os.utime(entry.program("etcd"))
    assert entry.problem() is None
    assert [path.name for path in hashed] == ["etcd"]


def test_a_spoilt_record_of_checks_only_costs_a_check(entry: Entry) -> None:
    assert entry.problem() is None
    (entry.path / "checked.json").write_text("nonsense")
    assert entry.problem() is None
    assert "bin/etcd" in json.loads((entry.path / "checked.json").read_text())


def test_only_one_holds_the_lock_and_the_other_says_that_it_waits(tmp_path: Path) -> None:
    lock = tmp_path / "deep" / "lock"
    order: list[str] = []
    output = io.StringIO()

    def second() -> None:
        with exclusive(lock, Progress(output), waiting="somebody else is at it"):
            order.append("second")

    with exclusive(lock, Progress(None), waiting=""):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert "somebody else is at it" in output.getvalue()
