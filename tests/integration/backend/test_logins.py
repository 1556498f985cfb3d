"""Tenants of people who log in: one per issuer, subject and app cluster; usable at once; shut out for good."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    EXPORT_REQUESTS,
    NAMESPACES,
    SECRETS,
    SERVICE_NAMESPACES,
    SERVICEACCOUNTS,
)
from bind_agent.backend import names
from bind_agent.backend.controllers.credential import SOON
from bind_agent.backend.person import Person
from bind_agent.backend.rights import Rights
from bind_agent.backend.tenancy import record, usable
from bind_agent.backend.tenancy.admission import Admission
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.directory import Directory
from bind_agent.backend.tenancy.identity import Identity, identity
from bind_agent.backend.tenancy.provision import TenancyError, TenantRevoked, Tenants
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Forbidden
from tests.fakes.backend_lab import Lab, Party, eventually, works

pytestmark = pytest.mark.integration

ISSUER = "https://login.example.org/realm"


@pytest.fixture
def anna(unique: Callable[[str], str]) -> Person:
    """An account of its own for each test."""
    return Person(ISSUER, unique("sub"), email="anna@example.org", email_verified=True, groups=("dba",))


def tenants(backend: Lab, legacy_issuer: str) -> Tenants:
    """The shared backend's account, with another flag."""
    credentials = Credentials(backend.own, endpoint=backend.endpoint)
    return Tenants(backend.own, Rights(backend.own), credentials, legacy_issuer=legacy_issuer)


async def test_what_a_login_leaves(backend: Lab, anna: Person) -> None:
    party = await backend.join("", "c1", person=anna)
    namespace = await backend.admin.get(NAMESPACES, party.namespace)
    marks = namespace["metadata"]["annotations"]
    assert (marks[keys.IDENTITY], marks[names.ISSUER]) == (f"{anna.subject}#c1", ISSUER)
    who = identity(anna.subject, "c1", ISSUER)
    assert record.person_of(who, await backend.binding(party)) == anna
    (found,) = await backend.tenants.of_person(ISSUER, anna.subject)
    assert (found.namespace, found.person) == (party.namespace, anna)


async def test_a_later_login_brings_the_note_up_to_date(backend: Lab, anna: Person) -> None:
    first = await backend.join("", person=anna)
    before = await backend.binding(first)
    again = await backend.join("", person=anna)
    assert (await backend.binding(again))["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert (again.namespace, again.added.kubeconfig) == (first.namespace, first.added.kubeconfig)
    await backend.join("", person=replace(anna, groups=()))
    (found,) = await backend.tenants.of_person(ISSUER, anna.subject)
    assert found.person == replace(anna, groups=())


async def test_first_logins_at_once_make_one_tenant(backend: Lab, anna: Person) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(backend.join("", person=anna)) for _ in range(6)]
    assert len({task.result().namespace for task in tasks}) == 1
    assert sum(task.result().added.created for task in tasks) == 1
    assert len(await backend.tenants.of_person(ISSUER, anna.subject)) == 1


async def test_no_first_call_is_forbidden(backend: Lab, unique: Callable[[str], str]) -> None:
    """Rights are in force before the credential is handed out: nobody retries here."""

    async def first_calls(name: str) -> None:
        added = await backend.tenants.add(identity(name, "c1"), prefix="cluster", pretty_name="Lab")
        async with Client.open(from_kubeconfig(added.kubeconfig), user_agent="first-in-tests") as client:
            await client.get(NAMESPACES, added.namespace)
            await client.list(SERVICE_NAMESPACES, namespace=added.namespace)
            await client.create(
                EXPORT_REQUESTS,
                {
                    "apiVersion": keys.API_VERSION,
                    "kind": keys.KIND_EXPORT_REQUEST,
                    "metadata": {"name": "first", "namespace": added.namespace},
                    "spec": {"resources": [{"group": "nothing.example", "resource": "things"}]},
                },
            )

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(first_calls(unique("first")))


