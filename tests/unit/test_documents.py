"""What docs/compatibility.md and docs/threats.md say is shown by tests is: each test exists, each case has a row."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

TESTS = Path(__file__).resolve().parents[1]
DOCS = TESTS.parent / "docs"
NAMED = re.compile(r"`([\w/]+\.py)::([\w:]+)`")
PAGES = ("compatibility.md", "threats.md")

WEAKNESSES = [*(f"W-S{n}" for n in range(1, 15)), *(f"W-B{n}" for n in range(1, 20))]
ATTACKS = {
    "login and web flow": ("A49", "A50", "A51", "A52", "A53", "A54", "A56", "A58"),
    "CLI": ("A59", "A60"),
    "names and mappings": ("A30", "A33", "A34"),
    "what a provider can cost": ("A63", "A64", "A65"),
    "tenancy, credentials, state": ("A67", "A68", "A70", "A71", "A72", "A73", "A75"),
}


def rows(page: str) -> list[tuple[str, ...]]:
    """All rows of all tables of a page, without heads and rules."""
    found = []
    lines = [line.strip() for line in (DOCS / page).read_text(encoding="utf-8").splitlines()]
    for before, line in zip(["", *lines], lines, strict=False):
        cells = tuple(cell.strip() for cell in line.strip("|").split(" | "))
        if not line.startswith("|") or set(line) <= set("|- "):
            continue
        if not before.startswith("|"):
            continue  # the head
        found.append(cells)
    return found


@cache
def names(file: str) -> frozenset[str]:
    """The tests of a file: functions, classes and their methods; empty when there is no such file."""
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found.add(node.name)
            found |= {f"{node.name}::{one}" for one in _functions(node.body)}
    return frozenset(found | set(_functions(ast.parse(path.read_text(encoding="utf-8")).body)))


def _functions(body: list[ast.stmt]) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node.name for node in body if isinstance(node, kinds) and node.name.startswith("test")]


@pytest.mark.parametrize("page", PAGES)
def test_every_named_test_exists(page: str) -> None:
    named = {f"{file}::{name}" for file, name in NAMED.findall((DOCS / page).read_text(encoding="utf-8"))}
    assert len(named) > 50
    assert sorted(one for one in named if one.partition("::")[2] not in names(one.partition("::")[0])) == []


@pytest.mark.parametrize(("page", "columns"), [("compatibility.md", 1), ("threats.md", 2)])
def test_no_row_lacks_a_test(page: str, columns: int) -> None:
    found = rows(page)
    assert len(found) > 15
    for row in found:
        for cell in row[-columns:]:
            assert NAMED.search(cell), row
            left = NAMED.sub("", cell).replace("<br>", "").strip()
            assert left == "", f"the column of tests of {row[0]!r} says something else: {left!r}"


def test_every_weakness_has_one_row() -> None:
    found = [row[0] for row in rows("compatibility.md") if row[0].startswith("W-")]
    assert found == WEAKNESSES


@pytest.mark.parametrize("group", ATTACKS)
def test_every_attack_has_one_row(group: str) -> None:
    found = [row[0] for row in rows("threats.md")]
    assert [one for one in found if one in ATTACKS[group]] == list(ATTACKS[group])


def test_the_twin_is_another_test_than_the_attack() -> None:
    for row in rows("threats.md"):
        assert NAMED.findall(row[-1]) != NAMED.findall(row[-2]), row[0]


@pytest.mark.parametrize(
    "section",
    ["4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8", "4.9", "4.10", "5", "9.1 to 9.6", "13"],
)
def test_every_section_has_a_table(section: str) -> None:
    text = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    stated = {part for head in heads for part in re.findall(r"\[([^\]]+)\]", head)}
    assert section in {one.strip() for part in stated for one in part.split(",")}


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        ("## Login [4.4]", [*"12345", "5", *"6789"]),
        ("## Wire checklist [13]", [str(n) for n in range(1, 11)]),
    ],
)
def test_numbered_steps_are_complete(head: str, wanted: list[str]) -> None:
    text = (DOCS / "compatibility.md").read_text(encoding="utf-8").partition(head)[2].partition("\n## ")[0]
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == wanted


def test_every_subsection_of_control_plane_mode_and_of_gos_tests_has_rows() -> None:
    stated = {row[0] for row in rows("compatibility.md")}
    assert {f"5.{n}" for n in (1, 2, 4, 5, 6)} | {f"5.3.{n}" for n in range(1, 8)} <= stated
    assert {"9.1", "9.3", "9.4", "9.5.1", "9.5.2"} <= stated


FLAGS = (
    "kubeconfig",
    "namespace-prefix",
    "pretty-name",
    "consumer-scope",
    "cluster-scoped-isolation",
    "external-address",
    "external-ca-file",
    "external-server-name",
    "oidc-callback-url",
    "oidc-authorize-url",
    "cookie-signing-key",
    "cookie-encryption-key",
    "listen-address",
    "listen-ip",
    "listen-port",
    "tls-cert-file",
    "tls-key-file",
    "control-plane-mode",
    "testing-auto-select",
)


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_of_go_has_a_row(flag: str) -> None:
    text = (DOCS / "compatibility.md").read_text(encoding="utf-8").partition("## Flags")[2]
    assert f"`--{flag}`" in text.partition("\n## ")[0]
