"""The verbs against a real API server: what is stored, and which error each refusal becomes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api.resource import CONFIGMAPS, CRDS, NAMESPACES, SECRETS, Resource
from bind_agent.devcluster import Cluster
from bind_agent.kube import errors
from bind_agent.kube.client import Client

pytestmark = pytest.mark.integration


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def widget(resource: Resource, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name},
        "spec": spec,
    }


async def test_object_from_creation_to_deletion(client: Client, namespace: str) -> None:
    made = await client.create(
        CONFIGMAPS, config_map("a", x="1"), namespace=namespace, field_manager="tester"
    )
    assert made["metadata"]["managedFields"][0]["manager"] == "tester"
    assert await client.get(CONFIGMAPS, "a", namespace=namespace) == made

    made["data"]["x"] = "2"
    replaced = await client.replace(CONFIGMAPS, made)
    assert replaced["data"] == {"x": "2"}

    patched = await client.merge_patch(CONFIGMAPS, "a", {"data": {"y": "3"}}, namespace=namespace)
    assert patched["data"] == {"x": "2", "y": "3"}

    steps = [{"op": "test", "path": "/data/x", "value": "2"}, {"op": "remove", "path": "/data/y"}]
    patched = await client.json_patch(CONFIGMAPS, "a", steps, namespace=namespace)
    assert patched["data"] == {"x": "2"}

    gone = await client.delete(CONFIGMAPS, "a", namespace=namespace)
    assert gone is not None
    assert gone["status"] == "Success"
    assert await client.get_or_none(CONFIGMAPS, "a", namespace=namespace) is None
    assert await client.delete(CONFIGMAPS, "a", namespace=namespace) is None


async def test_names_that_need_encoding_reach_the_right_object(
    client: Client, unique: Callable[[str], str]
) -> None:
    roles = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", namespaced=False, kind="ClusterRole")
    name = f"system:{unique('r')} é"
    role = {"apiVersion": roles.api_version, "kind": roles.kind, "metadata": {"name": name}, "rules": []}
    await client.create(roles, role)
    try:
        assert (await client.get(roles, name))["metadata"]["name"] == name
    finally:
        await client.delete(roles, name)


async def test_missing_objects_are_not_found(client: Client, widgets: Resource, namespace: str) -> None:
    for resource in (CONFIGMAPS, SECRETS, widgets):
        with pytest.raises(errors.NotFound, match='"absent" not found') as caught:
            await client.get(resource, "absent", namespace=namespace)
        assert type(caught.value) is errors.NotFound
        assert caught.value.reason == "NotFound"
        for where in (namespace, "no-such-namespace"):
            assert await client.get_or_none(resource, "absent", namespace=where) is None
            assert await client.delete(resource, "absent", namespace=where, uid="u") is None
        with pytest.raises(errors.NotFound) as caught:
            await client.merge_patch(resource, "absent", {"metadata": {"labels": {}}}, namespace=namespace)
        assert type(caught.value) is errors.NotFound
    for resource, name in ((NAMESPACES, "no-such-namespace"), (CRDS, "things.nobody.example")):
        assert await client.get_or_none(resource, name) is None
    assert await client.get_or_none(widgets, "absent", namespace=namespace, subresource="status") is None
    with pytest.raises(errors.NotFound) as caught:
        await client.create_token(namespace, "absent", expiration_seconds=600)
    assert type(caught.value) is errors.NotFound


async def test_a_missing_namespace_is_not_found_by_whoever_writes_into_it(
    client: Client, widgets: Resource
) -> None:
    for resource, made in ((CONFIGMAPS, config_map("a")), (widgets, widget(widgets, "a"))):
        for call in (
            client.create(resource, made, namespace="no-such-namespace"),
            client.apply(resource, made, namespace="no-such-namespace", field_manager="tester"),
        ):
            with pytest.raises(errors.NotFound, match='namespaces "no-such-namespace" not found') as caught:
                await call
            assert type(caught.value) is errors.NotFound


async def test_of_kinds_and_versions_that_are_not_served_nothing_is_known(
    client: Client, widgets: Resource, namespace: str
) -> None:
    for resource in (
        Resource("nobody.example", "v1", "widgets"),
        Resource(widgets.group, "v1", "gadgets"),
        widgets.at("v9"),
        Resource("", "v1", "gadgets"),
        Resource("apps", "v9", "deployments"),
    ):
        for call in (client.get, client.get_or_none, client.delete):
            with pytest.raises(errors.AbsenceUnproven, match="is served there"):
                await call(resource, "x", namespace=namespace)
        # Of a collection the same answer says what was asked: it is not there.
        with pytest.raises(errors.NotFound) as caught:
            await client.list(resource, namespace=namespace)
        assert type(caught.value) is errors.NotFound
        assert await client.discovery.find(resource.group, resource.plural, resource.version) is None
    await client.create(CONFIGMAPS, config_map("a"), namespace=namespace)
    with pytest.raises(errors.AbsenceUnproven):
        await client.get(CONFIGMAPS, "a", namespace=namespace, subresource="status")


async def test_a_version_that_is_not_served_for_a_moment_hides_no_object(
    client: Client, widgets: Resource, namespace: str
) -> None:
    made = await client.create(widgets, widget(widgets, "a", size=1), namespace=namespace)
    uid = made["metadata"]["uid"]

    async def serve(served: bool) -> None:
        step = {"op": "replace", "path": "/spec/versions/0/served", "value": served}
        await client.json_patch(CRDS, widgets.crd_name, [step])
        async with asyncio.timeout(60):
            while True:
                try:
                    await client.list(widgets, namespace=namespace)
                except errors.NotFound:
                    if not served:
                        return
                else:
                    if served:
                        return
                await asyncio.sleep(0.1)

    await serve(False)
    with pytest.raises(errors.AbsenceUnproven):
        await client.delete(widgets, "a", namespace=namespace, uid=uid)
    with pytest.raises(errors.AbsenceUnproven):
        await client.get_or_none(widgets, "a", namespace=namespace)
    await serve(True)
    assert await client.get(widgets, "a", namespace=namespace) == made
    assert await client.delete(widgets, "a", namespace=namespace, uid=uid) is not None
    assert await client.get_or_none(widgets, "a", namespace=namespace) is None
    assert await client.delete(widgets, "a", namespace=namespace, uid=uid) is None


async def test_second_create_already_exists(client: Client, namespace: str) -> None:
    await client.create(CONFIGMAPS, config_map("a"), namespace=namespace)
    with pytest.raises(errors.AlreadyExists):
        await client.create(CONFIGMAPS, config_map("a"), namespace=namespace)


async def test_outdated_replace_conflicts(client: Client, namespace: str) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"), namespace=namespace)
    await client.replace(CONFIGMAPS, {**made, "data": {"n": "1"}})
    with pytest.raises(errors.Conflict):
        await client.replace(CONFIGMAPS, {**made, "data": {"n": "2"}})


async def test_outdated_merge_patch_conflicts(client: Client, namespace: str) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"), namespace=namespace)
    await client.merge_patch(CONFIGMAPS, "a", {"data": {"n": "1"}}, namespace=namespace)
    lock = {"resourceVersion": made["metadata"]["resourceVersion"]}
    with pytest.raises(errors.Conflict):
        await client.merge_patch(CONFIGMAPS, "a", {"metadata": lock, "data": {"n": "2"}}, namespace=namespace)


async def test_delete_only_what_was_seen(client: Client, namespace: str) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"), namespace=namespace)
    meta = made["metadata"]
    with pytest.raises(errors.Conflict):
        await client.delete(CONFIGMAPS, "a", namespace=namespace, uid="another")
    with pytest.raises(errors.Conflict):
        await client.delete(CONFIGMAPS, "a", namespace=namespace, resource_version="1")
    assert await client.delete(CONFIGMAPS, "a", namespace=namespace, uid=meta["uid"], dry_run=True)
    assert await client.get_or_none(CONFIGMAPS, "a", namespace=namespace) is not None
    assert await client.delete(
        CONFIGMAPS, "a", namespace=namespace, uid=meta["uid"], resource_version=meta["resourceVersion"]
    )
    assert await client.get_or_none(CONFIGMAPS, "a", namespace=namespace) is None


async def test_delete_of_a_finalized_object_answers_with_the_object(client: Client, namespace: str) -> None:
    held = config_map("a")
    held["metadata"]["finalizers"] = ["test.example/hold"]
    await client.create(CONFIGMAPS, held, namespace=namespace)
    answer = await client.delete(CONFIGMAPS, "a", namespace=namespace, propagation="Background", grace=0)
    assert answer is not None
    assert answer["metadata"]["deletionTimestamp"]
    await client.merge_patch(CONFIGMAPS, "a", {"metadata": {"finalizers": None}}, namespace=namespace)
    assert await client.get_or_none(CONFIGMAPS, "a", namespace=namespace) is None


async def test_apply_adds_removes_and_takes_over(client: Client, namespace: str, widgets: Resource) -> None:
    first = widget(widgets, "w", size=1, colour="red")
    created = await client.apply(widgets, first, namespace=namespace, field_manager="one")
    assert created["spec"] == {"size": 1, "colour": "red"}

    dropped = await client.apply(
        widgets, widget(widgets, "w", size=1), namespace=namespace, field_manager="one"
    )
    assert dropped["spec"] == {"size": 1}

    with pytest.raises(errors.Conflict):
        await client.apply(
            widgets, widget(widgets, "w", size=2), namespace=namespace, field_manager="two", force=False
        )
    taken = await client.apply(
        widgets, widget(widgets, "w", size=2), namespace=namespace, field_manager="two"
    )
    assert taken["spec"] == {"size": 2}


async def test_apply_and_patch_of_another_uid_conflict(
    client: Client, namespace: str, widgets: Resource
) -> None:
    await client.apply(widgets, widget(widgets, "w", size=1), namespace=namespace, field_manager="one")
    other = widget(widgets, "w", size=2)
    other["metadata"]["uid"] = "5c1f5e3e-0000-4000-8000-000000000000"
    with pytest.raises(errors.Conflict):
        await client.apply(widgets, other, namespace=namespace, field_manager="one")
    uid = {"metadata": {"uid": other["metadata"]["uid"]}}
    with pytest.raises(errors.Conflict):
        await client.merge_patch(widgets, "w", uid, namespace=namespace)
    with pytest.raises(errors.Conflict):
        await client.merge_patch(CONFIGMAPS, "kube-root-ca.crt", uid, namespace=namespace)


async def test_apply_with_a_uid_never_creates(client: Client, namespace: str, widgets: Resource) -> None:
    ghost = widget(widgets, "w", size=1)
    ghost["metadata"]["uid"] = "5c1f5e3e-0000-4000-8000-000000000000"
    with pytest.raises(errors.Conflict):
        await client.apply(widgets, ghost, namespace=namespace, field_manager="one")
    assert await client.get_or_none(widgets, "w", namespace=namespace) is None


async def test_status_is_locked_by_resource_version_alone(
    client: Client, namespace: str, widgets: Resource
) -> None:
    made = await client.create(widgets, widget(widgets, "w", size=1), namespace=namespace)
    await client.merge_patch(widgets, "w", {"spec": {"size": 2}}, namespace=namespace)
    lock = {"resourceVersion": made["metadata"]["resourceVersion"]}
    patch = {"metadata": lock, "status": {"phase": "Ready"}}
    with pytest.raises(errors.Conflict):
        await client.merge_patch(widgets, "w", patch, namespace=namespace, subresource="status")
    # Servers ignore the UID here, so that the resource version has to be the lock.
    other = {"metadata": {"uid": "5c1f5e3e-0000-4000-8000-000000000000"}, "status": {"phase": "Ready"}}
    assert await client.merge_patch(widgets, "w", other, namespace=namespace, subresource="status")


async def test_status_is_written_through_its_subresource_only(
    client: Client, namespace: str, widgets: Resource
) -> None:
    made = await client.create(widgets, widget(widgets, "w", size=1), namespace=namespace)
    ignored = await client.merge_patch(widgets, "w", {"status": {"phase": "Ready"}}, namespace=namespace)
    assert "status" not in ignored
    written = await client.merge_patch(
        widgets,
        "w",
        {"status": {"phase": "Ready"}, "spec": {"size": 9}},
        namespace=namespace,
        subresource="status",
    )
    assert written["status"] == {"phase": "Ready"}
    assert written["spec"] == {"size": 1}
    assert written["metadata"]["generation"] == made["metadata"]["generation"]
    read = await client.get(widgets, "w", namespace=namespace, subresource="status")
    assert read["status"] == {"phase": "Ready"}


async def test_dry_run_changes_nothing(client: Client, namespace: str, widgets: Resource) -> None:
    proposal = widget(widgets, "w", size=1)
    await client.create(widgets, proposal, namespace=namespace, dry_run=True)
    await client.apply(widgets, proposal, namespace=namespace, field_manager="one", dry_run=True)
    assert (await client.list(widgets, namespace=namespace)).items == []
    made = await client.create(widgets, proposal, namespace=namespace)
    await client.merge_patch(widgets, "w", {"spec": {"size": 2}}, namespace=namespace, dry_run=True)
    await client.json_patch(
        widgets, "w", [{"op": "remove", "path": "/spec/size"}], namespace=namespace, dry_run=True
    )
    await client.replace(widgets, {**made, "spec": {"size": 3}}, dry_run=True)
    assert await client.get(widgets, "w", namespace=namespace) == made


async def test_broken_rules_are_invalid(client: Client, namespace: str, widgets: Resource) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await client.create(widgets, widget(widgets, "w", size=0), namespace=namespace)
    assert caught.value.details["causes"][0]["field"] == "spec.size"
    with pytest.raises(errors.Invalid):
        await client.create(CONFIGMAPS, config_map("Not A Name"), namespace=namespace)


async def test_refused_secret_is_not_quoted(client: Client, namespace: str) -> None:
    canary = "canary-7f3a"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": canary + "="}}
    with pytest.raises(errors.ApiError) as caught:
        await client.create(SECRETS, secret, namespace=namespace)
    assert canary not in str(caught.value) + repr(caught.value) + repr(caught.value.details)
    with pytest.raises(errors.ApiError) as caught:
        await client.create(SECRETS, {**secret, "data": {canary + " ": ""}}, namespace=namespace)
    assert "Secret" in str(caught.value)


async def test_too_large_an_object_is_refused(client: Client, namespace: str) -> None:
    with pytest.raises((errors.PayloadTooLarge, errors.Invalid)):
        await client.create(CONFIGMAPS, config_map("a", x="x" * 4_000_000), namespace=namespace)
    large = await client.create(CONFIGMAPS, config_map("a", x="x" * 1_000_000), namespace=namespace)
    assert await client.get(CONFIGMAPS, "a", namespace=namespace) == large


async def test_unknown_verb_is_not_allowed(client: Client) -> None:
    with pytest.raises(errors.MethodNotAllowed):
        await client.list(
            Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False)
        )


async def test_lists_in_small_pages_are_complete_and_filtered(client: Client, namespace: str) -> None:
    for number in range(11):
        obj = config_map(f"c{number:02}")
        obj["metadata"]["labels"] = {"parity": "odd" if number % 2 else "even"}
        await client.create(CONFIGMAPS, obj, namespace=namespace)
    whole = await client.list(CONFIGMAPS, namespace=namespace, page_size=4)
    names = [obj["metadata"]["name"] for obj in whole.items if obj["metadata"]["name"] != "kube-root-ca.crt"]
    assert names == [f"c{number:02}" for number in range(11)]
    assert {(obj["apiVersion"], obj["kind"]) for obj in whole.items} == {("v1", "ConfigMap")}
    assert int(whole.resource_version) > 0
    even = await client.list(CONFIGMAPS, namespace=namespace, label_selector="parity in (even)", page_size=2)
    assert len(even.items) == 6
    one = await client.list(CONFIGMAPS, namespace=namespace, field_selector="metadata.name=c03")
    assert [obj["metadata"]["name"] for obj in one.items] == ["c03"]
    pages = [page async for page in client.pages(CONFIGMAPS, namespace=namespace, page_size=5)]
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert all(
        raw.startswith(b'{"apiVersion":"v1","kind":"ConfigMap",') for page in pages for raw in page.items
    )


async def test_requests_name_the_program(client: Client, provider: Cluster) -> None:
    mark = provider.audit_mark()
    await client.get(NAMESPACES, "default")
    agents = {
        event.user_agent for event in provider.audit_requests(since=mark) if event.resource == "namespaces"
    }
    assert any(agent.startswith("bind-agent-test/") for agent in agents)


async def test_raw_get(client: Client) -> None:
    assert (await client.raw_get("/version"))["major"] == "1"
    with pytest.raises(errors.InvalidName):
        await client.raw_get("version")