async def test_one_subject_at_two_issuers_is_two_tenants(backend: Lab, anna: Person) -> None:
    other = replace(anna, issuer="https://other.example.org")
    one, two = await backend.join("", person=anna), await backend.join("", person=other)
    assert one.namespace != two.namespace
    for person, party in ((anna, one), (other, two)):
        found = await backend.tenants.of_person(person.issuer, person.subject)
        assert [tenant.namespace for tenant in found] == [party.namespace]


async def test_a_tenant_of_the_command_line_is_out_of_reach_of_logins(backend: Lab, anna: Person) -> None:
    added = await backend.join(anna.subject)
    assert await backend.tenants.of_person(ISSUER, anna.subject) == []
    assert await backend.tenants.of_person("", anna.subject) == []
    party = await backend.join("", person=anna)
    assert party.namespace != added.namespace
    assert (await backend.join(anna.subject)).namespace == added.namespace


async def test_an_operator_may_prepare_an_accounts_tenant(backend: Lab, anna: Person) -> None:
    who = identity(anna.subject, "c1", ISSUER)
    prepared = await backend.tenants.add(who, prefix="cluster", pretty_name="Lab")
    assert (await backend.join("", person=anna)).namespace == prepared.namespace


async def test_a_person_that_is_not_the_identity_is_refused(backend: Lab, anna: Person) -> None:
    with pytest.raises(ValueError, match="not that of the person"):
        await backend.tenants.add(
            identity(anna.subject, "c1", "https://other.example.org"),
            prefix="cluster",
            pretty_name="Lab",
            person=anna,
        )


async def test_an_account_in_too_many_groups_is_told(backend: Lab, anna: Person) -> None:
    many = replace(anna, groups=tuple(f"group-{number:06}" for number in range(6000)))
    with pytest.raises(TenancyError, match="groups claim"):
        await backend.join("", person=many)
    assert await backend.tenants.of_person(ISSUER, anna.subject) == []


class TestGoTenants:
    async def make(self, backend: Lab, subject: str, name: str) -> None:
        marks = {keys.IDENTITY: f"{subject}#c1"}
        await backend.admin.create(
            NAMESPACES,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": marks}},
        )

    async def test_taken_over_for_one_stated_issuer_only(
        self, backend: Lab, anna: Person, unique: Callable[[str], str]
    ) -> None:
        name = unique("cluster")
        await self.make(backend, anna.subject, name)
        stated = tenants(backend, ISSUER)
        other = replace(anna, issuer="https://other.example.org")
        for person, taken in ((other, False), (anna, True)):
            who = identity(person.subject, "c1", person.issuer)
            added = await stated.add(who, prefix="cluster", pretty_name="Lab", person=person)
            assert (added.namespace == name) is taken
        assert [one.namespace for one in await stated.of_person(ISSUER, anna.subject)] == [name]
        # The command line does not get it either, since it is stated whose it is.
        added = await stated.add(identity(anna.subject, "c1"), prefix="cluster", pretty_name="Lab")
        assert added.namespace != name

    async def test_without_a_statement_no_login_gets_it(
        self, backend: Lab, anna: Person, unique: Callable[[str], str]
    ) -> None:
        name = unique("cluster")
        await self.make(backend, anna.subject, name)
        assert (await backend.join("", person=anna)).namespace != name
        assert (await backend.join(anna.subject)).namespace == name


async def unfinished(backend: Lab, person: Person) -> Party:
    """A tenant as a login leaves it that broke off before its ClusterBinding."""
    party = await backend.join("", person=person)
    await backend.admin.delete(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=party.namespace)
    for kind, name in ((SECRETS, keys.KUBECONFIG), (SERVICEACCOUNTS, keys.BINDER)):
        await backend.admin.delete(kind, name, namespace=party.namespace)
    return party


