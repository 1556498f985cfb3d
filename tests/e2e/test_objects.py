"""One bound object through its life: up, down, drift, deletion; what is not ours stays as it is."""

import asyncio
from collections.abc import Callable

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CORE_EVENTS, NAMESPACES, SERVICE_NAMESPACES
from tests.fakes.system import Service, System, eventually, holds, thing

pytestmark = pytest.mark.e2e

Unique = Callable[[str], str]


async def _made(system: System, service: Service, unique: Unique, **spec: object) -> str:
    namespace = await system.namespace(unique("objects"))
    key = f"{namespace}/one"
    await system.down.create(service.resource, thing(service.resource, key, **spec))
    await system.synced(service.resource, key)
    return key


async def _spec_is(system: System, service: Service, key: str, spec: Object) -> None:
    async def check() -> bool:
        copy = await system.copy(service.resource, key)
        assert copy is not None
        assert copy["spec"] == spec, copy["spec"]
        return True

    await eventually(check, what=f"spec of the copy of {key}")


async def test_content_goes_up_with_marks_and_the_source_is_guarded(
    system: System, databases: Service, unique: Unique
) -> None:
    key = await _made(system, databases, unique, size=1, tags=["a", "b"])
    namespace, name = meta.split_key(key)
    source = await system.down.get(databases.resource, name, namespace=namespace)
    copy = await system.synced(databases.resource, key)
    assert meta.has_finalizer(source, keys.SYNCER_FINALIZER)
    assert meta.annotation(source, keys.BOUND) == "true"
    assert copy["spec"] == {"size": 1, "tags": ["a", "b"]}
    assert meta.annotation(copy, keys.BOUND) == "true"
    assert meta.annotation(copy, keys.SOURCE) == key
    assert meta.annotation(copy, keys.SOURCE_UID) == meta.uid(source)
    assert not meta.finalizers(copy)


async def test_updates_and_removed_fields_go_up(system: System, databases: Service, unique: Unique) -> None:
    key = await _made(system, databases, unique, size=1, colour="red", deep={"a": 1, "b": 2})
    namespace, name = meta.split_key(key)
    patch = {"spec": {"size": 2, "colour": None, "deep": {"b": None}}}
    await system.down.merge_patch(databases.resource, name, patch, namespace=namespace)
    await _spec_is(system, databases, key, {"size": 2, "deep": {"a": 1}})


async def test_status_comes_down_and_cannot_be_forged(
    system: System, databases: Service, unique: Unique
) -> None:
    key = await _made(system, databases, unique, size=1)
    namespace, name = meta.split_key(key)
    there = await system.service_namespace(namespace)
    status = {"status": {"phase": "Ready", "endpoints": [{"host": "db"}]}}
    await system.up.merge_patch(databases.resource, name, status, namespace=there, subresource="status")

    async def arrived() -> bool:
        found = await system.down.get(databases.resource, name, namespace=namespace)
        return found.get("status") == status["status"]

    await eventually(arrived, what="status")
    forged = {"status": {"phase": "Forged"}}
    await system.down.merge_patch(databases.resource, name, forged, namespace=namespace, subresource="status")
    await eventually(arrived, what="status repaired")


async def test_drift_on_the_provider_is_repaired_and_what_it_adds_stays(
    system: System, databases: Service, unique: Unique
) -> None:
    key = await _made(system, databases, unique, size=1)
    namespace, name = meta.split_key(key)
    there = await system.service_namespace(namespace)
    await system.up.merge_patch(
        databases.resource, name, {"spec": {"size": 9, "resourceRef": "x-1"}}, namespace=there
    )
    await _spec_is(system, databases, key, {"size": 1, "resourceRef": "x-1"})


async def test_a_deleted_copy_is_made_again(system: System, databases: Service, unique: Unique) -> None:
    key = await _made(system, databases, unique, size=1)
    first = await system.synced(databases.resource, key)
    namespace, name = meta.split_key(key)
    there = await system.service_namespace(namespace)
    await system.up.delete(databases.resource, name, namespace=there)

    async def again() -> bool:
        copy = await system.copy(databases.resource, key)
        return copy is not None and meta.uid(copy) != meta.uid(first)

    await eventually(again, what="new copy")


