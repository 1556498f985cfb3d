"""The operators' view: paging, searching, states of templates. Excluded: its HTML, who is an operator."""

from typing import Any

import pytest

from bind_agent.backend.exports import Policy
from bind_agent.backend.pages import admin
from bind_agent.backend.pages.condition_view import Tone
from tests.fakes import pages_world as world

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("total", "asked", "number", "pages", "first", "last"),
    [(0, 1, 1, 1, 0, 0), (50, 1, 1, 1, 1, 50), (51, 2, 2, 2, 51, 51), (120, 99, 3, 3, 101, 120), (3, -4, 1, 1, 1, 3)],
)  # fmt: skip
def test_pages(total: int, asked: int, number: int, pages: int, first: int, last: int) -> None:
    page = admin.cut([str(n) for n in range(total)], asked)
    assert (page.number, page.pages, page.total) == (number, pages, total)
    assert (page.first if total else 0, page.last) == (first, last)


def test_what_is_gone_meanwhile_is_left_out() -> None:
    page = admin.each(admin.cut(["a", "b"], 1), lambda key: None if key == "a" else key.upper())
    assert (page.items, page.total) == (["B"], 2)


@pytest.mark.parametrize(
    ("text", "number"), [("", 1), ("3", 3), ("-1", 1), ("٣", 1), ("9" * 30, 1), ("0", 0)]
)
def test_page_numbers(text: str, number: int) -> None:
    assert admin.page_number(text) == number


def test_search_needs_every_word() -> None:
    texts = {"b": "shop Anna", "a": "SHOP bob"}
    assert admin.found(texts, "shop") == ["a", "b"]
    assert admin.found(texts, "anna shop") == ["b"]


def rows(templates: list[Any], crds: Any) -> list[admin.TemplateRow]:
    return admin.template_rows(templates, crds.get, policy=Policy())


def test_templates_with_what_is_wrong_with_them() -> None:
    found, crds = world.catalogue()
    going = world.template("gone", "x.example")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found += [
        world.template("buckets", "storage.northwind.example", name="second"),
        world.template("nowhere", "x.example"),
        world.template("certificates2", "pki.northwind.example", world.claim("pods")),
        going,
    ]
    crds["certificates2.pki.northwind.example"] = world.crd("certificates2", "pki.northwind.example", "C2")
    states = {
        (row.api.partition(".")[0], row.name): (row.state.word, row.usable) for row in rows(found, crds)
    }
    assert states["postgresinstances", "default/postgresinstances"] == ("offered", True)
    assert states["buckets", "default/second"] == ("ambiguous", False)
    assert states["nowhere", "default/nowhere"] == ("no CRD", False)
    assert states["certificates2", "default/certificates2"] == ("refused", False)
    assert states["dnszones", "default/dnszones"] == ("never exported", False)
    assert states["gone", "default/gone"] == ("being removed", False)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (None, "everyone"),
        ({}, "nobody"),
        ({"users": ["anna"]}, "user anna"),
        ({"users": ["a", "b"], "groups": ["g"]}, "users a, b; group g"),
        ({"groups": [f"g{n}" for n in range(9)]}, "groups g0, g1, g2, g3, g4 and 4 more"),
        ("nonsense", "nobody"),
        ({"users": ["x\u202ey", 7]}, "user x y"),
    ],
)
def test_who_may_bind(rule: Any, words: str) -> None:
    template = world.template("a", "b.example")
    if rule is not None:
        template["spec"]["allowed"] = rule
    assert admin.allowed_words(template) == words


def test_rows_of_exports_and_mappings() -> None:
    good, bad, *_ = (admin.export_row(one, world.NOW) for one in world.exports("ns"))
    assert (good.state.tone, bad.state.word) == (Tone.GOOD, "SchemaUpdateHeld")
    assert good.since is not None
    going = world.exports("ns")[0]
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert admin.export_row(going, world.NOW).state.word == "being removed"
    assert admin.mapping({"metadata": {"name": "a"}, "status": {"namespace": "ns-a"}}) == ("a", "ns-a")
    assert admin.mapping({"metadata": {"name": "a"}, "status": 3}) == ("a", "")
