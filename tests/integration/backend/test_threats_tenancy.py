"""Attacks of the group tenancy, credentials, state, each with its positive twin (ids: threat model).

Excluded here: A73 (leases, tested with the runtime and the sync), and what only a konnector can show. The
whole matrix of verbs and kinds is in `test_two_tenants`, measured times are in `test_credentials`.
"""

import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import prometheus_client
import pytest

from bind_agent.api import conditions, keys, meta, naming
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    CLUSTERROLES,
    CONFIGMAPS,
    CORE_EVENTS,
    EXPORT_REQUESTS,
    EXPORTS,
    NAMESPACES,
    ROLEBINDINGS,
    SECRETS,
    SERVICE_NAMESPACES,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.backend import names
from bind_agent.backend.person import Person
from bind_agent.backend.tenancy.provision import TenantRevoked
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Forbidden, KubeError, NotFound, Unauthorized
from bind_agent.manifests import load_manifests
from tests.fakes.backend_lab import Lab, Party, claim, eventually, granted, instance

pytestmark = pytest.mark.integration

CSRS = Resource(
    "certificates.k8s.io",
    "v1",
    "certificatesigningrequests",
    namespaced=False,
    kind="CertificateSigningRequest",
)
PODS = Resource("", "v1", "pods", kind="Pod")
Unique = Callable[[str], str]


def token_of(party: Party) -> str:
    issued = party.added.credential.issued
    assert issued is not None
    return issued.token


def subject_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


async def raw(party: Party, path: str, **headers: str) -> int:
    """A request past our own client, with headers of the attacker's choice."""
    config = party.client.config
    assert config.ca_pem is not None
    context = ssl.create_default_context(cadata=config.ca_pem.decode())
    sent = {"Authorization": f"Bearer {token_of(party)}", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.get(config.server + path, ssl=context, headers=sent) as answer,
    ):
        return answer.status


async def refused(request: Awaitable[Any], words: str) -> None:
    with pytest.raises(Forbidden, match=words):
        await request


def service_namespace(name: str, namespace: str, **more: Any) -> Object:
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_SERVICE_NAMESPACE,
        "metadata": {"name": name, "namespace": namespace, **more.pop("metadata", {})},
        **more,
    }


async def told(backend: Lab, namespace: str, reason: str) -> None:
    async def seen() -> bool:
        events = await backend.admin.list(CORE_EVENTS, namespace=namespace)
        return any(one["reason"] == reason for one in events.items)

    await eventually(seen)


class TestA30NamesThatJoinTheSameWay:
    """(`a`, `b-c`) and (`a-b`, `c`) both join to `a-b-c`."""

    async def left_by_go(self, backend: Lab, name: str, who: str) -> Party:
        """A tenant whose namespace has a name of the attacker's liking, as Go backends would find it."""
        marks = {keys.IDENTITY: f"{who}#c1"}
        await backend.admin.create(
            NAMESPACES,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": marks}},
        )
        party = await backend.join(who)
        assert party.namespace == name
        return party

    async def test_two_pairs_two_namespaces(self, backend: Lab, unique: Unique) -> None:
        short = unique("a30")[-20:].strip("-")
        one = await self.left_by_go(backend, short, unique("one"))
        two = await self.left_by_go(backend, f"{short}-b", unique("two"))
        first, second = await backend.mapping(one, "b-c"), await backend.mapping(two, "c")
        assert naming.service_namespace(one.namespace, "b-c") == naming.service_namespace(two.namespace, "c")
        assert first != second
        for party, namespace, record in ((one, first, "b-c"), (two, second, "c")):
            found = await backend.admin.get(NAMESPACES, namespace)
            assert meta.annotation(found, keys.API_SERVICE_NAMESPACE) == f"{party.namespace}/{record}"
            binding = await backend.admin.get(ROLEBINDINGS, keys.BINDER, namespace=namespace)
            assert [one["namespace"] for one in binding["subjects"]] == [party.namespace]
        # One that leaves takes its own with it, and not the other's.
        await two.client.delete(SERVICE_NAMESPACES, "c", namespace=two.namespace)
        await backend.gone(NAMESPACES, second)
        assert await backend.namespace(first)

    async def test_identities_that_join_the_same_way(self, backend: Lab, unique: Unique) -> None:
        """Issuer, subject and cluster id are divided by their lengths, not by a character."""
        base = unique("sub")
        parties = [
            await backend.join("", cluster_id, person=Person(issuer, subject))
            for issuer, subject, cluster_id in (
                ("https://i.example.org", f"{base}#x", "c"),
                ("https://i.example.org", base, "c"),
                ("https://i.example.org", f"{base}c", "c"),
                ("https://i.example.org", base, "cc"),
                (f"https://i.example.org{base}", "x", "c"),
            )
        ]
        assert len({party.namespace for party in parties}) == len(parties)