async def test_deletion_waits_for_a_slow_provider(system: System, databases: Service, unique: Unique) -> None:
    key = await _made(system, databases, unique, size=1)
    namespace, name = meta.split_key(key)
    there = await system.service_namespace(namespace)
    slow = {"metadata": {"finalizers": ["example.com/slow"]}}
    await system.up.merge_patch(databases.resource, name, slow, namespace=there)
    await system.down.delete(databases.resource, name, namespace=namespace)

    async def deleting_there() -> bool:
        copy = await system.copy(databases.resource, key)
        return copy is not None and meta.is_deleting(copy)

    await eventually(deleting_there, what="copy being deleted")

    async def still_guarded() -> bool:
        found = await system.down.get_or_none(databases.resource, name, namespace=namespace)
        return found is not None and meta.has_finalizer(found, keys.SYNCER_FINALIZER)

    await holds(still_guarded, seconds=1.5)
    free = {"metadata": {"finalizers": None}}
    await system.up.merge_patch(databases.resource, name, free, namespace=there)
    await system.gone(system.down, databases.resource, key)
    assert await system.copy(databases.resource, key) is None


async def test_deletion_leaves_nothing(system: System, databases: Service, unique: Unique) -> None:
    key = await _made(system, databases, unique, size=1)
    namespace, name = meta.split_key(key)
    await system.down.delete(databases.resource, name, namespace=namespace)
    await system.gone(system.down, databases.resource, key)
    assert await system.copy(databases.resource, key) is None


async def test_an_object_forced_away_takes_its_copy_along(
    system: System, databases: Service, unique: Unique
) -> None:
    key = await _made(system, databases, unique, size=1)
    namespace, name = meta.split_key(key)
    free = {"metadata": {"finalizers": None}}
    await system.konnector.pause()
    try:
        await system.down.merge_patch(databases.resource, name, free, namespace=namespace)
        await system.down.delete(databases.resource, name, namespace=namespace)
    finally:
        await system.konnector.resume()

    async def absent() -> bool:
        return await system.copy(databases.resource, key) is None

    await eventually(absent, what="copy gone")


async def test_a_foreign_object_of_the_same_name_is_left_alone(
    system: System, databases: Service, unique: Unique
) -> None:
    key = await _made(system, databases, unique, size=1)
    namespace, _ = meta.split_key(key)
    there = await system.service_namespace(namespace)
    foreign = thing(databases.resource, f"{there}/taken", owner="somebody")
    # Both come up while the konnector looks away: neither was made from the other.
    await system.konnector.pause()
    try:
        before = await system.up.create(databases.resource, foreign)
        await system.down.create(databases.resource, thing(databases.resource, f"{namespace}/taken", size=5))
    finally:
        await system.konnector.resume()

    async def reported() -> bool:
        events = await system.down.list(CORE_EVENTS, namespace=namespace)
        return any(
            e["reason"] == "ObjectConflict" and e["involvedObject"]["name"] == "taken" for e in events.items
        )

    await eventually(reported, what="event about the conflict")
    after = await system.up.get(databases.resource, "taken", namespace=there)
    assert after == before
    await system.down.delete(databases.resource, "taken", namespace=namespace)
    await system.gone(system.down, databases.resource, f"{namespace}/taken")
    assert await system.up.get(databases.resource, "taken", namespace=there) == before
    # The positive twin: once the foreign object is gone, the name is free for ours.
    await system.up.delete(databases.resource, "taken", namespace=there)
    await system.down.create(databases.resource, thing(databases.resource, f"{namespace}/taken", size=6))
    await _spec_is(system, databases, f"{namespace}/taken", {"size": 6})


async def test_an_object_made_by_the_provider_is_adopted_only_where_the_binding_says_so(
    system: System, databases: Service, unique: Unique
) -> None:
    key = await _made(system, databases, unique, size=1)
    namespace, _ = meta.split_key(key)
    there = await system.service_namespace(namespace)
    before = await system.up.create(databases.resource, thing(databases.resource, f"{there}/given", size=3))

    async def left_alone() -> bool:
        assert await system.up.get(databases.resource, "given", namespace=there) == before
        return await system.down.get_or_none(databases.resource, "given", namespace=namespace) is None

    await holds(left_alone, seconds=1.5)
    # The command line sets the policy and gives the right to create that it takes.
    await system.bind(databases, f"--conflict-policy={keys.CONFLICT_ADOPT}")
    try:
        await _adopted(system, databases, namespace)
        await _adopted_by_go(system, databases, namespace, there)
    finally:
        await system.bind(databases, f"--conflict-policy={keys.CONFLICT_FAIL}")


