"""Which versions an export offers (spec 3.3, W-B9): an existing one never loses any by what its template selects."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.backend import exports, names, versions
from bind_agent.backend.exports import Draft, Problem
from bind_agent.backend.templates import Choice
from tests.unit.backend.test_controller_plans import KIND, crd, template

pytestmark = pytest.mark.unit

CRD, TEMPLATE = names.VERSIONS_OF_CRD, names.VERSIONS_OF_TEMPLATE


def part(words: str) -> dict[str, Any]:
    """`v1 v2*`: two versions, the second one is stored."""
    listed = [{"name": word.rstrip("*"), "storage": word.endswith("*")} for word in words.split()]
    return {"group": "example.org", "versions": listed}


def said(spec: Any) -> str:
    return " ".join(one["name"] + "*" * one["storage"] for one in spec["versions"])


def export_of(words: str, *, mark: str = "", noted: bool = True) -> Object:
    marks = {names.TEMPLATE: "default/t"} if noted else {}
    return {
        "metadata": {"annotations": {**marks, **({names.VERSIONS: mark} if mark else {})}},
        "spec": part(words),
    }


@pytest.mark.parametrize(
    ("served", "selected", "offered", "mark"),
    [("v1* v2", "", "v1* v2", ""), ("v1* v2", "v1", "v1*", TEMPLATE), ("v1* v2", "v2", "v2*", TEMPLATE)],
)
def test_a_new_export(served: str, selected: str, offered: str, mark: str) -> None:
    found = versions.of_new(part(served), selected)
    assert (said(found.part), found.mark) == (offered, mark)


@pytest.mark.parametrize(
    ("served", "selected", "before", "after"),
    [
        ("v1* v2", "v1", export_of("v1* v2"), ("v1* v2", TEMPLATE)),
        ("v1* v2 v3", "v1", export_of("v1* v2"), ("v1* v2", TEMPLATE)),
        ("v1 v2*", "v1", export_of("v1*", mark=TEMPLATE), ("v1*", TEMPLATE)),
        ("v1* v2", "v2", export_of("v1*", mark=TEMPLATE), ("v1* v2", TEMPLATE)),
        ("v2 v1*", "v2", export_of("v1* v3"), ("v2 v1*", TEMPLATE)),
        ("v1 v2 v3*", "v2", export_of("v1*", mark=TEMPLATE), ("v1 v2*", TEMPLATE)),
        ("v1 v2 v3*", "v9", export_of("v1 v2*", mark=TEMPLATE), ("v1 v2*", TEMPLATE)),
        ("v1 v2 v3*", "v9", export_of("v1 v2", mark=TEMPLATE), ("v1* v2", TEMPLATE)),
        ("v2*", "v1", export_of("v1*", mark=TEMPLATE), ("v2*", TEMPLATE)),
        ("v1* v2", "", export_of("v1*", mark=TEMPLATE), ("v1* v2", "")),
        ("v1* v2", "v9", export_of("v1*"), ("v1* v2", "")),
        ("v1* v2", "v1", export_of("v1*", noted=False), ("v1* v2", CRD)),
        ("v1* v2 v3", "v1", export_of("v1* v2", mark=CRD), ("v1* v2 v3", CRD)),
        ("v1* v2", "v1beta1", export_of("v1*", noted=False), ("v1* v2", CRD)),
        (
            "v1* v2",
            "v1",
            {"metadata": {"annotations": {names.TEMPLATE: "default/t"}}, "spec": 1},
            ("v1*", TEMPLATE),
        ),
    ],
    ids=[
        "selected-later",
        "new-in-the-crd-stays-out",
        "narrowed-stays-so",
        "another-one-selected",
        "order-of-the-crd-and-what-it-serves-no-more",
        "the-selected-one-is-stored",
        "narrowed-and-none-served-selected",
        "some-version-is-stored",
        "nothing-is-left",
        "selected-no-more",
        "follows-while-none-served-is-selected",
        "made-by-go",
        "taken-over-from-go",
        "made-by-go-none-served",
        "malformed",
    ],
)
def test_an_existing_export(served: str, selected: str, before: Object, after: tuple[str, str]) -> None:
    found = versions.of_existing(part(served), selected, before)
    assert (said(found.part), found.mark) == after


NAMES = ("v1", "v2", "v3")


@st.composite
def offers(draw: st.DrawFn) -> str:
    chosen: Sequence[str] = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    stored = draw(st.sampled_from(chosen))
    return " ".join(one + "*" * (one == stored) for one in chosen)


@given(
    now=offers(),
    before=offers(),
    selected=st.sampled_from(("", *NAMES, "v9")),
    mark=st.sampled_from(("", CRD, TEMPLATE)),
    noted=st.booleans(),
)
def test_whatever_there_was(now: str, before: str, selected: str, mark: str, *, noted: bool) -> None:
    """No version is lost that is still served, exactly one is stored, and the next look changes nothing."""
    old = export_of(before, mark=mark, noted=noted)
    found = versions.of_existing(part(now), selected, old)
    listed = found.part["versions"]
    kept = [one["name"] for one in listed]
    served = [one["name"] for one in part(now)["versions"]]
    assert {one["name"] for one in old["spec"]["versions"]} & set(served) <= set(kept)
    assert kept == [one for one in served if one in kept]
    assert [one["storage"] for one in listed].count(True) == 1
    if selected in served:
        assert selected in kept
    again = export_of(said(found.part), mark=found.mark)
    assert versions.of_existing(part(now), selected, again) == found


def drafted(version: str = "") -> Draft:
    chosen = Choice(template(**({"selector": {"version": version}} if version else {})))
    found = exports.draft(KIND, crd(), chosen, exports.Policy())
    existing = found.existing if isinstance(found, Problem) else found
    assert existing is not None
    return existing


class TestWrites:
    """What is written once is not written again."""

    def settled(self, export: Object, wanted: Draft) -> Object:
        changed = exports.revised(export, wanted)
        assert isinstance(changed, dict)
        assert exports.revised(changed, wanted) is None
        return changed

    def test_a_selection_on_an_export_with_all_versions_changes_only_a_mark(self) -> None:
        export = exports.new_export("ns", drafted())
        changed = self.settled(export, drafted("v1"))
        assert changed["spec"] == export["spec"]
        assert meta.annotations(changed).items() - meta.annotations(export).items() == {
            (names.VERSIONS, TEMPLATE)
        }

    def test_go_leaves_no_mark(self) -> None:
        export = exports.new_export("ns", drafted())
        export["metadata"]["annotations"] = {"klutch.anynines.com/source-spec-hash": "go"}
        changed = self.settled(export, drafted("v1beta1"))
        assert changed["spec"] == export["spec"]
        assert meta.annotation(changed, names.VERSIONS) == CRD
        assert exports.revised(changed, drafted("v1")) is None

    def test_the_hash_is_of_what_is_offered(self) -> None:
        narrowed = exports.new_export("ns", drafted("v1"))
        widened = self.settled(narrowed, drafted("v2"))
        whole = exports.new_export("ns", drafted())
        hashes = [
            meta.annotation(one, "klutch.anynines.com/source-spec-hash") for one in (narrowed, widened, whole)
        ]
        assert hashes[1] == hashes[2] != hashes[0]
