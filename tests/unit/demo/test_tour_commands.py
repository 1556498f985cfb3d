"""What is shown is what is run: words of commands, their display and their processes."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from bind_agent.devcluster.demo import tour_commands
from bind_agent.devcluster.demo.tour_commands import Command, CommandFailed, Runner

pytestmark = pytest.mark.unit

_KUBECTL = Path("/opt/bin/kubectl")


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (["kubectl", "get", "ns"], [str(_KUBECTL), "get", "ns"]),
        (["kubectl", "bind", "apiservice"], [sys.executable, "-m", "cli.main", "apiservice"]),
        (["bind-backend", "tenant"], [sys.executable, "-m", "bind_agent.backend.app", "tenant"]),
        (["konnector", "--help"], [sys.executable, "-m", "konnector.app", "--help"]),
    ],
    ids=["kubectl", "plugin", "backend", "konnector"],
)
def test_programs_are_those_of_this_installation(words: list[str], argv: list[str]) -> None:
    assert tour_commands.argv_of(words, _KUBECTL) == argv


def test_an_unknown_program_is_refused() -> None:
    with pytest.raises(ValueError, match="psql is no program"):
        tour_commands.argv_of(["psql"], _KUBECTL)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([sys.executable, "-m", "konnector.app", "--a"], ("konnector", "--a")),
        ([sys.executable, "-m", "bind_agent.backend.app", "serve"], ("bind-backend", "serve")),
        ([sys.executable, "-m", "other.module", "x"], ("python", "-m", "other.module", "x")),
        (["/bin/etcd", "--a", "b"], ("/bin/etcd", "--a", "b")),
    ],
    ids=["konnector", "backend", "module", "other"],
)
def test_a_process_is_shown_as_a_person_types_it(argv: list[str], words: tuple[str, ...]) -> None:
    assert tour_commands.program_words(argv) == words


def test_a_short_command_is_one_line() -> None:
    assert tour_commands.typed(Command(("kubectl", "get", "ns", "-o", "wide"))) == "kubectl get ns -o wide"


def test_a_pipe_shows_both_commands() -> None:
    command = Command(("kubectl", "apply", "-f", "-"), Command(("kubectl", "bind", "konnector", "manifests")))
    assert tour_commands.typed(command) == "kubectl bind konnector manifests | kubectl apply -f -"


def test_a_long_command_is_folded_and_still_the_same_for_a_shell() -> None:
    words = (
        "kubectl",
        "--kubeconfig=/a dir/x",
        "wait",
        "-n",
        "default",
        *(f"--flag-{n}={{.x}}" for n in range(9)),
    )
    shown = tour_commands.typed(Command(words), width=40)
    lines = shown.split("\n")
    assert len(lines) > 3
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert not any(line.strip("\\ ").endswith(" -n") for line in lines)
    assert tuple(shlex.split(shown.replace("\\\n", ""))) == words


def test_a_pipe_that_is_too_long_begins_a_line() -> None:
    command = Command(("kubectl", "apply", "-f", "-"), Command(("kubectl", "get", "x" * 20)))
    assert tour_commands.typed(command, width=40).split("\n")[1] == "  | kubectl apply -f -"


@pytest.fixture
def kubectl(tmp_path: Path) -> Path:
    program = tmp_path / "kubectl"
    program.write_text(
        '#!/bin/sh\ncase $1 in\n  say) shift; echo "$@"; echo aside >&2;;\n  env) echo "$KUBECACHEDIR $KUBERC";;\n'
        "  upper) tr a-z A-Z;;\n"
        "  talk) echo one >&2; printf 'tw' >&2; sleep 0.1; echo o >&2; read answer; echo $answer;;\n"
        "  deaf) exec <&-; echo ok;;\n  fail) echo first >&2; echo reason >&2; exit 3;;\n"
        "  mute) echo on stdout; exit 4;;\n  hang) sleep 60;;\nesac\n"
    )
    program.chmod(0o755)
    return program


async def test_output_of_a_command(kubectl: Path, tmp_path: Path) -> None:
    runner = Runner(kubectl, tmp_path / "cache")
    assert await runner.run(Command(("kubectl", "say", "a b", "$HOME"))) == ("a b $HOME\n", "aside\n")
    assert (await runner.run(Command(("kubectl", "env"))))[0] == f"{tmp_path / 'cache'} off\n"


async def test_output_goes_through_a_pipe(kubectl: Path, tmp_path: Path) -> None:
    command = Command(("kubectl", "upper"), Command(("kubectl", "say", "loud")))
    assert await Runner(kubectl, tmp_path).run(command) == ("LOUD\n", "")


async def test_lines_of_standard_error_are_told_while_it_runs(kubectl: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    command = Command(("kubectl", "talk"), Command(("kubectl", "say", "yes")))
    out, err = await Runner(kubectl, tmp_path).run(command, heard=heard.append)
    assert (out, err) == ("yes\n", "one\ntwo\n")
    assert heard == ["aside", "one", "two"]


async def test_a_command_need_not_read_what_it_is_given(kubectl: Path, tmp_path: Path) -> None:
    command = Command(("kubectl", "deaf"), Command(("kubectl", "say", "x" * 100_000)))
    assert (await Runner(kubectl, tmp_path).run(command))[0] == "ok\n"


async def test_a_failure_tells_command_status_and_what_it_said(kubectl: Path, tmp_path: Path) -> None:
    runner = Runner(kubectl, tmp_path)
    with pytest.raises(CommandFailed, match="`kubectl fail 'a b'` ended with 3") as caught:
        await runner.run(Command(("kubectl", "fail", "a b")))
    assert caught.value.said == "first\nreason"
    with pytest.raises(CommandFailed) as caught:
        await runner.run(Command(("kubectl", "mute")))
    assert caught.value.said == "on stdout"
    with pytest.raises(CommandFailed, match="`kubectl fail`"):
        await runner.run(Command(("kubectl", "upper"), Command(("kubectl", "fail"))))


async def test_a_command_that_hangs_is_ended(kubectl: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="does not end within 0 s"):
        await Runner(kubectl, tmp_path).run(Command(("kubectl", "hang")), timeout=0.3)


def test_no_proxy_stands_between_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.delenv("no_proxy", raising=False)
    tour_commands.use_no_proxy()
    tour_commands.use_no_proxy()
    assert os.environ["NO_PROXY"] == "example.com,127.0.0.1"
    assert os.environ["no_proxy"] == "127.0.0.1"
