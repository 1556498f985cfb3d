"""Letting a tenant in: nothing is written to a cluster that is no provider."""

from typing import Any, cast

import pytest

from bind_agent.api.resource import CLUSTER_BINDINGS, NAMESPACES, Resource
from bind_agent.backend.tenancy.admission import Admission
from bind_agent.backend.tenancy.directory import Directory, TenancyError
from bind_agent.backend.tenancy.identity import Identity
from bind_agent.kube.errors import NotFound
from bind_agent.kube.reading import ObjectList
from tests.fakes.parts import CannedClient

pytestmark = pytest.mark.unit

WHO = Identity("anna", "c1")


def admission(client: CannedClient) -> Admission:
    return Admission(cast("Any", client), Directory(cast("Any", client)), cast("Any", None))


async def test_a_cluster_without_our_kinds_is_left_as_it_is() -> None:
    def listed(resource: Resource, **_: Any) -> ObjectList:
        if resource == CLUSTER_BINDINGS:
            raise NotFound("the answer carries no Status", code=404)
        return ObjectList([], "1")

    client = CannedClient(list=listed)
    with pytest.raises(TenancyError) as refused:
        await admission(client).namespace(WHO, "cluster")
    for words in (
        "clusterbindings.klutch.anynines.com",
        "nothing was changed",
        "--kubeconfig",
        "manifests/backend",
    ):
        assert words in str(refused.value)
    assert set(client.verbs) == {"list"}


async def test_in_a_provider_the_namespace_is_made() -> None:
    client = CannedClient(list=ObjectList([], "1"), create=lambda _, wanted: wanted)
    name, created = await admission(client).namespace(WHO, "cluster")
    assert created
    assert client.calls[-1][1][0] == NAMESPACES
    assert client.calls[-1][1][1]["metadata"]["name"] == name


async def test_listing_says_the_same() -> None:
    def listed(resource: Resource, **_: Any) -> ObjectList:
        if resource == CLUSTER_BINDINGS:
            raise NotFound("no", code=404)
        return ObjectList([], "1")

    with pytest.raises(TenancyError, match="is no provider"):
        await Directory(cast("Any", CannedClient(list=listed))).all()
