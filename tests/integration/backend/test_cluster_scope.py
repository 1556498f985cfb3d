"""Scope Cluster: exported kinds in all namespaces, claimed kinds in the tenant's own."""

import pytest

from bind_agent.api import keys
from bind_agent.api.resource import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CRDS,
    NAMESPACES,
    SECRETS,
    Resource,
)
from bind_agent.backend import access, names
from bind_agent.kube.client import Client
from tests.fakes.backend_lab import Lab, claim, eventually

pytestmark = pytest.mark.integration


async def _may(client: Client, verb: str, resource: Resource, namespace: str = "") -> bool:
    review = await client.can_i(
        verb=verb, group=resource.group, resource=resource.plural, namespace=namespace
    )
    return review.allowed


async def test_exported_kinds_everywhere_claimed_kinds_at_home(wide: Lab, kind: Resource) -> None:
    party = await wide.join("wide")
    await wide.publish(kind, claim("secrets"))
    await wide.bind(party, kind)
    export = await wide.export(party, kind)
    assert export is not None
    assert export["spec"]["informerScope"] == "Cluster"
    home = await wide.mapping(party, "team")

    async def granted() -> bool:
        return await _may(party.client, "list", kind) and await _may(party.client, "list", SECRETS, home)

    await eventually(granted)
    for namespace in ("", "kube-system", "default"):
        assert not await _may(party.client, "list", SECRETS, namespace)


async def test_cluster_scoped_kinds(wide: Lab, kind: Resource) -> None:
    scoped = kind.scoped(namespaced=False)
    party = await wide.join("scoped")
    await wide.publish(scoped)
    await wide.bind(party, scoped)
    export = await wide.export(party, scoped)
    assert export is not None
    assert export["spec"]["clusterScopedIsolation"] == "Prefixed"

    async def granted() -> bool:
        return await _may(party.client, "create", scoped)

    await eventually(granted)
    # With the last such export the cluster-wide grant goes.
    await wide.admin.delete(CRDS, scoped.crd_name)
    await wide.gone(CLUSTERROLEBINDINGS, keys.dynamic_role(party.namespace))


async def test_the_grant_of_a_go_backend_is_replaced(wide: Lab, kind: Resource) -> None:
    """Go binds everything, claimed Secrets included, in all namespaces (W-B1, W-S10)."""
    party = await wide.join("gopher")
    await wide.publish(kind, claim("secrets"))
    namespace = await wide.admin.get(NAMESPACES, party.namespace)
    theirs = access.cluster_wide_binding(namespace)
    theirs["roleRef"]["name"] = keys.dynamic_role(party.namespace)
    del theirs["metadata"]["labels"]
    await wide.admin.create(CLUSTERROLEBINDINGS, theirs)
    await wide.bind(party, kind)

    async def replaced() -> bool:
        # A binding's role cannot be changed, so for a moment there is none.
        found = await wide.admin.get_or_none(CLUSTERROLEBINDINGS, keys.dynamic_role(party.namespace))
        return found is not None and bool(
            found["roleRef"]["name"] == names.cluster_wide_role(party.namespace)
        )

    await eventually(replaced)
    assert not await _may(party.client, "list", SECRETS)


async def test_a_leftover_without_a_cluster_wide_export_is_removed(wide: Lab) -> None:
    who = "leftover"
    party = await wide.join(who)
    namespace = await wide.admin.get(NAMESPACES, party.namespace)
    theirs = access.cluster_wide_binding(namespace)
    theirs["roleRef"]["name"] = keys.dynamic_role(party.namespace)
    await wide.admin.create(CLUSTERROLEBINDINGS, theirs)
    await wide.gone(CLUSTERROLEBINDINGS, keys.dynamic_role(party.namespace))


async def test_a_role_of_somebody_else_is_not_taken(wide: Lab) -> None:
    party = await wide.join("owner")
    name = keys.dynamic_role(party.namespace)

    async def made() -> bool:
        return await wide.admin.get_or_none(CLUSTERROLES, name) is not None

    await eventually(made)
    role = await wide.admin.get(CLUSTERROLES, name)
    role["metadata"]["ownerReferences"] = None
    role["rules"] = [{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]
    await wide.admin.replace(CLUSTERROLES, role)
    await wide.condition(
        party,
        Resource("klutch.anynines.com", "v1alpha1", "clusterbindings"),
        "cluster",
        "AccessGranted",
        "NameTaken",
    )
    assert (await wide.admin.get(CLUSTERROLES, name))["rules"] == role["rules"]
