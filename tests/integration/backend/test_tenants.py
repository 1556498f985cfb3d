"""Tenants: provisioning, isolation, credentials, service namespaces; under the shipped roles."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bind_agent.api import conditions, keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    CLUSTERROLES,
    CONFIGMAPS,
    CORE_EVENTS,
    NAMESPACES,
    ROLEBINDINGS,
    SECRETS,
    SERVICE_NAMESPACES,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.backend import access, names
from bind_agent.backend.person import Person
from bind_agent.backend.tenancy import rotation
from bind_agent.backend.tenancy.address import AddressError
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.identity import Identity, identity, namespace_candidates
from bind_agent.backend.tenancy.provision import TenancyError
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Forbidden, NotFound
from tests.fakes.backend_lab import Lab, Party, claim, eventually, works

pytestmark = pytest.mark.integration

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


async def secret(backend: Lab, party: Party, name: str = keys.KUBECONFIG) -> Object | None:
    return await backend.admin.get_or_none(SECRETS, name, namespace=party.namespace)


class TestProvisioning:
    async def test_what_stands_in_a_tenants_namespace(self, backend: Lab) -> None:
        party = await backend.join("anna", "c7")
        namespace = await backend.admin.get(NAMESPACES, party.namespace)
        assert namespace["metadata"]["annotations"][keys.IDENTITY] == "anna#c7"
        binding = await backend.binding(party)
        assert binding["spec"] == {
            "providerPrettyName": "Lab",
            "kubeconfigSecretRef": {"name": "kubeconfig", "key": "kubeconfig"},
        }
        stored = await secret(backend, party)
        assert stored is not None
        state = rotation.read(stored)
        assert state.issued is not None
        assert state.issued.namespace == party.namespace
        # Usable from the first moment: the Go CLI does not retry.
        await party.client.get(NAMESPACES, party.namespace)
        await party.client.list(SERVICE_NAMESPACES, namespace=party.namespace)
        await backend.condition(party, CLUSTER_BINDINGS, "cluster", names.CREDENTIAL_ISSUED)
        await backend.condition(party, CLUSTER_BINDINGS, "cluster", "Healthy", "FirstHeartbeatPending")

    async def test_adding_again_hands_the_same_tenant_out(self, backend: Lab) -> None:
        first, second = await backend.join("twice"), await backend.join("twice")
        assert (first.added.created, second.added.created) == (True, False)
        assert first.added.kubeconfig == second.added.kubeconfig

    async def test_two_at_once_make_one_tenant(self, backend: Lab) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(backend.join("race")) for _ in range(4)]
        assert len({task.result().namespace for task in tasks}) == 1
        found = [one for one in await backend.tenants.list() if str(one.who) == "race#c1"]
        assert len(found) == 1

    async def test_a_foreign_namespace_of_that_name_is_left_alone(self, backend: Lab) -> None:
        who = identity("taken", "c1")
        name = namespace_candidates("cluster", who)[0]
        foreign = await backend.admin.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
        party = await backend.join("taken")
        assert party.namespace != name
        after = await backend.admin.get(NAMESPACES, name)
        assert after["metadata"]["resourceVersion"] == foreign["metadata"]["resourceVersion"]

    async def test_a_tenant_of_a_go_backend_is_taken_over(
        self, backend: Lab, unique: Callable[[str], str]
    ) -> None:
        name = unique("cluster")
        marks = {keys.IDENTITY: "gopher#c1"}
        await backend.admin.create(
            NAMESPACES,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": marks}},
        )
        party = await backend.join("gopher")
        assert (party.namespace, party.added.created) == (name, False)

    async def test_finding(self, backend: Lab) -> None:
        one, two = await backend.join("finder", "c1"), await backend.join("finder", "c2")
        assert (await backend.tenants.find("finder#c2")).namespace == two.namespace
        assert (await backend.tenants.find(one.namespace)).namespace == one.namespace
        with pytest.raises(TenancyError, match=one.namespace):
            await backend.tenants.find("finder")
        with pytest.raises(TenancyError, match="tenant list"):
            await backend.tenants.find("nobody")

    async def test_namesakes_are_told_apart(self, backend: Lab) -> None:
        """An account of an issuer and a tenant of the command line may have the same name and cluster id."""
        issuer = "https://issuer.example"
        theirs = await backend.join("", "c1", person=Person(issuer, "namesake"))
        ours = await backend.join("namesake", "c1")
        with pytest.raises(TenancyError) as several:
            await backend.tenants.find("namesake")
        assert f"{theirs.namespace} (cluster id c1, issuer {issuer})" in str(several.value)
        assert f"{ours.namespace} (cluster id c1, of the command line)" in str(several.value)
        (found,) = await backend.tenants.namesakes(Identity("namesake", "c1"))
        assert found.namespace == theirs.namespace

        await backend.tenants.revoke(found, delete=False)
        command = f"`bind-backend tenant add namesake --cluster-id=c1 --issuer={issuer}`"
        told = await backend.condition(
            theirs, CLUSTER_BINDINGS, "cluster", "CredentialIssued", "CredentialRevoked"
        )
        assert command in told.message
        with pytest.raises(TenancyError, match=re.escape(command)):
            await backend.tenants.rotate(found, overlap=timedelta(0))
        again = await backend.tenants.add(
            Identity("namesake", "c1", issuer), prefix="cluster", pretty_name="Lab"
        )
        assert (again.namespace, again.created) == (theirs.namespace, False)


async def allowed(
    client: Client, verb: str, resource: Resource, namespace: str = "", subresource: str = ""
) -> bool:
    review = await client.can_i(
        verb=verb,
        group=resource.group,
        resource=resource.plural,
        namespace=namespace,
        subresource=subresource,
    )
    return review.allowed


class TestIsolation:
    async def test_access_matrix(self, backend: Lab, kind: Resource) -> None:
        await backend.publish(kind, claim("secrets"))
        one, other = await backend.join("mine"), await backend.join("theirs")
        mine, theirs = await backend.mapping(one, "team"), await backend.mapping(other, "team")
        await backend.bind(one, kind)
        await backend.bind(other, kind)

        async def granted() -> bool:
            return await allowed(one.client, "create", kind, mine)

        await eventually(granted)
        for resource in (kind, SECRETS):
            for verb in VERBS:
                assert await allowed(one.client, verb, resource, mine), (verb, resource)
                for namespace in (theirs, "kube-system", "default", ""):
                    assert not await allowed(one.client, verb, resource, namespace), (
                        verb,
                        resource,
                        namespace,
                    )
        for resource in (SECRETS, CLUSTER_BINDINGS, SERVICE_NAMESPACES):
            for verb in VERBS:
                assert not await allowed(one.client, verb, resource, other.namespace), (verb, resource)
        assert await allowed(one.client, "patch", CLUSTER_BINDINGS, one.namespace, "status")
        assert not await allowed(one.client, "patch", CLUSTER_BINDINGS, other.namespace, "status")
        assert not await allowed(one.client, "patch", SERVICE_NAMESPACES, one.namespace, "status")
        assert not await allowed(one.client, "create", SECRETS, one.namespace)

    async def test_a_stolen_credential_is_of_no_other_use(self, backend: Lab) -> None:
        party = await backend.join("thief")
        csr = Resource("certificates.k8s.io", "v1", "certificatesigningrequests", namespaced=False)
        for verb, resource, namespace, subresource in (
            ("create", SERVICEACCOUNTS, party.namespace, "token"),
            ("impersonate", SERVICEACCOUNTS, party.namespace, ""),
            ("impersonate", Resource("", "v1", "users", namespaced=False), "", ""),
            ("create", csr, "", ""),
            ("list", NAMESPACES, "", ""),
            ("create", ROLEBINDINGS, party.namespace, ""),
            ("bind", CLUSTERROLES, "", ""),
            ("escalate", CLUSTERROLES, "", ""),
        ):
            assert not await allowed(party.client, verb, resource, namespace, subresource), (verb, resource)

    async def test_the_backends_own_rights_end_at_tenants(self, backend: Lab) -> None:
        for verb in ("get", "list", "watch", "create", "update", "delete"):
            assert not await allowed(backend.own, verb, Resource("apps", "v1", "deployments"), "default")
        assert not await allowed(backend.own, "escalate", CLUSTERROLES)
        assert not await allowed(backend.own, "create", SERVICEACCOUNTS, "kube-system", "token")

    async def test_admission_holds_where_rbac_cannot(
        self, backend: Lab, unique: Callable[[str], str]
    ) -> None:
        foreign = unique("foreign")
        await backend.admin.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": foreign}}
        )
        config = from_kubeconfig(
            await backend.stage.account_kubeconfig(backend.cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT)
        )
        binding = access.backend_binding("kube-system", (BACKEND_NAMESPACE, BACKEND_ACCOUNT))
        rules = [{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]
        role = await backend.admin.create(
            CLUSTERROLES,
            {
                "apiVersion": CLUSTERROLES.api_version,
                "kind": "ClusterRole",
                "metadata": {"name": foreign},
                "rules": rules,
            },
        )
        async with Client.open(config, user_agent="attacker-in-tests") as client:
            with pytest.raises(Forbidden, match="namespaces of tenants"):
                await client.create(ROLEBINDINGS, binding)
            with pytest.raises(Forbidden, match="namespaces of tenants"):
                await client.delete(NAMESPACES, foreign)
            with pytest.raises(Forbidden, match="namespaces of tenants"):
                await client.create(
                    NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
                )
            with pytest.raises(Forbidden, match="roles of tenants"):
                await client.replace(CLUSTERROLES, {**role, "rules": []})


class TestCredentials:
    async def test_rotation_by_timer_keeps_the_old_one_alive(self, backend: Lab) -> None:
        party = await backend.join("renewal")
        due = {"metadata": {"annotations": {names.TOKEN_RENEW: "2026-01-01T00:00:00Z"}}}
        await backend.admin.merge_patch(SECRETS, keys.KUBECONFIG, due, namespace=party.namespace)
        wake = {"metadata": {"annotations": {names.CREDENTIAL_CHANGED: "now"}}}
        await backend.admin.merge_patch(CLUSTER_BINDINGS, "cluster", wake, namespace=party.namespace)

        async def renewed() -> Object | None:
            stored = await secret(backend, party)
            return stored if rotation.read(stored).generation == 2 else None

        state = rotation.read(await eventually(renewed))
        assert [old.generation for old in state.retiring] == [1]
        assert await works(party.added.kubeconfig, party.namespace)

    async def test_an_ordered_rotation_overlaps_and_a_timer_ends_the_old_one(self, backend: Lab) -> None:
        party = await backend.join("overlap")
        tenant = await backend.tenants.find(party.namespace)
        await backend.tenants.rotate(tenant, overlap=timedelta(seconds=2))
        assert await works(party.added.kubeconfig, party.namespace)
        await backend.gone(SECRETS, rotation.token_secret(1), party.namespace)

        async def ended() -> bool:
            return not await works(party.added.kubeconfig, party.namespace)

        await eventually(ended, timeout=30)
        fresh = await backend.join("overlap")
        assert await works(fresh.added.kubeconfig, party.namespace)

    async def test_rotate_now_ends_the_old_one_at_once(self, backend: Lab) -> None:
        party = await backend.join("now")
        tenant = await backend.tenants.find(party.namespace)
        await backend.tenants.rotate(tenant, overlap=timedelta(0))
        assert await secret(backend, party, rotation.token_secret(1)) is None

        async def ended() -> bool:
            return not await works(party.added.kubeconfig, party.namespace)

        await eventually(ended, timeout=30)

    async def test_a_deleted_secret_comes_back(self, backend: Lab) -> None:
        party = await backend.join("lost")
        await backend.admin.delete(SECRETS, keys.KUBECONFIG, namespace=party.namespace)
        wake = {"metadata": {"annotations": {names.CREDENTIAL_CHANGED: "now"}}}
        await backend.admin.merge_patch(CLUSTER_BINDINGS, "cluster", wake, namespace=party.namespace)

        async def back() -> bool:
            return rotation.read(await secret(backend, party)).issued is not None

        await eventually(back)

    async def test_without_a_known_address_old_kubeconfigs_keep_theirs(self, backend: Lab) -> None:
        party = await backend.join("address")
        unknown = Credentials(backend.own, endpoint=AddressError("set --external-address"))
        tenant = party.namespace
        state = await unknown.rotate(tenant, keys.KUBECONFIG, overlap=timedelta(hours=1))
        assert state.issued is not None
        assert party.added.credential.issued is not None
        assert state.issued.endpoint == party.added.credential.issued.endpoint
        with pytest.raises(AddressError, match="--external-address"):
            await unknown.keep(tenant, "another")

    async def test_another_address_reaches_every_tenant(self, backend: Lab) -> None:
        party = await backend.join("moved")
        assert party.added.credential.issued is not None
        moved = replace(party.added.credential.issued.endpoint, tls_server_name="api.example.org")
        kept = await Credentials(backend.own, endpoint=moved, demanded=True).keep(
            party.namespace, keys.KUBECONFIG
        )
        assert kept.written
        assert rotation.read(await secret(backend, party)).issued == kept.state.issued
        assert kept.state.issued is not None
        assert kept.state.issued.endpoint == moved

    async def test_revoking_ends_everything_until_the_tenant_is_added_again(self, backend: Lab) -> None:
        party = await backend.join("out")
        await backend.tenants.revoke(await backend.tenants.find(party.namespace), delete=False)
        assert await secret(backend, party) is None
        await backend.condition(
            party, CLUSTER_BINDINGS, "cluster", names.CREDENTIAL_ISSUED, names.REASON_CREDENTIAL_REVOKED
        )

        async def ended() -> bool:
            return not await works(party.added.kubeconfig, party.namespace)

        await eventually(ended, timeout=30)
        with pytest.raises(TenancyError, match="tenant add"):
            await backend.tenants.rotate(await backend.tenants.find(party.namespace), overlap=timedelta(0))
        again = await backend.join("out")
        assert again.namespace == party.namespace
        assert await works(again.added.kubeconfig, party.namespace)
        await backend.condition(party, CLUSTER_BINDINGS, "cluster", names.CREDENTIAL_ISSUED)

    async def test_deleting_a_tenant_leaves_nothing(self, backend: Lab, kind: Resource) -> None:
        party = await backend.join("away")
        await backend.publish(kind)
        await backend.bind(party, kind)
        namespace = await backend.mapping(party, "team")
        await backend.tenants.revoke(await backend.tenants.find(party.namespace), delete=True)
        await backend.gone(NAMESPACES, namespace)
        await backend.gone(NAMESPACES, party.namespace)
        await backend.gone(CLUSTERROLES, keys.dynamic_role(party.namespace))

    async def test_no_token_is_seen_anywhere_else(
        self, backend: Lab, caplog: pytest.LogCaptureFixture
    ) -> None:
        party = await backend.join("canary")
        await backend.tenants.rotate(await backend.tenants.find(party.namespace), overlap=timedelta(hours=1))
        stored = await secret(backend, party)
        issued = rotation.read(stored).issued
        assert issued is not None
        seen = [str(await backend.binding(party)), caplog.text]
        seen += [str(one) for one in (await backend.admin.list(CORE_EVENTS)).items]
        seen += [one.uri for one in backend.cluster.audit_requests()]
        assert not [text for text in seen if issued.token in text]


class TestServiceNamespaces:
    async def test_record_role_and_status(self, backend: Lab) -> None:
        party = await backend.join("spaces")
        namespace = await backend.mapping(party, "team")
        assert namespace == f"{party.namespace}-team"
        found = await backend.admin.get(NAMESPACES, namespace)
        assert found["metadata"]["annotations"][keys.API_SERVICE_NAMESPACE] == f"{party.namespace}/team"
        binding = await backend.admin.get(ROLEBINDINGS, keys.BINDER, namespace=namespace)
        assert binding["roleRef"]["name"] == keys.dynamic_role(party.namespace)

    async def test_it_goes_with_its_mapping_and_never_before(self, backend: Lab) -> None:
        party = await backend.join("leaving")
        namespace = await backend.mapping(party, "team")
        blocker = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "slow", "namespace": namespace, "finalizers": ["example.org/slow"]},
        }
        await backend.admin.create(CONFIGMAPS, blocker)
        await party.client.delete(SERVICE_NAMESPACES, "team", namespace=party.namespace)

        async def going() -> bool:
            return await backend.namespace(namespace) is None

        await eventually(going)
        # Its content is still there, so the mapping stays, and no new one can show that content to anybody.
        assert await backend.admin.get(SERVICE_NAMESPACES, "team", namespace=party.namespace)
        free = {"metadata": {"finalizers": None}}
        await backend.admin.merge_patch(CONFIGMAPS, "slow", free, namespace=namespace)
        await backend.gone(SERVICE_NAMESPACES, "team", party.namespace)
        await backend.gone(NAMESPACES, namespace)
        assert await backend.mapping(party, "team") == namespace

    async def test_a_foreign_namespace_is_neither_taken_nor_deleted(self, backend: Lab) -> None:
        party = await backend.join("squatter")
        name = f"{party.namespace}-team"
        foreign = await backend.admin.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
        namespace = await backend.mapping(party, "team")
        assert namespace != name
        await party.client.delete(SERVICE_NAMESPACES, "team", namespace=party.namespace)
        await backend.gone(NAMESPACES, namespace)
        after = await backend.admin.get(NAMESPACES, name)
        assert after["metadata"]["resourceVersion"] == foreign["metadata"]["resourceVersion"]
        assert await backend.admin.get_or_none(ROLEBINDINGS, keys.BINDER, namespace=name) is None

    async def test_a_status_that_names_a_foreign_namespace_is_refused(self, backend: Lab) -> None:
        party = await backend.join("forger")
        await backend.mapping(party, "team")
        status = {"status": {"namespace": "kube-public"}}
        await backend.admin.merge_patch(
            SERVICE_NAMESPACES, "team", status, namespace=party.namespace, subresource="status"
        )

        async def told() -> bool:
            events = await backend.admin.list(CORE_EVENTS, namespace=party.namespace)
            return any(one["reason"] == "NamespaceConflict" for one in events.items)

        await eventually(told)
        assert await backend.admin.get_or_none(ROLEBINDINGS, keys.BINDER, namespace="kube-public") is None

    async def test_a_mapping_whose_finalizer_was_stripped(self, backend: Lab) -> None:
        party = await backend.join("stripper")
        namespace = await backend.mapping(party, "team")
        strip = {"metadata": {"finalizers": None}}
        async with asyncio.TaskGroup() as group:
            group.create_task(
                party.client.merge_patch(SERVICE_NAMESPACES, "team", strip, namespace=party.namespace)
            )
            group.create_task(_delete_until_gone(party))
        await backend.gone(NAMESPACES, namespace)

    async def test_a_namespace_deleted_by_hand_comes_back(self, backend: Lab) -> None:
        party = await backend.join("restorer")
        namespace = await backend.mapping(party, "team")
        old = await backend.admin.get(NAMESPACES, namespace)
        await backend.admin.delete(NAMESPACES, namespace)

        async def back() -> bool:
            found = await backend.namespace(namespace)
            bound = await backend.admin.get_or_none(ROLEBINDINGS, keys.BINDER, namespace=namespace)
            return (
                found is not None and bound is not None and found["metadata"]["uid"] != old["metadata"]["uid"]
            )

        await eventually(back)


async def _delete_until_gone(party: Party) -> None:
    strip = {"metadata": {"finalizers": None}}
    while await party.client.delete(SERVICE_NAMESPACES, "team", namespace=party.namespace) is not None:
        try:
            await party.client.merge_patch(SERVICE_NAMESPACES, "team", strip, namespace=party.namespace)
        except NotFound:
            return


class TestUpkeep:
    async def test_changed_and_deleted_grants_are_restored(self, backend: Lab, kind: Resource) -> None:
        party = await backend.join("drift")
        await backend.publish(kind)
        await backend.bind(party, kind)
        namespace = await backend.mapping(party, "team")
        role = keys.dynamic_role(party.namespace)
        await backend.admin.delete(CLUSTERROLES, role)
        bound = await backend.admin.get(ROLEBINDINGS, keys.BINDER, namespace=namespace)
        await backend.admin.replace(ROLEBINDINGS, {**bound, "subjects": []})
        await backend.admin.delete(ROLEBINDINGS, keys.BINDER, namespace=party.namespace)

        async def restored() -> bool:
            rules = (await backend.admin.get(CLUSTERROLES, role)).get("rules")
            subjects = (await backend.admin.get(ROLEBINDINGS, keys.BINDER, namespace=namespace)).get(
                "subjects"
            )
            own = await backend.admin.get_or_none(ROLEBINDINGS, keys.BINDER, namespace=party.namespace)
            return bool(rules and subjects and own)

        async def without_errors() -> bool:
            try:
                return await restored()
            except NotFound:
                return False

        await eventually(without_errors)

    async def test_a_silent_konnector_is_noticed_by_a_timer(self, backend: Lab) -> None:
        party = await backend.join("heart")
        beat = {
            "status": {
                "lastHeartbeatTime": conditions.timestamp(datetime.now(UTC)),
                "heartbeatInterval": "1s",
                "konnectorVersion": "v1.5.0",
            }
        }
        await party.client.merge_patch(
            CLUSTER_BINDINGS, "cluster", beat, namespace=party.namespace, subresource="status"
        )
        await backend.condition(party, CLUSTER_BINDINGS, "cluster", "Healthy")
        await backend.condition(party, CLUSTER_BINDINGS, "cluster", "Healthy", "HeartbeatTimeout")

    async def test_a_converged_backend_asks_for_nothing(self, backend: Lab) -> None:
        # Exports of other tests may lack rights, which are asked about again and again: they have not converged.
        asides = {"leases", "events", "selfsubjectrulesreviews"}

        async def quiet() -> bool:
            """Eight seconds in a row; what other tests left behind may still be under way before."""
            mark = backend.cluster.audit_mark()
            await asyncio.sleep(8)
            asked = [
                f"{one.verb} {one.uri}"
                for one in backend.cluster.audit_requests(since=mark)
                if one.user.endswith(":bind-backend") and one.resource not in asides
            ]
            # Watches end by themselves now and then and go on; nothing is listed and nothing written.
            assert [one for one in asked if not one.startswith("watch")] == []
            return True

        await eventually(quiet, timeout=90)
