"""Informers on real API servers: lists, watches, restarts, compacted history, rights, kinds that go."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.aio.backoff import Policy
from bind_agent.api.resource import CONFIGMAPS, CORE_EVENTS, CRDS, ROLEBINDINGS, ROLES, Resource
from bind_agent.devcluster import Cluster, Playground
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Conflict, Forbidden, NotFound
from bind_agent.obs import metrics
from bind_agent.runtime import course, reflector
from bind_agent.runtime.budget import Budget, OverBudget
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.queue import LOW, NORMAL
from bind_agent.runtime.status import write_status
from bind_agent.runtime.store import Entry
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.eventually import eventually
from tests.fakes.following import following, known, truth

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def config_map(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app": "test"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def make(client: Client, namespace: str, *names: str) -> None:
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(client.create(CONFIGMAPS, config_map(name), namespace=namespace))


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "paged"])
async def test_what_does_not_fit_into_memory_is_not_followed_and_others_are(
    client: Client, namespace: str, streaming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "CROWDED", Policy(first=0.5, cap=1.0))
    budget = Budget(100_000, remedy="raise it")
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(
                client.create(CONFIGMAPS, config_map(f"c{number}", text="x" * 10_000), namespace=namespace)
            )
    large, small = (
        Informer(client, kind, namespace=namespace, streaming=streaming, budget=budget)
        for kind in (CONFIGMAPS, ROLES)
    )
    role = {"metadata": {"name": "r"}, "rules": []}
    async with following(large, synced=False) as told:
        await eventually(lambda: isinstance(large.last_error, OverBudget))
        assert not large.has_synced
        async with following(small):
            await client.create(ROLES, role, namespace=namespace)
            await eventually(lambda: len(small.store) == 1)
            assert small.last_error is None
            for number in range(15):
                await client.delete(CONFIGMAPS, f"c{number}", namespace=namespace)
            await eventually(lambda: large.has_synced)
            assert large.last_error is None
            assert known(large) == await truth(client, large)
            # One too many: what is known stays, and what goes makes room again.
            told.log.clear()
            for number in range(5):
                await client.create(
                    CONFIGMAPS, config_map(f"late{number}", text="x" * 10_000), namespace=namespace
                )
            await eventually(lambda: isinstance(large.last_error, OverBudget))
            assert large.has_synced
            assert not [line for line in told.log if line.startswith("DELETED")]
            for number in range(5):
                await client.delete(CONFIGMAPS, f"late{number}", namespace=namespace)
            await eventually(lambda: large.last_error is None)
            assert known(large) == await truth(client, large)
            assert budget.used <= budget.limit


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "paged"])
async def test_list_watch_and_selectors(client: Client, namespace: str, streaming: bool) -> None:
    await make(client, namespace, *(f"c{number:03}" for number in range(120)))
    informer = Informer(
        client,
        CONFIGMAPS,
        namespace=namespace,
        label_selector="app=test",
        page_size=50,
        streaming=streaming,
    )
    async with following(informer) as told:
        assert len(informer.store) == 120
        assert set(told.priorities) == {LOW}
        told.log.clear()
        told.priorities.clear()
        await client.create(CONFIGMAPS, config_map("new"), namespace=namespace)
        await client.merge_patch(CONFIGMAPS, "new", {"data": {"x": "1"}}, namespace=namespace)
        # Leaving the selector is a deletion for who follows it.
        unlabelled = {"metadata": {"labels": None}}
        await client.merge_patch(CONFIGMAPS, "c000", unlabelled, namespace=namespace)
        await client.delete(CONFIGMAPS, "c001", namespace=namespace)
        await eventually(lambda: len(told.log) == 4)
        assert told.log == [
            f"ADDED {namespace}/new",
            f"MODIFIED {namespace}/new",
            f"DELETED {namespace}/c000",
            f"DELETED {namespace}/c001",
        ]
        assert set(told.priorities) == {NORMAL}
        assert known(informer) == await truth(client, informer, label_selector="app=test")
        assert informer.lists == 1
        entry = informer.store.get(f"{namespace}/new")
        assert entry is not None
        obj = entry.object()
        assert obj["apiVersion"] == "v1"
        assert obj["data"] == {"x": "1"}
        assert "managedFields" not in obj["metadata"]


async def test_a_converged_informer_is_quiet(provider: Cluster, namespace: str) -> None:
    async with Client.open(from_kubeconfig(provider.kubeconfig), user_agent="quiet-informer") as own:
        informer = Informer(own, CONFIGMAPS, namespace=namespace)
        mark = provider.audit_mark()
        async with following(informer):
            await asyncio.sleep(3)
        requests = [e for e in provider.audit_requests(since=mark) if e.user_agent == "quiet-informer"]
        assert [request.verb for request in requests] == ["watch"]


def expirations() -> int:
    """How often a server has said so far that it does not know the history any more."""
    samples = [one for family in metrics.REGISTRY.collect() for one in family.samples]
    return int(
        sum(
            one.value
            for one in samples
            if one.name == "klutch_bind_watch_restarts_total" and "expired" in one.labels.values()
        )
    )


async def test_a_server_killed_in_the_middle_of_a_watch_is_resumed_without_a_list(
    fragile: Cluster, fragile_client: Client
) -> None:
    client = fragile_client
    informer = Informer(client, CONFIGMAPS, namespace="default")
    async with following(informer) as told:
        await make(client, "default", "before")
        await eventually(lambda: "ADDED default/before" in told.log)
        expired = expirations()
        await fragile.apiserver.kill()
        await eventually(lambda: informer.last_error is not None)
        await fragile.apiserver.start()
        await fragile.wait_ready()
        await make(client, "default", "after")
        await client.delete(CONFIGMAPS, "before", namespace="default")
        await eventually(lambda: "DELETED default/before" in told.log, seconds=40)
        assert informer.last_error is None
        # A server that starts knows no history from before; if anything at all was written meanwhile it says so.
        assert informer.lists == 1 + expirations() - expired
        assert known(informer) == await truth(client, informer)


async def test_a_server_that_hangs_is_noticed(
    fragile: Cluster, fragile_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "SILENCE", 2.0)
    client = fragile_client
    informer = Informer(client, CONFIGMAPS, namespace="default")
    async with ChaosProxy("127.0.0.1", fragile.port) as proxy:
        config = from_kubeconfig(fragile.kubeconfig_text().replace(f":{fragile.port}", f":{proxy.port}"))
        async with Client.open(config, user_agent="behind-proxy") as behind:
            informer = Informer(behind, CONFIGMAPS, namespace="default")
            async with following(informer) as told:
                # From the second connection on the limit of silence holds, as bookmarks were seen.
                proxy.break_connections()
                await eventually(lambda: informer.last_error is not None or proxy.connections > 2)
                await make(client, "default", "first")
                await eventually(lambda: "ADDED default/first" in told.log)
                proxy.hang()
                await make(client, "default", "unheard")
                await eventually(lambda: informer.last_error is not None)
                proxy.flow()
                await eventually(lambda: "ADDED default/unheard" in told.log)


async def test_compacted_history_leads_to_a_list_that_tells_the_difference(
    clusters: Playground, provider: Cluster, client: Client, namespace: str
) -> None:
    def happening(name: str) -> dict[str, Any]:
        # A kind without a watch cache, so that etcd itself is asked for its history.
        involved = {"kind": "ConfigMap", "name": "c", "namespace": namespace}
        return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": involved}

    for name in ("kept", "changed", "dropped"):
        await client.create(CORE_EVENTS, happening(name), namespace=namespace)
    async with ChaosProxy("127.0.0.1", provider.port) as proxy:
        config = from_kubeconfig(provider.kubeconfig_text().replace(f":{provider.port}", f":{proxy.port}"))
        async with Client.open(config, user_agent="behind-proxy") as behind:
            informer = Informer(behind, CORE_EVENTS, namespace=namespace)
            async with following(informer) as told:
                assert len(informer.store) == 3
                told.log.clear()
                proxy.hang()
                proxy.break_connections()
                await client.merge_patch(CORE_EVENTS, "changed", {"message": "x"}, namespace=namespace)
                await client.delete(CORE_EVENTS, "dropped", namespace=namespace)
                await client.create(CORE_EVENTS, happening("new"), namespace=namespace)
                # Two revisions must lie between, or the one to resume at is still there.
                await make(client, namespace, "x", "y")
                await clusters.etcd.compact()
                proxy.flow()
                await eventually(lambda: informer.lists == 2, seconds=60)
                assert sorted(told.log) == [
                    f"ADDED {namespace}/new",
                    f"DELETED {namespace}/dropped",
                    f"MODIFIED {namespace}/changed",
                ]
                assert set(told.priorities[-3:]) == {NORMAL}
                assert known(informer) == await truth(client, informer)


async def test_missing_rights_are_told_and_granted_rights_used(
    provider: Cluster, client: Client, namespace: str
) -> None:
    user = f"reader-{namespace}"
    config = from_kubeconfig(provider.user_kubeconfig(user, []))
    async with Client.open(config, user_agent="reader") as reader:
        informer = Informer(reader, CONFIGMAPS, namespace=namespace)
        async with following(informer, synced=False):
            await eventually(lambda: isinstance(informer.last_error, Forbidden))
            assert not informer.has_synced
            rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}]
            meta = {"name": "reader"}
            group = {"apiVersion": ROLES.api_version}
            await client.create(
                ROLES, {**group, "kind": "Role", "metadata": meta, "rules": rules}, namespace=namespace
            )
            binding = {
                **group,
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": {"apiGroup": ROLES.group, "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "User", "name": user, "apiGroup": ROLES.group}],
            }
            await client.create(ROLEBINDINGS, binding, namespace=namespace)
            await eventually(lambda: informer.nudge() or informer.has_synced, every=0.3)
            assert informer.last_error is None


def crd(group: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


async def test_a_kind_that_comes_goes_and_comes_back(
    client: Client, namespace: str, unique: Callable[[str], str]
) -> None:
    group = f"{unique('g')}.example"
    widgets = Resource(group, "v1", "widgets", kind="Widget")
    body = {"apiVersion": widgets.api_version, "kind": "Widget", "metadata": {"name": "w"}}

    async def create() -> bool:
        try:
            await client.create(widgets, body, namespace=namespace)
        except NotFound:
            return False
        return True

    informer = Informer(client, widgets)
    async with following(informer, synced=False) as told:
        await eventually(lambda: isinstance(informer.last_error, NotFound))
        for _ in range(2):
            await client.create(CRDS, crd(group))
            await eventually(create)
            await eventually(lambda: informer.nudge() or len(informer.store) == 1, every=0.3, seconds=30)
            assert informer.has_synced
            await client.delete(CRDS, f"widgets.{group}")
            await eventually(lambda: len(informer.store) == 0, seconds=30)
            await eventually(lambda: isinstance(informer.last_error, NotFound), seconds=30)
        assert told.log == [f"ADDED {namespace}/w", f"DELETED {namespace}/w"] * 2


async def test_a_pool_watches_once_and_ends_its_watches(provider: Cluster, namespace: str) -> None:
    async with Client.open(from_kubeconfig(provider.kubeconfig), user_agent="pool-test") as own:
        mark = provider.audit_mark()
        async with InformerPool(own) as pool:
            first = pool.acquire(CONFIGMAPS, namespace=namespace)
            second = pool.acquire(CONFIGMAPS, namespace=namespace)
            assert first is second
            await asyncio.wait_for(first.wait_synced(), 20)
            pool.release(first)
            pool.release(second)

            def ended() -> bool:
                stages = [e.stage for e in provider.audit_events(since=mark) if e.user_agent == "pool-test"]
                return stages.count("ResponseComplete") == 1

            # The server notices that the connection is gone while the pool goes on.
            await eventually(ended)


async def test_status_is_written_under_the_lock_of_what_was_seen(
    client: Client, namespace: str, unique: Callable[[str], str]
) -> None:
    group = f"{unique('g')}.example"
    widgets = Resource(group, "v1", "widgets", kind="Widget")
    await client.create(CRDS, crd(group))
    body = {"apiVersion": widgets.api_version, "kind": "Widget", "metadata": {"name": "w"}}

    async def create() -> bool:
        try:
            await client.create(widgets, body, namespace=namespace)
        except NotFound:
            return False
        return True

    await eventually(create)
    seen = await client.get(widgets, "w", namespace=namespace)
    stored = await write_status(client, widgets, seen, {**seen, "status": {"a": 1, "b": {"c": 2}}})
    assert stored["status"] == {"a": 1, "b": {"c": 2}}
    assert await write_status(client, widgets, stored, stored) is stored
    again = await write_status(client, widgets, stored, {**stored, "status": {"b": {"d": 3}}})
    assert again["status"] == {"b": {"d": 3}}
    with pytest.raises(Conflict):
        await write_status(client, widgets, seen, {**seen, "status": {"a": 9}})
    await client.delete(widgets, "w", namespace=namespace)
    await client.create(widgets, body, namespace=namespace)
    with pytest.raises(Conflict):
        await write_status(client, widgets, again, {**again, "status": {"a": 9}})


async def test_informer_and_controller_bring_a_burst_to_its_end(client: Client, namespace: str) -> None:
    """Watch, queue, reconcile, write: every object is marked, and then nothing is left to do."""
    informer = Informer(client, CONFIGMAPS, namespace=namespace, label_selector="app=test")

    async def reconcile(key: str) -> None:
        entry = informer.store.get(key)
        if entry is None or entry.object()["metadata"].get("annotations", {}).get("done"):
            return
        obj = entry.object()
        obj["metadata"].setdefault("annotations", {})["done"] = "true"
        await client.replace(CONFIGMAPS, obj, namespace=namespace)

    controller = Controller("burst", reconcile, workers=8)

    def handler(kind: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        assert entry is not None
        controller.enqueue(entry.key, priority=informer.priority)

    informer.add_handler(handler)
    async with following(informer), asyncio.TaskGroup() as group:
        running = group.create_task(controller.run())
        names = [f"c{number:03}" for number in range(100)]
        await make(client, namespace, *names)
        for name in names[:20]:
            # Writes in between provoke conflicts.
            await client.merge_patch(CONFIGMAPS, name, {"data": {"x": "1"}}, namespace=namespace)

        def all_done() -> bool:
            done = [
                entry
                for entry in informer.store.entries()
                if entry.object()["metadata"].get("annotations", {}).get("done")
            ]
            return len(done) == 100

        await eventually(all_done, seconds=40)
        await controller.queue.drained()
        running.cancel()
