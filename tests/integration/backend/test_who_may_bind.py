"""`spec.allowed` of templates, `tenant add --allow`, and template changes that reach existing exports."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bind_agent.api import conditions
from bind_agent.api.resource import CRDS, EXPORT_REQUESTS, EXPORT_TEMPLATES, EXPORTS, Resource
from bind_agent.backend import names
from bind_agent.backend.person import Person
from tests.fakes.backend_lab import Lab, Party, claim, crd_of, eventually, template_of

pytestmark = pytest.mark.integration

ISSUER = "https://login.example.org"


@pytest.fixture
def anna(unique: Callable[[str], str]) -> Person:
    """In the group `dba`."""
    address = f"{unique('anna')}@example.org"
    return Person(ISSUER, unique("sub"), email=address, email_verified=True, groups=("dba",))


@pytest.fixture
def bert(unique: Callable[[str], str]) -> Person:
    """In no group."""
    return Person(ISSUER, unique("sub"), email=f"{unique('bert')}@example.org", email_verified=True)


async def offer(backend: Lab, kind: Resource, allowed: Any = None, **more: Any) -> None:
    """Publish a kind with a rule."""
    await backend.publish(kind, template=False, **more)
    await retemplate(backend, kind, allowed=allowed)


async def retemplate(
    backend: Lab, kind: Resource, *, name: str = "", allowed: Any = None, **more: Any
) -> None:
    template = template_of(kind, name=name, **more)
    if allowed is not None:
        template["spec"]["allowed"] = allowed
    await backend.admin.apply(EXPORT_TEMPLATES, template, field_manager="platform")


async def refused(backend: Lab, party: Party, kind: Resource, reason: str) -> str:
    found = await backend.condition(party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", reason)
    assert await backend.export(party, kind) is None
    return found.message


class TestAllowed:
    async def test_a_token_may_request_only_what_its_person_may_bind(
        self, backend: Lab, kind: Resource, anna: Person, bert: Person
    ) -> None:
        """W-B19: the request is made with the API, past all pages."""
        await offer(backend, kind, {"groups": ["dba"], "users": []})
        mine, theirs = await backend.join("", person=anna), await backend.join("", person=bert)
        await backend.bind(mine, kind)
        await backend.request(theirs, kind)
        message = await refused(backend, theirs, kind, "NotAllowed")
        assert bert.subject in message
        assert "spec.allowed of template" in message
        await backend.phase(theirs, kind, "Failed")

    async def test_users_by_address_in_any_case(
        self, backend: Lab, kind: Resource, anna: Person, bert: Person
    ) -> None:
        await offer(backend, kind, {"users": [anna.email.upper()]})
        await backend.bind(await backend.join("", person=anna), kind)
        unverified = replace(bert, email=anna.email, email_verified=False)
        party = await backend.join("", person=unverified)
        await backend.request(party, kind)
        await refused(backend, party, kind, "NotAllowed")

    async def test_two_empty_lists_mean_nobody(self, backend: Lab, kind: Resource, anna: Person) -> None:
        await offer(backend, kind, {"users": [], "groups": []})
        party = await backend.join("", person=anna)
        await backend.request(party, kind)
        await refused(backend, party, kind, "NotAllowed")

    async def test_groups_of_a_later_login_count(self, backend: Lab, kind: Resource, bert: Person) -> None:
        await offer(backend, kind, {"groups": ["dba"]})
        party = await backend.join("", person=bert)
        await backend.request(party, kind)
        await refused(backend, party, kind, "NotAllowed")
        await backend.join("", person=replace(bert, groups=("dba",)))
        await backend.phase(party, kind, "Succeeded")

    async def test_a_rule_that_is_opened_in_time_lets_the_request_through(
        self, backend: Lab, kind: Resource, bert: Person
    ) -> None:
        await offer(backend, kind, {"users": ["somebody"]})
        party = await backend.join("", person=bert)
        await backend.request(party, kind)
        await refused(backend, party, kind, "NotAllowed")
        await retemplate(backend, kind, allowed={"users": [bert.subject]})
        await backend.phase(party, kind, "Succeeded")

    async def test_tenants_of_the_command_line(
        self, backend: Lab, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        """No issuer proved them, so rules do not match them, even by name."""
        plain, named = unique("plain"), unique("named")
        await offer(backend, kind, {"users": [plain]})
        open_ = Resource(f"{unique('g')}.example", "v1", "caches", kind="Cache")
        await offer(backend, open_)
        party = await backend.join(plain)
        await backend.request(party, kind)
        assert f"--allow {kind.crd_name}" in await refused(backend, party, kind, "NotAllowed")
        await backend.bind(party, open_)
        listed = await backend.join(named, allow=[kind.crd_name])
        await backend.bind(listed, kind)
        await backend.request(listed, open_)
        await refused(backend, listed, open_, "NotAllowed")
        # Handing the kubeconfig out again widens nothing; another list does.
        await backend.join(named)
        assert (await backend.binding(listed))["metadata"]["annotations"][
            names.ALLOWED_KINDS
        ] == kind.crd_name
        await backend.join(named, allow=["*"])
        await backend.phase(listed, open_, "Succeeded")

    async def test_a_narrower_rule_is_said_on_exports_that_stand(
        self, backend: Lab, kind: Resource, anna: Person
    ) -> None:
        await offer(backend, kind)
        party = await backend.join("", person=anna)
        await backend.bind(party, kind)
        await retemplate(backend, kind, allowed={"users": ["somebody"]})
        found = await backend.condition(party, EXPORTS, kind.crd_name, "Allowed", "NotAllowed")
        assert "export retire" in found.message
        ready = await backend.condition(party, EXPORTS, kind.crd_name, "Ready", "NotAllowed")
        assert ready.severity == "Warning"
        await retemplate(backend, kind, allowed={"groups": ["dba"]})
        await backend.condition(party, EXPORTS, kind.crd_name, "Ready")
        export = await backend.export(party, kind)
        assert conditions.get(conditions.of(export or {}), "Allowed") is None


class TestTemplateChanges:
    async def test_several_templates_are_refused_for_new_requests_only(
        self, backend: Lab, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        old, new = await backend.join(unique("old")), await backend.join(unique("new"))
        await backend.publish(kind, claim("secrets"))
        await backend.bind(old, kind)
        second = f"a-{kind.crd_name}"[:60]
        await retemplate(backend, kind, name=second, claims=[claim("configmaps")])
        await backend.request(new, kind)
        message = await refused(backend, new, kind, "TemplateAmbiguous")
        assert f"default/{kind.crd_name}" in message
        assert f"default/{second}" in message
        # The one that stands goes on with its own template, and follows it.
        await retemplate(backend, kind, claims=[claim("secrets"), claim("configmaps", "Consumer")])

        async def followed() -> bool:
            spec = (await backend.export(old, kind) or {})["spec"]
            return [one["resource"] for one in spec["permissionClaims"]] == ["secrets", "configmaps"]

        await eventually(followed)
        await backend.condition(old, EXPORTS, kind.crd_name, "ProviderInSync")
        # Without its own, the only one that is left takes its place, for the waiting request as well.
        await backend.admin.delete(EXPORT_TEMPLATES, kind.crd_name, namespace="default")
        await backend.phase(new, kind, "Succeeded")

        async def moved() -> bool:
            export = await backend.export(old, kind) or {}
            claims = [one["resource"] for one in export["spec"]["permissionClaims"]]
            return (claims, export["metadata"]["annotations"][names.TEMPLATE]) == (
                ["configmaps"],
                f"default/{second}",
            )

        await eventually(moved)

    async def test_another_version_takes_nothing_from_exports_that_stand(
        self, backend: Lab, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        party = await backend.join(unique("version"))
        crd = crd_of(kind)
        crd["spec"]["versions"].append({**crd["spec"]["versions"][0], "name": "v2", "storage": False})
        await backend.publish(kind, template=False, crd=False)
        await backend.admin.create(CRDS, crd)
        await retemplate(backend, kind)
        await backend.bind(party, kind)

        async def offers(*versions: str) -> bool:
            spec = (await backend.export(party, kind) or {})["spec"]
            return [one["name"] for one in spec["versions"]] == list(versions)

        async def warned(*states: str) -> bool:
            stated = conditions.of(await backend.export(party, kind) or {})
            found = conditions.get(stated, "TemplateVersionNotServed")
            return (found.status if found is not None else "") in states

        assert await offers("v1", "v2")
        await retemplate(backend, kind, version="v2")
        late = await backend.join(unique("late"))
        await backend.bind(late, kind)
        found = await backend.export(late, kind) or {}
        assert [one["name"] for one in found["spec"]["versions"]] == ["v2"]
        # Consumers of the one that stood have objects of both versions.
        assert await offers("v1", "v2")
        # One that is not served changes nothing but a warning.
        await retemplate(backend, kind, version="v3")
        await eventually(lambda: warned("True"))
        assert await offers("v1", "v2")
        await retemplate(backend, kind)
        await eventually(lambda: warned("False", ""))
        assert await offers("v1", "v2")

    async def test_a_removed_template_leaves_exports_as_they_are(
        self, backend: Lab, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        party = await backend.join(unique("removed"))
        await backend.publish(kind, claim("secrets"))
        await backend.bind(party, kind)
        before = (await backend.export(party, kind) or {})["spec"]
        await backend.admin.delete(EXPORT_TEMPLATES, kind.crd_name, namespace="default")
        await backend.condition(party, EXPORTS, kind.crd_name, "ProviderInSync", "TemplateNotFound")
        assert (await backend.export(party, kind) or {})["spec"] == before
        await backend.publish(kind, claim("secrets"), crd=False)
        await backend.condition(party, EXPORTS, kind.crd_name, "ProviderInSync")

    async def test_an_export_without_a_note_gets_one(
        self, backend: Lab, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        """Earlier releases and Go backends note no template."""
        party = await backend.join(unique("unnoted"))
        await backend.publish(kind)
        await backend.bind(party, kind)
        drop = {"metadata": {"annotations": {names.TEMPLATE: None}}}
        await backend.admin.merge_patch(EXPORTS, kind.crd_name, drop, namespace=party.namespace)

        async def noted() -> bool:
            marks = (await backend.export(party, kind) or {})["metadata"]["annotations"]
            return marks.get(names.TEMPLATE) == f"default/{kind.crd_name}"

        await eventually(noted)