class TestA33ClusterScopedNames:
    """Two tenants create `cloud`: the prefix keeps them apart, and admission keeps the prefix."""

    async def test_cluster_scoped_objects_by_prefix_and_mark(
        self, wide: Lab, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        """Nobody reaches the other's object, whatever it is called."""
        scoped = kind.scoped(namespaced=False)
        await wide.publish(scoped)
        a, b = await wide.join(unique("a")), await wide.join(unique("b"))
        for party in (a, b):
            await wide.bind(party, scoped)
            await granted(party, scoped, "")
        names_ = {party.namespace: f"{party.namespace}-cloud" for party in (a, b)}
        for party in (a, b):
            marks = {keys.CLUSTER_NAMESPACE: party.namespace}
            await party.client.create(scoped, instance(scoped, names_[party.namespace], annotations=marks))

        theirs = names_[b.namespace]

        async def guarded() -> bool:
            try:
                await a.client.merge_patch(scoped, theirs, {"spec": {"size": 9}}, dry_run=True)
            except Forbidden:
                return True
            return False

        await eventually(guarded)
        await refused(a.client.delete(scoped, theirs), "own prefix")
        await refused(a.client.create(scoped, instance(scoped, "cloud")), "own prefix")
        await refused(a.client.create(scoped, instance(scoped, f"{b.namespace}-new")), "own prefix")
        forged = instance(scoped, f"{a.namespace}-forged", annotations={keys.CLUSTER_NAMESPACE: b.namespace})
        await refused(a.client.create(scoped, forged), "own prefix")
        # A name with the own prefix that somebody else has marked is not taken.
        marked = instance(
            scoped, f"{a.namespace}-x", annotations={keys.CLUSTER_NAMESPACE: f"{a.namespace}-x"}
        )
        await wide.admin.create(scoped, marked)
        await refused(a.client.merge_patch(scoped, f"{a.namespace}-x", {"spec": {"size": 9}}), "own prefix")
        await refused(a.client.delete(scoped, f"{a.namespace}-x"), "own prefix")
        # Twins.
        await a.client.merge_patch(scoped, names_[a.namespace], {"spec": {"size": 9}})
        await a.client.delete(scoped, names_[a.namespace])
        with pytest.raises(NotFound):
            await a.client.get(scoped, names_[a.namespace])
        assert await b.client.get(scoped, theirs)


class TestA34MappingsThatPointElsewhere:
    async def test_a_tenant_cannot_move_its_mapping(self, backend: Lab, unique: Unique) -> None:
        victim, thief = await backend.join(unique("victim")), await backend.join(unique("thief"))
        theirs = await backend.mapping(victim, "team")
        mine = await backend.mapping(thief, "team")
        pointing = {"status": {"namespace": theirs}}
        with pytest.raises(Forbidden):
            await thief.client.merge_patch(
                SERVICE_NAMESPACES, "team", pointing, namespace=thief.namespace, subresource="status"
            )
        # Through the main resource the server drops it; marks of the service namespace mean nothing here.
        marks = {"annotations": {keys.API_SERVICE_NAMESPACE: f"{victim.namespace}/team"}}
        await thief.client.merge_patch(
            SERVICE_NAMESPACES, "team", {"metadata": marks, **pointing}, namespace=thief.namespace
        )
        # Nor does a new mapping with a status of its own.
        await thief.client.create(
            SERVICE_NAMESPACES,
            service_namespace("other", thief.namespace, metadata=marks, **pointing),
        )
        assert await backend.mapped(thief, "other") == f"{thief.namespace}-other"
        assert await backend.mapped(thief, "team") == mine
        binding = await backend.admin.get(ROLEBINDINGS, keys.BINDER, namespace=theirs)
        assert [one["namespace"] for one in binding["subjects"]] == [victim.namespace]
        # The victim's own mapping works, and is nobody else's to see.
        await victim.client.get(SERVICE_NAMESPACES, "team", namespace=victim.namespace)
        with pytest.raises(Forbidden):
            await thief.client.get(SERVICE_NAMESPACES, "team", namespace=victim.namespace)

    async def test_names_of_others_give_namespaces_of_ones_own(self, backend: Lab, unique: Unique) -> None:
        victim, thief = await backend.join(unique("victim")), await backend.join(unique("thief"))
        for name in ("kube-system", "default", victim.namespace):
            given = await backend.mapping(thief, name)
            found = await backend.admin.get(NAMESPACES, given)
            assert given not in {"kube-system", "default", victim.namespace}
            assert meta.annotation(found, keys.API_SERVICE_NAMESPACE) == f"{thief.namespace}/{name}"
        assert await backend.admin.get_or_none(ROLEBINDINGS, keys.BINDER, namespace="kube-system") is None

    async def test_a_status_of_somebody_with_more_rights_is_refused(
        self, backend: Lab, unique: Unique
    ) -> None:
        victim, thief = await backend.join(unique("victim")), await backend.join(unique("thief"))
        theirs = await backend.mapping(victim, "team")
        await backend.mapping(thief, "team")
        await backend.admin.merge_patch(
            SERVICE_NAMESPACES,
            "team",
            {"status": {"namespace": theirs}},
            namespace=thief.namespace,
            subresource="status",
        )
        await told(backend, thief.namespace, "NamespaceConflict")
        binding = await backend.admin.get(ROLEBINDINGS, keys.BINDER, namespace=theirs)
        assert [one["namespace"] for one in binding["subjects"]] == [victim.namespace]
        # Leaving with it deletes the thief's own namespace, not the one it points to.
        await thief.client.delete(SERVICE_NAMESPACES, "team", namespace=thief.namespace)
        await backend.gone(SERVICE_NAMESPACES, "team", thief.namespace)
        assert await backend.namespace(theirs)


class TestA67StolenCredential:
    async def test_it_opens_nothing_else(self, backend: Lab, unique: Unique) -> None:
        victim, thief = await backend.join(unique("victim")), await backend.join(unique("thief"))
        client = thief.client
        for path in (
            "/api/v1/secrets",
            "/api/v1/namespaces",
            f"/api/v1/namespaces/{victim.namespace}/secrets/{keys.KUBECONFIG}",
            f"/api/v1/namespaces/{victim.namespace}/secrets?watch=1&timeoutSeconds=1",
            "/api/v1/namespaces/kube-system/secrets",
            "/api/v1/nodes",
            "/metrics",
            "/logs/",
        ):
            assert await raw(thief, path) == 403, path
        for account in (thief.namespace, victim.namespace, "kube-system"):
            with pytest.raises(Forbidden):
                await client.create_token(account, keys.BINDER, expiration_seconds=600)
        own = f"/api/v1/namespaces/{thief.namespace}"
        assert await raw(thief, own) == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"Impersonate-User": "system:admin"},
            {"Impersonate-User": "anna", "Impersonate-Group": "system:masters"},
            {"Impersonate-User": "system:serviceaccount:klutch-bind-backend:bind-backend"},
            {"Impersonate-User": "anna", "Impersonate-Extra-Scopes": "all"},
            {"Impersonate-User": "anna", "Impersonate-Uid": "1"},
        ],
        ids=["admin", "masters", "backend", "extra", "uid"],
    )
    async def test_nobody_is_impersonated(
        self, backend: Lab, unique: Unique, headers: dict[str, str]
    ) -> None:
        thief = await backend.join(unique("thief"))
        path = f"/api/v1/namespaces/{thief.namespace}"
        assert await raw(thief, path, **headers) == 403
        assert await raw(thief, path) == 200

    async def test_only_what_its_person_may_bind_can_be_requested(
        self, backend: Lab, kind: Resource, unique: Unique
    ) -> None:
        await backend.publish(kind, template=False)
        template = {
            "apiVersion": keys.TEMPLATE_API_VERSION,
            "kind": keys.KIND_TEMPLATE,
            "metadata": {"name": kind.crd_name, "namespace": "default"},
            "spec": {
                "APIServiceSelector": {"group": kind.group, "resource": kind.plural},
                "allowed": {"groups": ["dba"]},
            },
        }
        await backend.admin.apply(
            Resource(keys.TEMPLATE_GROUP, "v1alpha1", "apiserviceexporttemplates"),
            template,
            field_manager="platform",
        )
        person = Person("https://login.example.org", unique("sub"))
        thief = await backend.join("", person=person)
        await backend.request(thief, kind)
        await backend.condition(thief, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "NotAllowed")
        assert await backend.export(thief, kind) is None
        await backend.bind(
            await backend.join("", person=replace(person, subject=unique("dba"), groups=("dba",))), kind
        )


