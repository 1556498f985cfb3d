"""Indexes kept step by step equal indexes made anew."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bind_agent.runtime.store import Store, content_digest, make_entry
from tests.fakes.scripted import thing

pytestmark = pytest.mark.property

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.one_of(st.none(), st.lists(st.sampled_from("xyz"), max_size=3)),
        st.integers(0, 3),
    ),
    max_size=30,
)


def tags(obj: dict[str, Any]) -> Iterable[str]:
    return obj["spec"]["tags"] if obj["spec"]["other"] != 3 else [obj["spec"]["missing"]]


@given(OPERATIONS)
def test_indexes_are_the_same_step_by_step_and_made_anew(
    operations: list[tuple[str, list[str] | None, int]],
) -> None:
    store = Store()
    store.add_index("tags", tags)
    for version, (name, values, other) in enumerate(operations):
        if values is None:
            store.remove(f"ns/{name}")
        else:
            store.put(make_entry(thing(name, version, spec={"tags": values, "other": other})))
    anew = Store()
    for entry in store.entries():
        anew.put(entry)
    anew.add_index("tags", tags)
    for value in "xyz":
        assert store.by_index("tags", value) == anew.by_index("tags", value)
    assert store.bytes == sum(len(entry.body) for entry in store.entries())
    assert set(store._indexes["tags"]._by_value) == {v for v in "xyz" if store.by_index("tags", v)}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["spec", "data", "status"]), JSON), JSON)
def test_the_digest_changes_with_content_and_with_nothing_else(content: dict[str, Any], extra: Any) -> None:
    obj = thing("a", 1, **content)
    churned = thing(
        "a", 2, metadata={"generation": 9, "managedFields": [{}]}, **dict(reversed(content.items()))
    )
    assert content_digest(obj) == content_digest(churned)
    assert content_digest({**obj, "more": extra}) != content_digest(obj)
    assert make_entry(obj).object() == obj
