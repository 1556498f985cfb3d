"""Requests and exports on a real API server, under the shipped roles."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conversion import crd_part
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTERROLES,
    CORE_EVENTS,
    CRDS,
    EXPORT_REQUESTS,
    EXPORT_TEMPLATES,
    EXPORTS,
    Resource,
)
from bind_agent.backend import names
from bind_agent.kube.errors import Forbidden, NotFound
from tests.fakes.backend_lab import Lab, Party, claim, crd_of, eventually, template_of

pytestmark = pytest.mark.integration


async def test_a_request_becomes_an_export_that_can_be_used(backend: Lab, kind: Resource) -> None:
    party = await backend.join("request")
    await backend.publish(kind, claim("secrets", labelSelectors=[{"share": "yes"}]))
    await backend.request(party, kind)

    request = await backend.phase(party, kind, "Succeeded")
    assert conditions.is_true(conditions.of(request), "Ready")

    export = await party.client.get(EXPORTS, kind.crd_name, namespace=party.namespace)
    assert export["metadata"]["annotations"][keys.SOURCE_SPEC_HASH]
    assert export["spec"]["informerScope"] == "Namespaced"
    (offered,) = export["spec"]["permissionClaims"]
    assert offered["selector"]["labelSelectors"] == [{"share": "yes"}]
    for condition in ("ProviderInSync", "AccessGranted", "Ready"):
        await backend.condition(party, EXPORTS, kind.crd_name, condition)

    namespace = await backend.mapping(party, "team")

    async def usable() -> bool:
        try:
            await party.client.list(kind, namespace=namespace)
        except (Forbidden, NotFound):
            return False
        return True

    await eventually(usable)


async def test_ended_requests_are_removed_by_a_timer(backend: Lab, kind: Resource) -> None:
    party = await backend.join("prune")
    await backend.publish(kind)
    await backend.bind(party, kind)
    await backend.gone(EXPORT_REQUESTS, kind.crd_name, party.namespace)
    assert await backend.export(party, kind)


async def test_an_export_goes_with_its_crd(backend: Lab, kind: Resource) -> None:
    party = await backend.join("gone")
    await backend.publish(kind)
    await backend.bind(party, kind)
    await backend.admin.delete(CRDS, kind.crd_name)
    await backend.gone(EXPORTS, kind.crd_name, party.namespace)

    async def without_rights() -> bool:
        role = await backend.admin.get(CLUSTERROLES, keys.dynamic_role(party.namespace))
        return not role.get("rules")

    await eventually(without_rights)


async def test_an_export_follows_its_crd(backend: Lab, kind: Resource) -> None:
    party = await backend.join("follow")
    await backend.publish(kind)
    await backend.bind(party, kind)
    before = await backend.export(party, kind)
    assert before is not None

    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    await backend.publish(kind, schema=schema)

    async def followed() -> Object | None:
        export = await backend.export(party, kind)
        assert export is not None
        found = export["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        return export if found == schema else None

    after = await eventually(followed)
    marks = [one["metadata"]["annotations"][keys.SOURCE_SPEC_HASH] for one in (before, after)]
    assert marks[0] != marks[1]


async def test_claims_of_a_changed_template_reach_the_export(backend: Lab, kind: Resource) -> None:
    party = await backend.join("claims")
    await backend.publish(kind)
    await backend.bind(party, kind)
    await backend.publish(kind, claim("configmaps"), crd=False)

    async def followed() -> bool:
        export = await backend.export(party, kind)
        role = await backend.admin.get(CLUSTERROLES, keys.dynamic_role(party.namespace))
        kinds = [rule["resources"] for rule in role.get("rules") or []]
        claims = (export or {})["spec"].get("permissionClaims") or []
        return [one["resource"] for one in claims] == ["configmaps"] and kinds == [
            ["configmaps"],
            ["databases"],
        ]

    await eventually(followed)


async def test_a_converged_export_is_not_written_again(backend: Lab, kind: Resource) -> None:
    party = await backend.join("still")
    await backend.publish(kind, claim("secrets", "Provider", namespaces=[]), claim("configmaps", "Consumer"))
    await backend.bind(party, kind)
    before = await backend.export(party, kind)
    mark = backend.cluster.audit_mark()
    # An event about each of the objects that decide, without any content for the decision.
    for resource, name, namespace in (
        (EXPORTS, kind.crd_name, party.namespace),
        (EXPORT_TEMPLATES, kind.crd_name, "default"),
        (CRDS, kind.crd_name, None),
    ):
        patch = {"metadata": {"labels": {"touched": "yes"}}}
        await backend.admin.merge_patch(resource, name, patch, namespace=namespace)
    await asyncio.sleep(2)
    writes = [
        f"{one.verb} {one.uri} {one.code} {one.raw['requestReceivedTimestamp']}"
        for one in backend.cluster.audit_requests(since=mark)
        if one.user.endswith(":bind-backend")
        and party.namespace in one.uri
        and one.verb not in {"get", "watch"}
    ]
    assert writes == []
    after = await backend.export(party, kind)
    assert before is not None
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_a_missing_crd_is_said_and_its_arrival_cures(backend: Lab, kind: Resource) -> None:
    party = await backend.join("late")
    await backend.publish(kind, crd=False)
    await backend.request(party, kind)
    await backend.condition(party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "CRDNotFound")
    await backend.publish(kind)
    await backend.phase(party, kind, "Succeeded")


async def test_a_missing_template_fails_the_request_after_its_time(backend: Lab, kind: Resource) -> None:
    party = await backend.join("unoffered")
    await backend.publish(kind, template=False)
    await backend.request(party, kind)
    found = await backend.condition(party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "TemplateNotFound")
    assert "APIServiceExportTemplate" in found.message
    request = await backend.phase(party, kind, "Failed")
    assert request["status"]["terminalMessage"] == found.message
    assert await backend.export(party, kind) is None


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (Resource("", "v1", "pods"), "ProtectedGroup"),
        (Resource("apps", "v1", "deployments"), "ProtectedGroup"),
    ],
)
async def test_kinds_of_kubernetes_fail_at_once(backend: Lab, resource: Resource, reason: str) -> None:
    party = await backend.join(f"core-{resource.plural}")
    await backend.request(party, resource)
    request = await backend.phase(party, resource, "Failed", timeout=30)
    assert conditions.get(conditions.of(request), "Ready").reason == reason  # type: ignore[union-attr]


async def test_a_cluster_scoped_kind_fails_at_once(backend: Lab, kind: Resource) -> None:
    wide = kind.scoped(namespaced=False)
    party = await backend.join("scope")
    await backend.publish(wide)
    await backend.request(party, wide)
    await backend.phase(party, wide, "Failed", timeout=30)
    found = await backend.condition(
        party, EXPORT_REQUESTS, wide.crd_name, "ExportsReady", "ScopeNotSupported"
    )
    assert "--consumer-scope Cluster" in found.message


async def test_a_megabyte_of_schema_is_refused_with_its_size(backend: Lab, kind: Resource) -> None:
    party = await backend.join("large")
    await backend.publish(kind, schema={"type": "object", "description": "x" * 1_050_000})
    await backend.request(party, kind)
    found = await backend.condition(party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "CRDInvalid")
    assert "1000000" in found.message


async def test_dangerous_claims_are_refused_and_others_go_on(backend: Lab, kind: Resource) -> None:
    party = await backend.join("danger")
    await backend.publish(kind, claim("pods"), role=False)
    await backend.request(party, kind)
    await backend.condition(party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "ClaimRefused")
    await backend.publish(kind, claim("secrets"))
    await backend.phase(party, kind, "Succeeded")
    # A template that becomes dangerous later changes nothing but the condition.
    await backend.publish(kind, claim("secrets"), claim("pods"), crd=False, role=False)
    await backend.condition(party, EXPORTS, kind.crd_name, "ProviderInSync", "ClaimRefused")
    export = await backend.export(party, kind)
    assert export is not None
    assert [one["resource"] for one in export["spec"]["permissionClaims"]] == ["secrets"]


async def test_the_younger_of_two_templates_hears_of_it(backend: Lab, kind: Resource) -> None:
    await backend.publish(kind, claim("secrets"))
    # Creation times are whole seconds.
    await asyncio.sleep(1.1)
    second = template_of(kind, [claim("configmaps")], name=f"a-{kind.crd_name}"[:60])
    await backend.admin.create(EXPORT_TEMPLATES, second)

    async def told() -> bool:
        events = await backend.admin.list(CORE_EVENTS, namespace="default")
        return any(
            one["reason"] == "TemplateAmbiguous"
            and one["involvedObject"]["name"] == second["metadata"]["name"]
            for one in events.items
        )

    await eventually(told)


class TestVersionOfTheTemplate:
    """Go never looks at it, so old templates may name anything (spec 3.3)."""

    async def crd(self, backend: Lab, kind: Resource, *names_: str) -> None:
        """The first of the versions is stored."""
        crd = crd_of(kind)
        (only,) = crd["spec"]["versions"]
        crd["spec"]["versions"] = [
            {**only, "name": name, "storage": number == 0} for number, name in enumerate(names_)
        ]
        await backend.admin.apply(CRDS, crd, field_manager="platform")

    async def select(self, backend: Lab, kind: Resource, version: str | None) -> None:
        template = template_of(kind, version=version)
        await backend.admin.apply(EXPORT_TEMPLATES, template, field_manager="platform")

    async def settled(self, backend: Lab, party: Party, kind: Resource, offered: str) -> Object:
        """Wait until an export offers this, and nothing is written about it any more; `*` marks what is stored."""

        async def says() -> Object:
            export = await backend.export(party, kind)
            assert export is not None
            found = [one["name"] + "*" * one["storage"] for one in export["spec"]["versions"]]
            assert " ".join(found) == offered
            return export

        await eventually(says)
        await asyncio.sleep(1)
        first = await says()
        wake = {"metadata": {"labels": {"touched": "yes"}}}
        mark = backend.cluster.audit_mark()
        await backend.admin.merge_patch(EXPORT_TEMPLATES, kind.crd_name, wake, namespace="default")
        await backend.admin.merge_patch(CRDS, kind.crd_name, wake)
        await asyncio.sleep(1)
        await backend.admin.merge_patch(CRDS, kind.crd_name, {"metadata": {"labels": {"touched": None}}})
        await asyncio.sleep(1)
        last = await says()
        writes = [
            f"{one.verb} {one.uri}"
            for one in backend.cluster.audit_requests(since=mark)
            if one.user.endswith(":bind-backend")
            and f"/{party.namespace}/apiserviceexports" in one.uri
            and one.verb not in {"get", "watch"}
        ]
        assert writes == []
        assert last["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        return last

    async def test_something_new_has_it_alone(self, backend: Lab, kind: Resource) -> None:
        party = await backend.join("version")
        await self.crd(backend, kind, "v1", "v2")
        await self.select(backend, kind, "v2")
        await backend.publish(kind, crd=False, template=False)
        await backend.bind(party, kind)
        await self.settled(backend, party, kind, "v2*")

    async def test_something_new_is_refused_while_it_is_not_served(
        self, backend: Lab, kind: Resource
    ) -> None:
        party = await backend.join("unserved")
        await self.crd(backend, kind, "v1", "v2")
        await self.select(backend, kind, "v1beta1")
        await backend.publish(kind, crd=False, template=False)
        await backend.request(party, kind)
        found = await backend.condition(
            party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "TemplateInvalid"
        )
        assert "v1beta1" in found.message
        assert await backend.export(party, kind) is None
        await self.select(backend, kind, "v1")
        await backend.phase(party, kind, "Succeeded")
        await self.settled(backend, party, kind, "v1*")

    async def test_an_existing_export_never_loses_a_version_by_it(self, backend: Lab, kind: Resource) -> None:
        party = await backend.join("stored")
        await self.crd(backend, kind, "v1", "v2")
        await backend.publish(kind, crd=False)
        await backend.bind(party, kind)
        before = await self.settled(backend, party, kind, "v1* v2")
        await self.select(backend, kind, "v1")

        async def noticed() -> bool:
            export = await backend.export(party, kind)
            return meta.annotation(export or {}, names.VERSIONS) == names.VERSIONS_OF_TEMPLATE

        await eventually(noticed)
        after = await self.settled(backend, party, kind, "v1* v2")
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        # What is new in the CRD is not offered, and what the CRD serves no more goes.
        await self.crd(backend, kind, "v1", "v2", "v3")
        await self.settled(backend, party, kind, "v1* v2")
        await self.select(backend, kind, "v3")
        await self.settled(backend, party, kind, "v1* v2 v3")
        await self.crd(backend, kind, "v1", "v3")
        await self.settled(backend, party, kind, "v1* v3")
        await self.crd(backend, kind, "v1", "v3", "v4")
        await self.select(backend, kind, None)
        await self.settled(backend, party, kind, "v1* v3 v4")

    async def test_what_go_made_follows_its_crd(self, backend: Lab, kind: Resource) -> None:
        """Go offers everything and leaves no note of the template."""
        party = await backend.join("go")
        await self.crd(backend, kind, "v1", "v2")
        await self.select(backend, kind, "v1beta1")
        await backend.publish(kind, crd=False, template=False)
        crd = await backend.admin.get(CRDS, kind.crd_name)
        part = crd_part(crd)
        await backend.admin.create(
            EXPORTS,
            {
                "apiVersion": EXPORTS.api_version,
                "kind": EXPORTS.kind,
                "metadata": {
                    "name": kind.crd_name,
                    "namespace": party.namespace,
                    "annotations": {keys.SOURCE_SPEC_HASH: "ofgo"},
                },
                "spec": {**part, "informerScope": "Namespaced"},
            },
            namespace=party.namespace,
        )
        warned = names.VERSION_NOT_SERVED

        async def told() -> bool:
            found = conditions.get(conditions.of(await backend.export(party, kind) or {}), warned)
            assert found is not None
            return (found.status, found.reason) == ("True", "TemplateInvalid") and "v1beta1" in found.message

        await eventually(told)
        export = await self.settled(backend, party, kind, "v1* v2")
        assert export["metadata"]["generation"] == 1
        await backend.condition(party, EXPORTS, kind.crd_name, "Ready")
        events = await backend.admin.list(CORE_EVENTS, namespace=party.namespace)
        assert [one["type"] for one in events.items if one["reason"] == "TemplateInvalid"] == ["Warning"]
        await self.crd(backend, kind, "v1", "v2", "v3")
        await self.settled(backend, party, kind, "v1* v2 v3")
        # One that is served narrows nothing either, and the warning ends.
        await self.select(backend, kind, "v2")

        async def quiet() -> bool:
            return conditions.get(conditions.of(await backend.export(party, kind) or {}), warned) is None

        await eventually(quiet)
        await self.settled(backend, party, kind, "v1* v2 v3")


async def test_rights_that_the_backend_lacks_are_named_and_asked_for_again(
    backend: Lab, kind: Resource
) -> None:
    party = await backend.join("lacking")
    await backend.publish(kind, role=False)
    await backend.request(party, kind)
    await backend.phase(party, kind, "Succeeded")
    # A request ends when the export says what became of the rights, so nobody binds before that.
    export = await backend.export(party, kind)
    assert conditions.is_false(conditions.of(export or {}), "AccessGranted")
    found = await backend.condition(party, EXPORTS, kind.crd_name, "AccessGranted", "GrantRefused")
    assert f"{kind.crd_name} [create, delete, get, list, patch, update, watch]" in found.message
    assert f"bind-backend rbac {kind.crd_name}" in found.message

    kubeconfig = f"--kubeconfig={backend.cluster.kubeconfig}"
    role = await backend.stage.run("-m", "bind_agent.backend.app", "rbac", kind.crd_name, kubeconfig)
    await backend.stage.kubectl(backend.cluster, "apply", "--filename=-", stdin=role)
    await backend.condition(party, EXPORTS, kind.crd_name, "AccessGranted")


async def test_a_request_outside_of_tenants_is_refused(
    backend: Lab, kind: Resource, unique: Callable[[str], str]
) -> None:
    await backend.publish(kind)
    namespace = unique("ns")
    await backend.admin.create(
        Resource("", "v1", "namespaces", namespaced=False),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
    )
    request: dict[str, Any] = {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_EXPORT_REQUEST,
        "metadata": {"name": kind.crd_name, "namespace": namespace},
        "spec": {"resources": [{"group": kind.group, "resource": kind.plural}]},
    }
    await backend.admin.create(EXPORT_REQUESTS, request)

    async def failed() -> bool:
        found = await backend.admin.get(EXPORT_REQUESTS, kind.crd_name, namespace=namespace)
        return bool(found.get("status", {}).get("phase") == "Failed")

    await eventually(failed)
    assert await backend.admin.get_or_none(EXPORTS, kind.crd_name, namespace=namespace) is None
