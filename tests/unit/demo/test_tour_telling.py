"""The story as people and programs get it."""

import io
import json
import re

import pytest

from bind_agent.devcluster.demo import tour_telling
from bind_agent.devcluster.demo.tour_telling import Failure, Narrator

pytestmark = pytest.mark.unit


def narrator(*, colour: bool = False) -> tuple[Narrator, io.StringIO]:
    stream = io.StringIO()
    return Narrator(stream, steps=2, colour=colour), stream


def test_a_step_tells_title_commands_outcome_and_time() -> None:
    telling, stream = narrator()
    with telling.step("bind", "Bind the API"):
        telling.command("kubectl bind \\\n  apiservice")
        telling.outcome("NAME   READY\nx      True\n")
        telling.fact("ready", value=True)
    assert re.sub(r"\d\.\d s", "N s", stream.getvalue()) == (
        "[ 1/2] Bind the API\n"
        "        $ kubectl bind \\\n"
        "            apiservice\n"
        "        NAME   READY\n"
        "        x      True\n"
        "        N s\n"
    )
    (step,) = telling.summary.steps
    assert (step.number, step.name, step.ok) == (1, "bind", True)
    assert step.outcome == ["NAME   READY", "x      True"]
    assert step.facts == {"ready": True}


def test_a_step_that_fails_has_its_time_and_is_not_ok() -> None:
    telling, stream = narrator()
    with pytest.raises(RuntimeError), telling.step("bind", "Bind"):
        raise RuntimeError
    assert telling.summary.steps[0].ok is False
    assert stream.getvalue().endswith(" s\n")


def test_colours_only_where_they_are_understood() -> None:
    for colour in (True, False):
        telling, stream = narrator(colour=colour)
        with telling.step("a", "A"):
            pass
        assert ("\x1b[" in stream.getvalue()) is colour


def test_a_failure_ends_with_the_next_step() -> None:
    telling, stream = narrator()
    with telling.step("bind", "Bind"):
        pass
    telling.failed(Failure("bind", "no answer", {"konnector": "line 1\nline 2"}, "try again"))
    assert stream.getvalue().endswith(
        "\nfailed in step 1 (bind)\nno answer\n"
        "\nthe log of konnector ends with:\n  line 1\n  line 2\n"
        "\nnext: try again\n"
    )
    assert telling.summary.ok is False
    data = telling.summary.as_data()
    assert json.loads(json.dumps(data)) == data
    assert data["failure"] == {
        "step": "bind",
        "reason": "no answer",
        "logs": {"konnector": "line 1\nline 2"},
        "nextStep": "try again",
    }


def test_summary_for_people_and_programs() -> None:
    telling, _ = narrator()
    with telling.step("a", "First"):
        pass
    with telling.step("b", "The second"):
        pass
    summary = telling.summary
    summary.steps[0].seconds, summary.steps[1].seconds, summary.seconds = 1.25, 12.0, 13.254
    assert tour_telling.table(summary).split("\n") == [
        "   1  First          1.2 s",
        "   2  The second    12.0 s",
        "      total         13.3 s",
    ]
    data = summary.as_data()
    assert (data["ok"], data["seconds"], data["failure"], data["interrupted"]) == (True, 13.25, None, False)
    assert [(step["number"], step["name"], step["seconds"]) for step in data["steps"]] == [
        (1, "a", 1.25),
        (2, "b", 12.0),
    ]


def test_who_interrupts_gets_no_success() -> None:
    telling, _ = narrator()
    telling.summary.interrupted = True
    assert telling.summary.ok is False


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert (
        tour_telling.columns([(1, "lamp"), (22, "x")], header=("id", "item"))
        == "id   item\n1    lamp\n22   x"
    )
    assert tour_telling.columns([]) == ""