class TestA68OtherNames:
    async def test_no_certificate_for_any_name(self, backend: Lab, unique: Unique) -> None:
        thief = await backend.join(unique("thief"))
        request = {
            "apiVersion": CSRS.api_version,
            "kind": CSRS.kind,
            "metadata": {"name": unique("csr")},
            "spec": {
                "request": base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----").decode(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
            },
        }
        with pytest.raises(Forbidden):
            await thief.client.create(CSRS, request)
        with pytest.raises(Forbidden):
            await thief.client.list(CSRS)

    async def test_renewal_is_of_the_same_identity(self, backend: Lab, unique: Unique) -> None:
        party = await backend.join(unique("same"))
        before = subject_of(token_of(party))
        state = await backend.tenants.rotate(
            await backend.tenants.find(party.namespace), overlap=timedelta(hours=1)
        )
        assert state.issued is not None
        after = subject_of(state.issued.token)
        assert after["sub"] == before["sub"] == f"system:serviceaccount:{party.namespace}:{keys.BINDER}"
        assert (after["aud"], after["iss"]) == (before["aud"], before["iss"])
        account = "serviceaccount"
        assert after["kubernetes.io"][account] == before["kubernetes.io"][account]
        assert after["kubernetes.io"]["secret"] != before["kubernetes.io"]["secret"]

    async def test_a_login_never_gets_the_tenant_of_a_like_named_one(
        self, backend: Lab, unique: Unique
    ) -> None:
        """Exact match of all parts, never a prefix."""
        subject, issuer = unique("anna"), "https://login.example.org"
        mine = await backend.join("", "c1", person=Person(issuer, subject))
        for other in (
            Person(issuer, f"{subject}x"),
            Person(issuer, subject[:-1]),
            Person(f"{issuer}/", subject),
            Person(issuer.upper(), subject),
        ):
            assert (await backend.join("", "c1", person=other)).namespace != mine.namespace
        assert (await backend.join("", "c1", person=Person(issuer, subject))).namespace == mine.namespace


