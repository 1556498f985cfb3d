"""The shell of the end of an AppClusterBinding: which cluster-wide roles are deleted.

Excluded: what a real API server does with the rest (`tests/integration/backend/controlplane/test_leaving.py`).
"""

from types import SimpleNamespace
from typing import Any

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.resource import CLUSTERROLEBINDINGS, CLUSTERROLES, Resource
from bind_agent.backend.controlplane.leaving import Leaving
from bind_agent.backend.controlplane.leaving_plan import DeleteLegacyRole
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.kube.errors import Conflict, Forbidden

pytestmark = pytest.mark.unit

NAME = "klutch-konnector-team-prod"


class Cluster:
    """Cluster-wide roles in memory, deleted under their precondition only."""

    def __init__(self, **objects: dict[str, Any]) -> None:
        self.objects = objects
        self.refuses: set[str] = set()

    async def get_or_none(self, resource: Resource, name: str) -> dict[str, Any] | None:
        if resource.plural in self.refuses:
            raise Forbidden("no", code=403)
        assert name == NAME
        return self.objects.get(resource.plural)

    async def delete(self, resource: Resource, name: str, *, uid: str) -> None:
        assert name == NAME
        if meta.uid(self.objects[resource.plural]) != uid:
            raise Conflict("another UID", code=409)
        del self.objects[resource.plural]

    async def may(self, verb: str, resource: Resource, *, name: str) -> bool:
        return resource.plural not in self.refuses


def role(uid: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": NAME, "uid": uid, "labels": labels or {}}}


async def ended(wanted: Wanted, cluster: Cluster, uid: str = "r") -> set[str]:
    """What is left after the step that deletes the role."""
    context: Any = SimpleNamespace(client=cluster, rights=cluster)
    nothing: Any = None
    await Leaving(context, nothing, nothing)._legacy(wanted, DeleteLegacyRole(uid))
    return set(cluster.objects)


async def test_a_marked_role_goes_with_its_marked_binding(wanted: Wanted) -> None:
    cluster = Cluster(clusterroles=role("r", wanted.labels), clusterrolebindings=role("b", wanted.labels))
    assert await ended(wanted, cluster) == set()


async def test_a_marked_role_goes_without_a_binding(wanted: Wanted) -> None:
    assert await ended(wanted, Cluster(clusterroles=role("r", wanted.labels))) == set()


@pytest.mark.parametrize(
    "labels", [{}, {keys.APP_CLUSTER_BINDING_NAME: "x-prod", keys.APP_CLUSTER_BINDING_NAMESPACE: "team"}]
)
async def test_a_binding_of_others_stays(wanted: Wanted, labels: dict[str, str]) -> None:
    cluster = Cluster(clusterroles=role("r", wanted.labels), clusterrolebindings=role("b", labels))
    assert await ended(wanted, cluster) == {"clusterrolebindings"}


async def test_a_role_made_anew_meanwhile_stays(wanted: Wanted) -> None:
    cluster = Cluster(clusterroles=role("another"))
    with pytest.raises(Conflict):
        await ended(wanted, cluster)
    assert set(cluster.objects) == {"clusterroles"}


@pytest.mark.parametrize("resource", [CLUSTERROLES, CLUSTERROLEBINDINGS])
async def test_without_the_right_to_delete_both_neither_goes(wanted: Wanted, resource: Resource) -> None:
    cluster = Cluster(clusterroles=role("r", wanted.labels), clusterrolebindings=role("b", wanted.labels))
    cluster.refuses.add(resource.plural)
    assert await ended(wanted, cluster) == {"clusterroles", "clusterrolebindings"}
