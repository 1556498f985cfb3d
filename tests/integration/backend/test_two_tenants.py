"""Every verb on every kind, for one tenant's credential, everywhere, in both scopes: only what is owned is reachable.

The API server itself is asked (SelfSubjectAccessReview), and the important answers are tried out. What is
expected is written as the few rules that hold; everything else has to be refused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    CONFIGMAPS,
    CRDS,
    EXPORT_REQUESTS,
    EXPORT_TEMPLATES,
    EXPORTS,
    NAMESPACES,
    ROLEBINDINGS,
    SECRETS,
    SERVICE_NAMESPACES,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.kube.client import Client
from bind_agent.kube.errors import Forbidden
from tests.fakes.backend_lab import Lab, Party, claim, eventually, granted, instance

pytestmark = pytest.mark.integration

ALL = frozenset({"get", "list", "watch", "create", "update", "patch", "delete"})
READ = frozenset({"get", "list", "watch"})
STATUS = frozenset({"get", "update", "patch"})
VERBS = (
    *sorted(ALL),
    "deletecollection",
    "impersonate",
    "bind",
    "escalate",
    "approve",
    "sign",
    "attest",
    "use",
    "*",
)

OWN_KINDS = (
    "apiserviceexportrequests",
    "apiserviceexportrequests/status",
    "apiserviceexports",
    "apiserviceexports/status",
    "apiservicenamespaces",
    "apiservicenamespaces/status",
    "apiservicenamespaces/finalizers",
    "clusterbindings",
    "clusterbindings/status",
    "apiservicebindings",
    "apiservicebindings/status",
    "appclusterbindings",
    "appclusterbindings/status",
    "*",
)
KINDS: tuple[tuple[str, str], ...] = (
    *((keys.GROUP, kind) for kind in OWN_KINDS),
    (keys.TEMPLATE_GROUP, "apiserviceexporttemplates"),
    *(
        ("", kind)
        for kind in (
            "secrets",
            "configmaps",
            "namespaces",
            "namespaces/status",
            "namespaces/finalize",
            "serviceaccounts",
            "serviceaccounts/token",
            "pods",
            "pods/exec",
            "pods/log",
            "pods/ephemeralcontainers",
            "services",
            "services/proxy",
            "nodes",
            "nodes/proxy",
            "events",
            "persistentvolumes",
            "persistentvolumeclaims",
            "resourcequotas",
            "users",
            "groups",
            "*",
        )
    ),
    ("authentication.k8s.io", "userextras/scopes"),
    ("authentication.k8s.io", "uids"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    *(
        ("rbac.authorization.k8s.io", kind)
        for kind in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
    ),
    *(
        ("certificates.k8s.io", kind)
        for kind in (
            "certificatesigningrequests",
            "certificatesigningrequests/approval",
            "certificatesigningrequests/status",
            "signers",
        )
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiextensions.k8s.io", "customresourcedefinitions/status"),
    ("apiregistration.k8s.io", "apiservices"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("apps", "deployments"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("storage.k8s.io", "storageclasses"),
    ("*", "*"),
)
"""Group and resource, subresources with a slash."""

IN_CLUSTER_NAMESPACE: dict[tuple[str, str], frozenset[str]] = {
    (keys.GROUP, "apiserviceexportrequests"): ALL,
    (keys.GROUP, "apiservicenamespaces"): ALL,
    (keys.GROUP, "clusterbindings"): READ,
    (keys.GROUP, "clusterbindings/status"): STATUS,
    (keys.GROUP, "apiserviceexports"): READ,
    (keys.GROUP, "apiserviceexports/status"): STATUS,
    ("", "namespaces"): frozenset({"get"}),
    ("", "secrets"): READ,
}
"""What ClusterRole `klutch-binder` is for (spec 8.2); Go konnectors use exactly this."""


@dataclass
class Pair:
    """Two tenants with the same exports and a service namespace each."""

    lab: Lab
    a: Party
    b: Party
    home: str
    abroad: str
    kind: Resource

    @property
    def places(self) -> dict[str, str]:
        """Where rights are asked for."""
        return {
            "own": self.a.namespace,
            "own service": self.home,
            "other": self.b.namespace,
            "other service": self.abroad,
            "kube-system": "kube-system",
            "default": "default",
            "everywhere": "",
        }


async def pair(lab: Lab, kind: Resource, unique: Callable[[str], str]) -> Pair:
    await lab.publish(kind, claim("secrets"), claim("configmaps", "Consumer"))
    a, b = await lab.join(unique("a")), await lab.join(unique("b"))
    home, abroad = await lab.mapping(a, "team"), await lab.mapping(b, "team")
    for party, namespace in ((a, home), (b, abroad)):
        await lab.bind(party, kind)
        await granted(party, kind, namespace)
    return Pair(lab, a, b, home, abroad, kind)


async def reachable(client: Client, kind: Resource, places: dict[str, str]) -> set[tuple[str, str, str]]:
    """(place, kind, verb) of everything that the API server would let pass."""
    exported = ((kind.group, "EXPORTED"), (kind.group, "EXPORTED/status"), (kind.group, "EXPORTED/scale"))
    gate = asyncio.Semaphore(32)

    async def ask(place: str, group: str, resource: str, verb: str) -> tuple[str, str, str] | None:
        plural, _, subresource = resource.replace("EXPORTED", kind.plural).partition("/")
        async with gate:
            review = await client.can_i(
                verb=verb, group=group, resource=plural, subresource=subresource, namespace=places[place]
            )
        name = resource if resource.startswith("EXPORTED") or not group else f"{resource}.{group}"
        return (place, name, verb) if review.allowed else None

    answers = await asyncio.gather(
        *(
            ask(place, group, resource, verb)
            for place in places
            for group, resource in (*KINDS, *exported)
            for verb in VERBS
        )
    )
    return {answer for answer in answers if answer is not None}


def expected(*, wide: bool) -> set[tuple[str, str, str]]:
    found = {
        ("own", resource if not group else f"{resource}.{group}", verb)
        for (group, resource), verbs in IN_CLUSTER_NAMESPACE.items()
        for verb in verbs
    }
    found |= {
        ("own service", resource, verb) for resource in ("EXPORTED", "secrets", "configmaps") for verb in ALL
    }
    if wide:
        everywhere = ("own", "own service", "other", "other service", "kube-system", "default", "everywhere")
        # Read because konnectors watch there; that nothing is written abroad is admission's part, see below.
        found |= {(place, "EXPORTED", verb) for place in everywhere for verb in ALL}
    return found


async def refused(request: Awaitable[Any], words: str = "") -> None:
    with pytest.raises(Forbidden, match=words or None):
        await request


class TestNamespaced:
    @pytest.fixture
    async def two(self, backend: Lab, kind: Resource, unique: Callable[[str], str]) -> Pair:
        return await pair(backend, kind, unique)

    async def test_the_whole_matrix(self, two: Pair) -> None:
        assert await reachable(two.a.client, two.kind, two.places) == expected(wide=False)

    async def test_rules_abroad_are_those_of_anybody(self, two: Pair) -> None:
        """The other way of asking: all rules of a namespace at once."""
        review = Resource(
            "authorization.k8s.io",
            "v1",
            "selfsubjectrulesreviews",
            namespaced=False,
            kind="SelfSubjectRulesReview",
        )
        for place in ("other", "other service", "kube-system", "default"):
            answer = await two.a.client.create(
                review,
                {
                    "apiVersion": review.api_version,
                    "kind": review.kind,
                    "spec": {"namespace": two.places[place]},
                },
            )
            groups = {group for rule in answer["status"]["resourceRules"] for group in rule["apiGroups"]}
            assert groups <= {"authentication.k8s.io", "authorization.k8s.io"}, (place, answer["status"])

    async def test_real_requests_abroad_and_their_twins_at_home(self, two: Pair) -> None:
        a, kind = two.a.client, two.kind
        theirs = await two.b.client.create(kind, instance(kind, "theirs"), namespace=two.abroad)
        for resource, namespace, name in (
            (SECRETS, two.b.namespace, keys.KUBECONFIG),
            (CLUSTER_BINDINGS, two.b.namespace, keys.CLUSTER_BINDING_NAME),
            (EXPORTS, two.b.namespace, kind.crd_name),
            (SERVICE_NAMESPACES, two.b.namespace, "team"),
            (kind, two.abroad, "theirs"),
            (SECRETS, two.abroad, "any"),
            (CONFIGMAPS, "kube-system", "extension-apiserver-authentication"),
            (NAMESPACES, None, two.b.namespace),
            (NAMESPACES, None, two.abroad),
            (CRDS, None, kind.crd_name),
            (EXPORT_TEMPLATES, "default", kind.crd_name),
        ):
            await refused(a.get(resource, name, namespace=namespace))
            await refused(a.delete(resource, name, namespace=namespace))
            await refused(a.merge_patch(resource, name, {"metadata": {}}, namespace=namespace))
        for resource in (SECRETS, NAMESPACES, kind, CLUSTER_BINDINGS, EXPORT_REQUESTS, SERVICE_NAMESPACES):
            await refused(a.list(resource))
        await refused(a.create(kind, instance(kind, "planted"), namespace=two.abroad))
        await refused(a.create(ROLEBINDINGS, _admin_binding(two.a.namespace)))
        await refused(a.create(SERVICEACCOUNTS, {"metadata": {"name": "second"}}, namespace=two.a.namespace))
        await refused(a.create_token(two.a.namespace, keys.BINDER, expiration_seconds=3600))
        await refused(a.create_token(two.b.namespace, keys.BINDER, expiration_seconds=3600))
        # Twins.
        mine = await a.create(kind, instance(kind, "mine"), namespace=two.home)
        assert [meta.name(one) for one in (await a.list(kind, namespace=two.home)).items] == ["mine"]
        await a.delete(kind, "mine", namespace=two.home, uid=meta.uid(mine))
        assert await a.get(SECRETS, keys.KUBECONFIG, namespace=two.a.namespace)
        after = await two.b.client.get(kind, "theirs", namespace=two.abroad)
        assert meta.resource_version(after) == meta.resource_version(theirs)


class TestClusterScope:
    @pytest.fixture
    async def two(self, wide: Lab, kind: Resource, unique: Callable[[str], str]) -> Pair:
        return await pair(wide, kind, unique)

    async def test_the_whole_matrix(self, two: Pair) -> None:
        assert await reachable(two.a.client, two.kind, two.places) == expected(wide=True)

    async def test_what_may_be_read_everywhere_is_written_at_home_only(self, two: Pair) -> None:
        a, kind = two.a.client, two.kind
        theirs = await two.b.client.create(kind, instance(kind, "theirs"), namespace=two.abroad)

        async def guarded() -> bool:
            try:
                await a.create(kind, instance(kind, "planted"), namespace=two.abroad, dry_run=True)
            except Forbidden:
                return True
            return False

        await eventually(guarded)
        for namespace in (two.abroad, two.b.namespace, "default", "kube-system"):
            await refused(a.create(kind, instance(kind, "planted"), namespace=namespace), "own namespaces")
        patch = {"spec": {"size": 9}}
        await refused(a.merge_patch(kind, "theirs", patch, namespace=two.abroad), "own namespaces")
        await refused(
            a.replace(kind, {**theirs, "spec": {"size": 9}}, namespace=two.abroad), "own namespaces"
        )
        await refused(a.delete(kind, "theirs", namespace=two.abroad), "own namespaces")
        await refused(
            a.apply(kind, instance(kind, "theirs", namespace=two.abroad), field_manager="thief", force=True),
            "own namespaces",
        )
        # Twins: at home everything, and the other one at its own.
        await a.create(kind, instance(kind, "mine"), namespace=two.home)
        await a.merge_patch(kind, "mine", patch, namespace=two.home)
        await a.apply(kind, instance(kind, "mine", namespace=two.home), field_manager="mine", force=True)
        await a.delete(kind, "mine", namespace=two.home)
        await two.b.client.merge_patch(kind, "theirs", patch, namespace=two.abroad)
        await a.create(SECRETS, {"metadata": {"name": "claimed"}}, namespace=two.home)
        for resource in (SECRETS, CONFIGMAPS):
            await refused(a.list(resource, namespace=two.abroad))
            await refused(a.list(resource))


def _admin_binding(namespace: str) -> Object:
    return {
        "apiVersion": ROLEBINDINGS.api_version,
        "kind": ROLEBINDINGS.kind,
        "metadata": {"name": "admin", "namespace": namespace},
        "roleRef": {"apiGroup": ROLEBINDINGS.group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": keys.BINDER, "namespace": namespace}],
    }