class TestA70ForgedHeartbeats:
    async def test_only_ones_own_is_written(self, backend: Lab, kind: Resource, unique: Unique) -> None:
        victim, thief = await backend.join(unique("victim")), await backend.join(unique("thief"))
        await backend.publish(kind)
        await backend.bind(victim, kind)
        now = conditions.timestamp(datetime.now(UTC))
        beat = {
            "status": {"lastHeartbeatTime": now, "heartbeatInterval": "5m0s", "konnectorVersion": "v1.5.0"}
        }
        alive = [{"type": "Healthy", "status": "True", "lastTransitionTime": now}]
        for resource, name, patch in (
            (CLUSTER_BINDINGS, "cluster", beat),
            (CLUSTER_BINDINGS, "cluster", {"status": {"conditions": alive}}),
            (EXPORTS, kind.crd_name, {"status": {"conditions": alive}}),
        ):
            with pytest.raises(Forbidden):
                await thief.client.merge_patch(
                    resource, name, patch, namespace=victim.namespace, subresource="status"
                )
        await backend.condition(victim, CLUSTER_BINDINGS, "cluster", "Healthy", "FirstHeartbeatPending")
        await victim.client.merge_patch(
            CLUSTER_BINDINGS, "cluster", beat, namespace=victim.namespace, subresource="status"
        )
        await backend.condition(victim, CLUSTER_BINDINGS, "cluster", "Healthy")

    async def test_conditions_of_the_backend_are_put_right(
        self, backend: Lab, kind: Resource, unique: Unique
    ) -> None:
        """A tenant may write its own status; what the backend says there it says again."""
        party = await backend.join(unique("liar"))
        await backend.publish(kind, role=False)
        await backend.request(party, kind)
        await backend.phase(party, kind, "Succeeded")
        await backend.condition(party, EXPORTS, kind.crd_name, "AccessGranted", "GrantRefused")
        forged = [{"type": "AccessGranted", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        await party.client.merge_patch(
            EXPORTS,
            kind.crd_name,
            {"status": {"conditions": forged}},
            namespace=party.namespace,
            subresource="status",
        )
        await backend.condition(party, EXPORTS, kind.crd_name, "AccessGranted", "GrantRefused")
        with pytest.raises(Forbidden):
            await party.client.list(kind, namespace=party.namespace)


class TestA71ReturnAfterTheEnd:
    async def test_who_was_revoked_while_away_has_nothing_on_return(
        self, backend: Lab, kind: Resource, unique: Unique
    ) -> None:
        person = Person("https://login.example.org", unique("sub"))
        party = await backend.join("", person=person)
        await backend.publish(kind)
        await backend.bind(party, kind)
        namespace = await backend.mapping(party, "team")
        (tenant,) = await backend.tenants.of_person(person.issuer, person.subject)
        await backend.tenants.revoke(tenant, delete=True)
        await backend.gone(NAMESPACES, namespace)
        await backend.gone(NAMESPACES, party.namespace)
        # The konnector comes back with what it has in its Secret.
        async with Client.open(from_kubeconfig(party.added.kubeconfig), user_agent="undead") as undead:

            async def refused() -> bool:
                try:
                    await undead.list(EXPORTS, namespace=party.namespace)
                except Unauthorized:
                    return True
                return False

            await eventually(refused, timeout=30)
            # A namespace of the same name does not bring the old credential back to life.
            again = await backend.join("", person=person)
            assert again.namespace == party.namespace
            with pytest.raises(Unauthorized):
                await undead.list(EXPORTS, namespace=party.namespace)
        assert (await again.client.list(EXPORTS, namespace=again.namespace)).items == []

    async def test_an_unused_credential_ends_by_itself(self, backend: Lab, unique: Unique) -> None:
        party = await backend.join(unique("short"))
        said = subject_of(token_of(party))
        assert said["exp"] - said["iat"] <= timedelta(days=7).total_seconds()

    async def test_an_operators_word_outlasts_a_return(self, backend: Lab, unique: Unique) -> None:
        person = Person("https://login.example.org", unique("sub"))
        await backend.join("", person=person)
        (tenant,) = await backend.tenants.of_person(person.issuer, person.subject)
        await backend.tenants.revoke(tenant, delete=False)
        with pytest.raises(TenantRevoked):
            await backend.join("", person=person)
        await backend.join("", "another", person=person)


class TestA72Canaries:
    async def test_a_token_is_found_in_its_secret_and_nowhere_else(
        self,
        backend: Lab,
        kind: Resource,
        unique: Unique,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level("DEBUG")
        person = Person("https://login.example.org", unique("sub"), groups=("dba",))
        party = await backend.join("", person=person)
        await backend.publish(kind, claim("secrets"))
        await backend.bind(party, kind)
        home = await backend.mapping(party, "team")
        canary = unique("canary-value")

        async def granted() -> bool:
            try:
                await party.client.create(
                    SECRETS,
                    {"metadata": {"name": "claimed"}, "stringData": {"password": canary}},
                    namespace=home,
                )
            except Forbidden:
                return False
            return True

        await eventually(granted)
        (tenant,) = await backend.tenants.of_person(person.issuer, person.subject)
        state = await backend.tenants.rotate(tenant, overlap=timedelta(0))
        assert state.issued is not None
        failures = []
        for broken in (
            backend.own.create_token(party.namespace, "nobody", expiration_seconds=600),
            backend.own.get(SECRETS, "nothing", namespace=party.namespace),
        ):
            with pytest.raises(KubeError) as failure:
                await broken
            failures.append(repr(failure.value))
        out, err = capfd.readouterr()
        seen = [out, err, caplog.text, *failures, repr(tenant), repr(state), repr(party.added)]
        seen.append(prometheus_client.generate_latest().decode())
        for resource in (
            CORE_EVENTS,
            CLUSTER_BINDINGS,
            EXPORTS,
            EXPORT_REQUESTS,
            SERVICE_NAMESPACES,
            NAMESPACES,
            CLUSTERROLES,
            ROLEBINDINGS,
            CONFIGMAPS,
            SERVICEACCOUNTS,
        ):
            seen += [str(one) for one in (await backend.admin.list(resource)).items]
        seen += [f"{one.uri} {one.raw.get('requestObject', '')}" for one in backend.cluster.audit_requests()]
        for secret in (token_of(party), state.issued.token, canary):
            assert not [text[:200] for text in seen if secret in text or _encoded(secret) in text]
        stored = await backend.admin.get(SECRETS, keys.KUBECONFIG, namespace=party.namespace)
        data = base64.b64decode(stored["data"][keys.KUBECONFIG]).decode()
        assert state.issued.token in data
        assert token_of(party) not in data


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestA75CompromiseOfTheBackend:
    async def test_its_account_runs_nothing_and_raises_nothing(self, backend: Lab) -> None:
        for verb, resource, subresource in (
            ("create", PODS, ""),
            ("create", PODS, "exec"),
            ("create", PODS, "attach"),
            ("create", Resource("apps", "v1", "deployments"), ""),
            ("get", Resource("", "v1", "nodes", namespaced=False), "proxy"),
            ("escalate", CLUSTERROLES, ""),
            ("bind", CLUSTERROLES, ""),
            ("impersonate", Resource("", "v1", "users", namespaced=False), ""),
            ("impersonate", SERVICEACCOUNTS, ""),
            ("create", CSRS, ""),
            ("create", SERVICEACCOUNTS, "token"),
            ("update", NAMESPACES, ""),
            ("patch", NAMESPACES, ""),
            ("update", Resource("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies"), ""),
        ):
            review = await backend.own.can_i(
                verb=verb,
                group=resource.group,
                resource=resource.plural,
                subresource=subresource,
                namespace="kube-system" if resource.namespaced else "",
            )
            assert not review.allowed, (verb, resource, subresource)

    async def test_credentials_only_in_namespaces_of_tenants(self, backend: Lab, unique: Unique) -> None:
        party = await backend.join(unique("own"))
        for namespace, may in ((party.namespace, True), ("kube-system", False), ("default", False)):
            for verb in ("create", "delete"):
                review = await backend.own.can_i(
                    verb=verb, group="", resource="serviceaccounts", namespace=namespace
                )
                assert review.allowed is may

    def test_the_shipped_roles_have_no_wildcard_and_the_pod_no_way_up(self) -> None:
        objects = load_manifests("backend") + load_manifests("backend/cluster-scope")
        rules = [rule for one in objects for rule in one.get("rules") or [] if one["kind"].endswith("Role")]
        assert rules
        for rule in rules:
            assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not {"escalate", "impersonate"} & set(rule["verbs"])
            if "bind" in rule["verbs"]:
                assert rule["resourceNames"] == [keys.BINDER, names.BACKEND_TENANT_ROLE]
        (workload,) = [one for one in objects if one["kind"] == "Deployment"]
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}

    async def test_a_tenant_of_an_attackers_making_is_of_no_use_to_it(
        self, backend: Lab, unique: Unique
    ) -> None:
        """With the backend's rights one can make tenants, and none that reach another's namespaces."""
        victim = await backend.join(unique("victim"))
        home = await backend.mapping(victim, "team")
        thief = await backend.join(unique("thief"))
        binding = await backend.admin.get(ROLEBINDINGS, keys.BINDER, namespace=home)
        assert [one["namespace"] for one in binding["subjects"]] == [victim.namespace]
        with pytest.raises(Forbidden):
            await thief.client.list(SECRETS, namespace=home)
        with pytest.raises(NotFound):
            await victim.client.get(SERVICE_NAMESPACES, "other", namespace=victim.namespace)
