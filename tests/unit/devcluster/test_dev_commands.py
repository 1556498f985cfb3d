"""`kubectl bind dev` where nothing runs; the rest is in tests/integration/devcluster."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from bind_agent.devcluster.versions import PROGRAMS
from cli.commands.dev import dev
from cli.errors import CliError, ExitCode, UsageError

pytestmark = pytest.mark.unit


def run(*arguments: object) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(dev, [str(argument) for argument in arguments])
    return result.exit_code, result.output, result.exception


def test_status_of_nothing_says_so_and_fails(tmp_path: Path) -> None:
    code, output, _ = run("status", "--dir", tmp_path)
    assert code == 1
    assert f"start one with: kubectl bind dev up --dir {tmp_path}" in output
    (tmp_path / "playground.log").write_text("trouble")
    assert "the last one in the background ended with errors" in run("status", "--dir", tmp_path)[1]


@pytest.mark.parametrize(("form", "parse"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_status_for_programs(tmp_path: Path, form: str, parse: object) -> None:
    code, output, _ = run("status", "--dir", tmp_path, "-o", form)
    assert code == 1
    assert parse(output) == {  # type: ignore[operator]
        "directory": str(tmp_path),
        "running": False,
        "owner": None,
        "etcd": None,
        "clusters": [],
        "login": None,
    }


def test_down_of_nothing_is_fine(tmp_path: Path) -> None:
    code, output, _ = run("down", "--dir", tmp_path)
    assert code == 0
    assert "no playground runs" in output


@pytest.mark.parametrize("names", ["", ",", "a,a", "A", "a b", "../x"])
def test_up_refuses_names_that_cannot_be(tmp_path: Path, names: str) -> None:
    _, _, error = run("up", "--dir", tmp_path, "--clusters", names)
    assert isinstance(error, UsageError)
    assert error.code is ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


def test_kubectl_without_a_playground_names_the_next_step(tmp_path: Path) -> None:
    _, _, error = run("kubectl", "--dir", tmp_path, "provider", "get", "ns", "-o", "wide")
    assert isinstance(error, CliError)
    assert f"start one with `kubectl bind dev up --dir {tmp_path}`" in error.message


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).write_text(f"#!/bin/sh\necho {name} v1\n")
        (folder / name).chmod(0o755)
    return folder


def test_binaries_are_listed_with_their_versions(assets: Path) -> None:
    code, output, _ = run("binaries", "--assets", assets)
    assert code == 0
    assert ["kubectl", "kubectl", "v1", str(assets / "kubectl")] in [
        line.split() for line in output.splitlines()
    ]
    data = json.loads(CliRunner().invoke(dev, ["binaries", "--assets", str(assets), "-o", "json"]).stdout)
    assert data["programs"][0] == {"name": "etcd", "version": "etcd v1", "path": str(assets / "etcd")}


def test_binaries_of_an_incomplete_folder_are_refused(assets: Path) -> None:
    (assets / "kube-controller-manager").unlink()
    _, _, error = run("binaries", "--assets", assets)
    assert isinstance(error, CliError)
    assert "lacks kube-controller-manager" in error.message
