"""Schemas of exports are kept once. Excluded: what follows from them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bind_agent.backend.schemas import SharedSchemas

pytestmark = pytest.mark.unit

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def export(name: str, *schemas: Any) -> dict[str, Any]:
    versions = [{"name": f"v{n}", "schema": one} for n, one in enumerate(schemas)]
    return {"metadata": {"name": name, "managedFields": [1]}, "spec": {"group": "g", "versions": versions}}


@given(st.lists(JSON, max_size=3))
def test_what_was_taken_out_comes_back(schemas: list[Any]) -> None:
    shared, given_ = SharedSchemas(), export("a", *schemas)
    whole = shared.whole(shared.without(given_))
    assert whole == {**given_, "metadata": {"name": "a"}}


def test_equal_ones_are_kept_once_and_different_ones_tell_exports_apart() -> None:
    shared, large = SharedSchemas(), {"openAPIV3Schema": {"description": "x" * 10_000}}
    kept = [shared.without(export(f"e{n}", large)) for n in range(100)]
    assert len(shared) == 1
    assert max(len(str(one)) for one in kept) < 500
    other = shared.without(export("e0", {"openAPIV3Schema": {"description": "y"}}))
    assert other != kept[0]
    assert shared.whole(other)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] == "y"


@pytest.mark.parametrize("spec", [None, [], "x", {"versions": None}, {"versions": ["x", {"schema": 5}, {}]}])
def test_malformed_ones_stay_as_they_are(spec: Any) -> None:
    shared = SharedSchemas()
    assert shared.whole(shared.without({"spec": spec})) == {"spec": spec}
