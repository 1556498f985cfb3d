"""Foreign text is harmless, tables line up, progress fits its stream."""

import io
import json
import time

import pytest
import yaml

from cli.output import (
    Progress,
    inert,
    qualified_name,
    render_columns,
    render_object,
    render_server_tables,
    with_cell,
    without_managed_fields,
)

pytestmark = pytest.mark.unit


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("Überblick 概要", "Überblick 概要"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("line\nbreak\ttab\r", "line\\x0abreak\\x09tab\\x0d"),
        ("zero\u200bwidth \u2028", "zero\\u200bwidth \\u2028"),
        ("tag \U000e0041", "tag \\U000e0041"),
        (42, "42"),
    ],
)
def test_inert(text: object, shown: str) -> None:
    assert inert(text) == shown


def test_long_texts_are_cut() -> None:
    assert inert("x" * 50, limit=10) == "x" * 10 + "…"


def test_columns_are_padded_and_harmless() -> None:
    table = render_columns(("NAME", "AGE"), [("a-long-name", None), ("\x1b[2J", 3)])
    assert table == "NAME          AGE\na-long-name\n\\x1b[2J       3\n"


def test_server_tables_share_one_header_and_hide_wide_columns() -> None:
    def table(name: str) -> dict[str, object]:
        columns = [{"name": "Name"}, {"name": "Ready", "priority": 1}, {"name": "Age", "priority": 0}]
        return {"columnDefinitions": columns, "rows": [{"cells": [name, "True", "1s"]}, {"cells": [name]}]}

    assert render_server_tables([table("a"), table("b")]).splitlines() == [
        "NAME   AGE",
        "a      1s",
        "a",
        "b      1s",
        "b",
    ]
    assert render_server_tables([table("a")], wide=True).splitlines()[0] == "NAME   READY   AGE"
    assert render_server_tables([]) == ""


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_objects_for_programs(form: str) -> None:
    one, many = {"kind": "A", "text": "\x1b\u202e"}, [{"kind": "A"}, {"kind": "B"}]
    text = render_object(one, form)
    assert "\x1b" not in text
    assert "\u202e" not in text
    if form == "json":
        assert json.loads(text) == one
        assert json.loads(render_object(many, form))["items"] == many
    else:
        assert yaml.safe_load(text) == one
        assert list(yaml.safe_load_all(render_object(many, form))) == many


def test_progress_in_a_pipeline_says_each_state_once() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    for state in ("waiting", "waiting", "still waiting"):
        progress.waiting(state, since=time.monotonic())
    progress.step("done")
    progress.detail("hidden")
    assert stream.getvalue() == "waiting\nstill waiting\ndone\n"


def test_progress_on_a_terminal_refreshes_one_line() -> None:
    stream = Terminal()
    progress = Progress(stream, verbosity=1)
    progress.waiting("waiting", since=time.monotonic())
    progress.waiting("waiting", since=time.monotonic())
    progress.step("done")
    progress.detail("shown")
    assert stream.getvalue() == "\r\x1b[2Kwaiting (0s)" * 2 + "\ndone\n  shown\n"


def test_quiet_progress_keeps_notes() -> None:
    stream = io.StringIO()
    progress = Progress(stream, quiet=True)
    progress.waiting("waiting", since=0.0)
    progress.step("step")
    progress.note("look")
    assert stream.getvalue() == "note: look\n"


def test_a_cell_that_the_server_cut_short_is_replaced() -> None:
    columns = [{"name": "Name"}, {"name": "Resources", "priority": 1}]
    table = {"columnDefinitions": columns, "rows": [{"cells": ["a", "secrets"]}]}
    text = render_server_tables([with_cell(table, "Resources", "configmaps,secrets")], wide=True)
    assert text.splitlines()[1].split() == ["a", "configmaps,secrets"]
    assert table["rows"] == [{"cells": ["a", "secrets"]}]
    # An app cluster of another version may have other columns, or none.
    assert with_cell(table, "Others", "x") == table
    assert with_cell({}, "Resources", "x") == {}


def test_names_are_those_of_kubectl() -> None:
    one = {"apiVersion": "klutch.anynines.com/v1alpha1", "kind": "APIServiceBinding"}
    assert qualified_name(one, "x") == "apiservicebinding.klutch.anynines.com/x"
    assert qualified_name({"apiVersion": "v1", "kind": "Secret"}, "\x1b") == "secret/\\x1b"


def test_field_managers_are_left_out() -> None:
    one = {"kind": "A", "metadata": {"name": "x", "managedFields": [1]}}
    assert without_managed_fields(one) == {"kind": "A", "metadata": {"name": "x"}}
    assert "managedFields" in one["metadata"]
    for plain in ({"kind": "A"}, {"metadata": {"name": "x"}}, {"metadata": None}):
        assert without_managed_fields(plain) == plain
