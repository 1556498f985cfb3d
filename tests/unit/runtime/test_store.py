"""The store: exact bytes, digests, indexes, memory. Excluded: who fills it (informer)."""

import gc
import random
import tracemalloc
from typing import Any

import orjson
import pytest

from bind_agent.runtime.store import Store, content_digest, digest_of, make_entry
from tests.fakes.scripted import thing

pytestmark = pytest.mark.unit


def by_color(obj: dict[str, Any]) -> list[str]:
    return [obj["spec"]["color"]]


def test_an_entry_says_what_the_object_says() -> None:
    obj = thing("a", 7, metadata={"generation": 3}, spec={"x": 1})
    entry = make_entry(obj)
    assert (entry.key, entry.uid, entry.resource_version, entry.generation) == ("ns/a", "uid-a", "7", 3)
    assert orjson.loads(entry.body) == obj
    assert len(entry.digest) == 16


def test_each_reader_gets_an_object_of_its_own() -> None:
    entry = make_entry(thing("a", 1, spec={"x": 1}))
    entry.object()["spec"]["x"] = 2
    assert entry.object()["spec"]["x"] == 1


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"resourceVersion": "9"}, True),
        ({"generation": 4}, True),
        ({"managedFields": [{"manager": "x"}]}, True),
        ({"labels": {"a": "b"}}, False),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
        ({"finalizers": ["x"]}, False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_the_digest_ignores_churn_only(change: dict[str, Any], same: bool) -> None:
    before = thing("a", 1, spec={"x": 1})
    after = thing("a", 1, spec={"x": 1}, metadata=change)
    assert (content_digest(before) == content_digest(after)) is same


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": {"c": 2, "d": 3}}) == digest_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest_of({"a": [1, 2]}) != digest_of({"a": [2, 1]})


def test_status_counts_as_content() -> None:
    assert content_digest(thing("a", 1, status={"ready": True})) != content_digest(thing("a", 1))


def test_put_and_remove_tell_what_was_there() -> None:
    store = Store()
    first, second = make_entry(thing("a", 1)), make_entry(thing("a", 2))
    assert store.put(first) is None
    assert store.put(second) is first
    assert store.get("ns/a") is second
    assert list(store) == ["ns/a"]
    assert "ns/a" in store
    assert store.remove("ns/a") is second
    assert store.remove("ns/a") is None
    assert len(store) == 0
    assert store.bytes == 0


def test_changes_count_content_only() -> None:
    store = Store()
    store.put(make_entry(thing("a", 1, spec={"x": 1})))
    assert store.changes == 1
    store.put(make_entry(thing("a", 2, spec={"x": 1})))
    assert store.changes == 1
    store.put(make_entry(thing("a", 3, spec={"x": 2})))
    store.remove("ns/a")
    store.remove("ns/a")
    assert store.changes == 3


def test_entries_may_be_removed_while_iterating() -> None:
    store = Store()
    for number in range(5):
        store.put(make_entry(thing(f"a{number}", 1)))
    for entry in store.entries():
        store.remove(entry.key)
    assert not store.keys()


def test_an_index_follows_changes() -> None:
    store = Store()
    store.add_index("color", by_color)
    for name in ("a", "b", "c"):
        store.put(make_entry(thing(name, 1, spec={"color": "red"})))
    assert store.by_index("color", "red") == {"ns/a", "ns/b", "ns/c"}
    store.put(make_entry(thing("a", 2, spec={"color": "blue"})))
    store.remove("ns/b")
    assert store.by_index("color", "red") == {"ns/c"}
    assert store.by_index("color", "blue") == {"ns/a"}
    assert store.by_index("color", "green") == frozenset()


def test_an_index_added_later_knows_what_is_there() -> None:
    store = Store()
    store.put(make_entry(thing("a", 1, spec={"color": "red"})))
    store.add_index("color", by_color)
    store.add_index("color", by_color)
    assert store.by_index("color", "red") == {"ns/a"}


def test_an_index_name_means_one_function() -> None:
    store = Store()
    store.add_index("color", by_color)
    with pytest.raises(ValueError, match="another function"):
        store.add_index("color", lambda _: [])
    with pytest.raises(KeyError):
        store.by_index("size", "1")


def test_an_object_that_breaks_an_index_function_is_kept_without_values() -> None:
    store = Store()
    store.add_index("color", by_color)
    store.put(make_entry(thing("a", 1)))
    store.put(make_entry(thing("b", 1, spec={"color": "red"})))
    assert "ns/a" in store
    assert store.by_index("color", "red") == {"ns/b"}
    store.put(make_entry(thing("a", 2, spec={"color": "red"})))
    assert store.by_index("color", "red") == {"ns/a", "ns/b"}


def test_unchanged_content_costs_the_indexes_nothing() -> None:
    calls = []
    store = Store()
    store.add_index("x", lambda obj: calls.append(obj) or ["v"])  # type: ignore[func-returns-value]
    store.put(make_entry(thing("a", 1)))
    store.put(make_entry(thing("a", 2)))
    assert len(calls) == 1
    assert store.by_index("x", "v") == {"ns/a"}


def test_memory_stays_below_the_ceiling() -> None:
    """2.2 KB per object of 1.5 KB, key and dictionary slot included, 10,000 objects."""
    draw = random.Random(1)

    def big(number: int) -> dict[str, Any]:
        noise = draw.randbytes(175).hex()
        spec = {"number": number, "noise": noise, "text": "same for all of them " * 45}
        return thing(
            f"object-{number:06}", number, namespace="namespace-with-a-name", uid=noise[:36], spec=spec
        )

    raws = [orjson.dumps(big(number)) for number in range(10_000)]
    assert 1_450 < sum(map(len, raws)) / len(raws) < 1_560
    store = Store()
    gc.collect()
    tracemalloc.start()
    try:
        for raw in raws:
            store.put(make_entry(orjson.loads(raw)))
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / len(store) < 2_200
    entry = store.get("namespace-with-a-name/object-000001")
    assert entry is not None
    assert not gc.is_tracked(entry)


def test_a_store_that_is_cleared_keeps_its_indexes() -> None:
    store = Store()
    store.add_index("kind", lambda obj: (obj["kind"],))
    entry = make_entry({"kind": "A", "metadata": {"name": "a", "uid": "u", "resourceVersion": "1"}})
    store.put(entry)
    before = store.changes
    store.clear()
    assert (len(store), store.bytes, store.by_index("kind", "A")) == (0, 0, frozenset())
    assert store.changes > before
    store.put(entry)
    assert store.by_index("kind", "A") == {"a"}