async def _adopted(system: System, databases: Service, namespace: str) -> None:

    async def arrived() -> bool:
        found = await system.down.get_or_none(databases.resource, "given", namespace=namespace)
        return found is not None and meta.annotation(found, keys.BOUND) == "true"

    await eventually(arrived, what="adopted object")

    async def marked() -> bool:
        copy = await system.copy(databases.resource, f"{namespace}/given")
        return copy is not None and meta.annotation(copy, keys.BOUND) == "true"

    await eventually(marked, what="mark on the adopted copy")
    await system.down.delete(databases.resource, "given", namespace=namespace)
    await system.gone(system.down, databases.resource, f"{namespace}/given")
    assert await system.copy(databases.resource, f"{namespace}/given") is None


async def _adopted_by_go(system: System, databases: Service, namespace: str, there: str) -> None:
    """Go marks the consumer's object only; one that was being deleted when the konnectors changed is no exception."""
    await system.konnector.pause()
    try:
        for name in ("kept", "left"):
            await system.up.create(databases.resource, thing(databases.resource, f"{there}/{name}", size=1))
            source = _by_go(databases, f"{namespace}/{name}", size=2)
            source["metadata"]["finalizers"] = [keys.SYNCER_FINALIZER]
            await system.down.create(databases.resource, source)
        await system.down.delete(databases.resource, "left", namespace=namespace)
    finally:
        await system.konnector.resume()
    await _spec_is(system, databases, f"{namespace}/kept", {"size": 2})
    await system.gone(system.down, databases.resource, f"{namespace}/left")
    assert await system.copy(databases.resource, f"{namespace}/left") is None


async def test_what_a_go_konnector_made_is_taken_over_and_nothing_that_lives_is_deleted(
    system: System, databases: Service, unique: Unique
) -> None:
    namespace = unique("objects")
    record = {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_SERVICE_NAMESPACE,
        "metadata": {"name": namespace, "namespace": system.tenant},
        "spec": {},
    }
    await system.konnector.pause()
    try:
        made = await system.up.create(SERVICE_NAMESPACES, record)
        there = await system.service_namespace(namespace)
        # The clocks of two clusters differ: by the times of creation, the record is older than its namespace.
        await asyncio.sleep(2)
        await system.namespace(namespace)
        live = await system.up.create(databases.resource, _by_go(databases, f"{there}/one", size=1))
        await system.up.create(databases.resource, _by_go(databases, f"{there}/stale", size=9))
        source = _by_go(databases, f"{namespace}/one", size=1)
        source["metadata"]["finalizers"] = [keys.SYNCER_FINALIZER]
        await system.down.create(databases.resource, source)
    finally:
        await system.konnector.resume()

    async def taken_over() -> Object | None:
        copy = await system.copy(databases.resource, f"{namespace}/one")
        return copy if copy and meta.annotation(copy, keys.SOURCE) == f"{namespace}/one" else None

    copy = await eventually(taken_over, what="marks on the copy made by Go")
    assert meta.uid(copy) == meta.uid(live)
    # What has no source here is a copy of an earlier object: it goes, by itself.
    await system.gone(system.up, databases.resource, f"{there}/stale")
    after = await system.up.get(SERVICE_NAMESPACES, namespace, namespace=system.tenant)
    assert (meta.uid(after), meta.is_deleting(after)) == (meta.uid(made), False)
    assert meta.annotation(after, keys.SOURCE_UID)
    assert not meta.is_deleting(await system.up.get(NAMESPACES, there))


def _by_go(service: Service, key: str, **spec: object) -> Object:
    obj = thing(service.resource, key, **spec)
    obj["metadata"]["annotations"] = {keys.BOUND: "true"}
    return obj


async def test_a_deleted_namespace_takes_everything_along(
    system: System, databases: Service, unique: Unique
) -> None:
    key = await _made(system, databases, unique, size=1)
    namespace, _ = meta.split_key(key)
    there = await system.service_namespace(namespace)
    await system.down.delete(NAMESPACES, namespace)
    await system.gone(system.down, NAMESPACES, namespace, timeout=60)
    await system.gone(system.up, SERVICE_NAMESPACES, f"{system.tenant}/{namespace}", timeout=60)
    await system.gone(system.up, NAMESPACES, there, timeout=60)
    # Made again under the same name, it is a new namespace with a service namespace of its own.
    await system.namespace(namespace)
    await system.down.create(databases.resource, thing(databases.resource, f"{namespace}/one", size=2))
    await _spec_is(system, databases, f"{namespace}/one", {"size": 2})