class TestShutOut:
    async def test_an_operators_revocation_outlasts_logins(self, backend: Lab, anna: Person) -> None:
        party = await backend.join("", person=anna)
        (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
        await backend.tenants.revoke(tenant, delete=False)
        with pytest.raises(TenantRevoked, match="operators"):
            await backend.join("", person=anna)
        assert await backend.admin.get_or_none(SECRETS, "kubeconfig", namespace=party.namespace) is None
        # Only the command line lets it in again.
        who = identity(anna.subject, "c1", ISSUER)
        await backend.tenants.add(who, prefix="cluster", pretty_name="Lab")
        await backend.join("", person=anna)

    async def test_an_operators_revocation_of_a_tenant_without_a_binding_holds(
        self, backend: Lab, anna: Person
    ) -> None:
        party = await unfinished(backend, anna)
        flag = f"--kubeconfig={backend.cluster.kubeconfig}"
        await backend.stage.run("-m", "bind_agent.backend.app", "tenant", "revoke", party.namespace, flag)
        with pytest.raises(TenantRevoked, match="operators"):
            await backend.join("", person=anna)
        assert await backend.admin.get_or_none(SECRETS, "kubeconfig", namespace=party.namespace) is None
        # What undoes any other revocation undoes this one, and finishes the tenant.
        who = identity(anna.subject, "c1", ISSUER)
        await backend.tenants.add(who, prefix="cluster", pretty_name="Lab")
        again = await backend.join("", person=anna)
        assert again.namespace == party.namespace
        binding = await backend.binding(again)
        assert binding["spec"]["providerPrettyName"] == "Lab"
        assert not {names.REVOKED, names.REVOKED_BY} & set(binding["metadata"]["annotations"])

    @pytest.mark.parametrize("by", [names.BY_PERSON, names.BY_REAPER])
    async def test_of_a_tenant_without_a_binding_a_login_undoes_the_others(
        self, backend: Lab, anna: Person, by: str
    ) -> None:
        party = await unfinished(backend, anna)
        (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
        assert await backend.tenants.revoke(tenant, delete=False, by=by) == by
        again = await backend.join("", person=anna)
        assert again.namespace == party.namespace
        assert (await backend.binding(again))["spec"]["providerPrettyName"] == "Lab"

    async def test_a_revocation_overtakes_the_first_login(
        self, backend: Lab, anna: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It comes after the namespace is made and before the ClusterBinding is."""
        namespace_of = Admission.namespace

        async def overtaken(self: Admission, who: Identity, prefix: str) -> tuple[str, bool]:
            made = await namespace_of(self, who, prefix)
            if who.subject == anna.subject:
                monkeypatch.undo()
                (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
                await backend.tenants.revoke(tenant, delete=False)
            return made

        monkeypatch.setattr(Admission, "namespace", overtaken)
        with pytest.raises(TenantRevoked, match="operators"):
            await backend.join("", person=anna)

    @pytest.mark.parametrize("by", [names.BY_PERSON, names.BY_REAPER])
    async def test_a_person_comes_back_after_its_own_or_a_reapers_revocation(
        self, backend: Lab, anna: Person, by: str
    ) -> None:
        party = await backend.join("", person=anna)
        (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
        await backend.tenants.revoke(tenant, delete=False, by=by)
        again = await backend.join("", person=anna)
        assert again.namespace == party.namespace
        await again.client.get(NAMESPACES, party.namespace)
        marks = (await backend.binding(again))["metadata"]["annotations"]
        assert not {names.REVOKED, names.REVOKED_BY} & set(marks)

    @pytest.mark.parametrize("by", [names.BY_PERSON, names.BY_REAPER])
    async def test_nobody_takes_an_operators_revocation_over(
        self, backend: Lab, anna: Person, by: str
    ) -> None:
        party = await backend.join("", person=anna)
        (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
        await backend.tenants.revoke(tenant, delete=False)
        # On the provider's pages everybody may revoke an own cluster, one that is revoked as well.
        await backend.tenants.revoke(tenant, delete=False, by=by)
        assert meta.annotation(await backend.binding(party), names.REVOKED_BY) == names.BY_OPERATOR
        with pytest.raises(TenantRevoked, match="operators"):
            await backend.join("", person=anna)

    async def test_an_operator_takes_a_persons_revocation_over(self, backend: Lab, anna: Person) -> None:
        await backend.join("", person=anna)
        (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
        await backend.tenants.revoke(tenant, delete=False, by=names.BY_PERSON)
        await backend.tenants.revoke(tenant, delete=False)
        with pytest.raises(TenantRevoked, match="operators"):
            await backend.join("", person=anna)

    async def test_a_login_does_not_undo_a_revocation_that_it_has_not_seen(
        self, backend: Lab, anna: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        party = await backend.join("", person=anna)
        (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
        await backend.tenants.revoke(tenant, delete=False, by=names.BY_PERSON)
        read = Directory.binding

        async def overtaken(self: Directory, namespace: str) -> Object | None:
            found = await read(self, namespace)
            if namespace == party.namespace:
                monkeypatch.undo()
                await backend.tenants.revoke(tenant, delete=False)
            return found

        monkeypatch.setattr(Directory, "binding", overtaken)
        with pytest.raises(TenantRevoked, match="operators"):
            await backend.join("", person=anna)

    async def test_the_controllers_do_not_undo_a_revocation_that_they_have_not_seen(
        self, backend: Lab, anna: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        party = await backend.join("", person=anna)
        (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
        overtaken = asyncio.Event()
        keep = Credentials.keep

        async def late(self: Credentials, namespace: str, secret: str) -> object:
            if namespace != party.namespace:
                return await keep(self, namespace, secret)
            monkeypatch.undo()
            await backend.tenants.revoke(tenant, delete=False)
            kept = await keep(self, namespace, secret)
            overtaken.set()
            return kept

        monkeypatch.setattr(Credentials, "keep", late)
        mark = {"metadata": {"annotations": {names.CREDENTIAL_CHANGED: "look"}}}
        await backend.admin.merge_patch(CLUSTER_BINDINGS, "cluster", mark, namespace=party.namespace)
        await asyncio.wait_for(overtaken.wait(), 60)

        async def nothing_left() -> bool:
            return not (await backend.admin.list(SECRETS, namespace=party.namespace)).items

        await eventually(nothing_left)

    async def test_a_revocation_that_broke_off_is_finished(self, backend: Lab, anna: Person) -> None:
        """Whoever revoked died after the mark and before the end of the credentials."""
        party, other = await backend.join("", person=anna), await backend.join("", "c2", person=anna)
        mark = {names.REVOKED: "2026-01-01T00:00:00Z", names.REVOKED_BY: names.BY_OPERATOR}
        await backend.admin.merge_patch(
            CLUSTER_BINDINGS, "cluster", {"metadata": {"annotations": mark}}, namespace=party.namespace
        )

        async def nothing_left() -> bool:
            secrets = (await backend.admin.list(SECRETS, namespace=party.namespace)).items
            account = await backend.admin.get_or_none(SERVICEACCOUNTS, keys.BINDER, namespace=party.namespace)
            return not secrets and account is None

        await eventually(nothing_left)
        await other.client.get(NAMESPACES, other.namespace)

    @pytest.mark.parametrize("account_ended", [False, True])
    async def test_a_login_revives_nothing_that_a_revocation_left(
        self, backend: Lab, anna: Person, account_ended: bool
    ) -> None:
        """Whoever revoked died on the way, and the person logs in before anybody has finished it."""
        party = await backend.join("", person=anna)
        await backend.condition(party, CLUSTER_BINDINGS, "cluster", names.CREDENTIAL_ISSUED)
        leaked = party.added.kubeconfig
        assert await works(leaked, party.namespace)
        mark = {names.REVOKED: "2026-01-01T00:00:00Z", names.REVOKED_BY: names.BY_PERSON}
        await backend.admin.merge_patch(
            CLUSTER_BINDINGS, "cluster", {"metadata": {"annotations": mark}}, namespace=party.namespace
        )
        if account_ended:
            await backend.admin.delete(SERVICEACCOUNTS, keys.BINDER, namespace=party.namespace)
        again = await backend.join("", person=anna)
        assert again.added.kubeconfig != leaked

        async def ended() -> bool:
            return not await works(leaked, party.namespace)

        await eventually(ended)
        # The new one stays, also when the leader has looked at the revocation.
        await asyncio.sleep(SOON.total_seconds() + 1)
        assert await works(again.added.kubeconfig, again.namespace)
        assert names.REVOKED not in (await backend.binding(again))["metadata"]["annotations"]

    async def test_a_revocation_in_the_middle_of_a_login_wins(
        self, backend: Lab, anna: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        party = await backend.join("", person=anna)
        (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
        # The controllers want the same of a new tenant; they are to be through, or they would be the slow ones.
        await backend.condition(party, CLUSTER_BINDINGS, "cluster", names.CREDENTIAL_ISSUED)
        await backend.admin.delete(SECRETS, "kubeconfig", namespace=party.namespace)
        keep = Credentials.keep

        async def slow(self: Credentials, namespace: str, secret: str) -> object:
            kept = await keep(self, namespace, secret)
            if namespace == party.namespace and self is backend.tenants._credentials:
                monkeypatch.undo()
                await backend.tenants.revoke(tenant, delete=False)
            return kept

        monkeypatch.setattr(Credentials, "keep", slow)
        with pytest.raises(TenantRevoked, match="meanwhile"):
            await backend.join("", person=anna)

        async def nothing_left() -> bool:
            found = (await backend.admin.list(SECRETS, namespace=party.namespace)).items
            return [one["metadata"]["name"] for one in found] == []

        await eventually(nothing_left)


async def test_who_comes_back_after_a_deletion_is_waited_for_again(
    backend: Lab, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the namespace is the same; its rights and its token are not."""
    party = await backend.join("", person=anna)
    (tenant,) = await backend.tenants.of_person(ISSUER, anna.subject)
    await backend.tenants.revoke(tenant, delete=True)

    async def gone() -> bool:
        found = await backend.admin.get_or_none(NAMESPACES, party.namespace)
        return found is None

    await eventually(gone)
    asked: list[str] = []
    ask = usable._may_request

    async def counted(client: Client, namespace: str) -> bool:
        asked.append(namespace)
        return await ask(client, namespace)

    monkeypatch.setattr(usable, "_may_request", counted)
    again = await backend.join("", person=anna)
    assert again.namespace == party.namespace
    assert party.namespace in asked
    # What was seen to work once is not asked again.
    asked.clear()
    await backend.join("", person=anna)
    assert party.namespace not in asked


async def test_a_tenant_cannot_write_its_own_note(backend: Lab, anna: Person) -> None:
    party = await backend.join("", person=anna)
    before = (await backend.binding(party))["metadata"]["annotations"]
    forged = {"metadata": {"annotations": {names.LOGIN: record.note(replace(anna, groups=("admins",)))}}}
    with pytest.raises(Forbidden):
        await party.client.merge_patch(CLUSTER_BINDINGS, "cluster", forged, namespace=party.namespace)
    # The status it may write, and with it nothing else of the object.
    await party.client.merge_patch(
        CLUSTER_BINDINGS,
        "cluster",
        {**forged, "status": {"konnectorVersion": "v1.0.0"}},
        namespace=party.namespace,
        subresource="status",
    )
    after = await backend.binding(party)
    assert after["metadata"]["annotations"] == before
    assert after["status"]["konnectorVersion"] == "v1.0.0"
