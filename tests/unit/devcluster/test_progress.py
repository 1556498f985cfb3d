"""What is said while programs are prepared."""

import io
import time

import pytest

from bind_agent.devcluster.progress import Percentage, Progress

pytestmark = pytest.mark.unit


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "interval", 0.01)


@pytest.mark.usefixtures("hasty")
def test_a_step_shows_its_elapsed_time_line_by_line() -> None:
    output = io.StringIO()
    with Progress(output).ticking("building"):
        time.sleep(0.1)
    lines = output.getvalue().splitlines()
    assert lines[0] == "building ..."
    assert lines[1] == "building ... 0 s"
    assert lines[-1] == "building: done in 0 s"


@pytest.mark.usefixtures("hasty")
def test_a_terminal_shows_one_line_that_changes() -> None:
    output = Terminal()
    progress = Progress(output)
    with progress.ticking("building"):
        time.sleep(0.05)
    progress.say("next")
    assert output.getvalue().count("\n") == 2
    assert "\r\x1b[Kbuilding: done in 0 s\nnext\n" in output.getvalue()


def test_a_step_that_fails_is_not_done() -> None:
    output = io.StringIO()
    with pytest.raises(RuntimeError), Progress(output).ticking("building"):
        raise RuntimeError
    assert "done" not in output.getvalue()


@pytest.mark.usefixtures("hasty")
def test_a_transfer_shows_its_share() -> None:
    output = io.StringIO()
    with Percentage(Progress(output), "fetching", 4 << 20) as meter:
        time.sleep(0.02)
        meter.add(1 << 20)
    assert output.getvalue().splitlines() == [
        "fetching:   0 % of 4 MiB",
        "fetching:  25 % of 4 MiB",
        "fetching:  25 % of 4 MiB",
    ]


def test_a_transfer_that_fails_says_so() -> None:
    output = io.StringIO()

    def broken_off() -> None:
        with Percentage(Progress(output), "fetching", None) as meter:
            meter.add(3 << 20)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert output.getvalue().splitlines()[-1] == "fetching: 3 MiB, given up"


def test_silence() -> None:
    progress = Progress(None)
    progress.say("nothing")
    with progress.ticking("nothing"):
        pass


def test_people_look_often_and_log_files_grow_slowly() -> None:
    assert Progress(Terminal()).interval < Progress(io.StringIO()).interval
