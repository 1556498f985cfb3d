"""Claimed copies that a Go konnector left behind, where one provider is bound and where several are."""

from dataclasses import replace
from typing import Any, cast

import pytest

from bind_agent.api import keys
from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.meta import Object
from bind_agent.api.resource import SECRETS
from bind_agent.kube.errors import AlreadyExists
from bind_agent.runtime.reconcile import Result
from konnector.controllers.exports import Exports
from konnector.sync.bound_namespaces import BoundNamespaces
from konnector.sync.claims import ClaimSync
from konnector.sync.reports import Reports
from tests.fakes.parts import CannedClient, NotedEvents, StillInformer, app_cluster, provider, stated

pytestmark = pytest.mark.unit

API = "things.g.example"


def secret(namespace: str, value: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": namespace,
            "name": "creds",
            "uid": namespace,
            "resourceVersion": "5",
            "annotations": {keys.RESOURCE_OWNER: keys.OWNER_PROVIDER},
        },
        "type": "Opaque",
        "data": {"password": value},
    }


class Mapping:
    """`shop` is `cns-shop`, and has an object of the API."""

    def __init__(self) -> None:
        self.bound = BoundNamespaces()
        self.bound.change(API, "shop", 1)

    def service_namespace(self, _: str) -> str:
        return "cns-shop"


class Watches:
    """Shows the source; the copy by Go carries no label of ours, so it is found when the creation is refused."""

    def is_complete(self, _: str) -> bool:
        return True

    def entry(self, *_: Any) -> None:
        return None

    def progress(self, *_: Any) -> str:
        return "0"


async def reconcile(alone: list[bool], value: str) -> tuple[list[str], list[Result | None]]:
    """Calls on the app cluster, and results, of one look for each of ``alone``."""
    client = CannedClient(
        create=AlreadyExists("there is one", code=409),
        get_or_none=secret("shop", value),
        replace=secret("shop", "bmV3"),
    )
    answers = iter(alone)
    sync = ClaimSync(
        app_cluster(client),
        cast("Any", CannedClient()),
        cast("Any", None),
        cast("Any", Mapping()),
        SECRETS,
        provider_id="p",
        reports=Reports(cast("Any", NotedEvents()), "claim:secrets"),
        alone=lambda: next(answers),
    )
    claim = PermissionClaim(
        resource="secrets", version="v1", selector=ClaimSelector(owner=keys.OWNER_PROVIDER)
    )
    sync.update({API: [claim]})
    running: Any = sync
    running._watches = Watches()
    running._read = lambda side, _: secret("cns-shop", "bmV3") if side == "Provider" else None
    results = [await sync._reconcile("shop/creds") for _ in alone]
    return client.verbs, results


async def test_another_providers_secret_is_not_overwritten() -> None:
    verbs, (result,) = await reconcile([False], "b2xk")
    assert verbs == ["create", "get_or_none"]
    assert result is not None


async def test_a_secret_that_was_rotated_meanwhile_is_brought_up_to_date_once_one_provider_is_left() -> None:
    verbs, results = await reconcile([False, True], "b2xk")
    # The second look writes nothing to find that something is in the way.
    assert verbs == ["create", "get_or_none", "get_or_none", "replace"]
    assert results[1] is None


async def test_where_several_are_bound_the_same_content_is_taken_over() -> None:
    verbs, results = await reconcile([False], "bmV3")
    assert verbs == ["create", "get_or_none", "replace"]
    assert results == [None]


@pytest.mark.parametrize(
    ("bound", "served", "control_plane", "alone"),
    [
        (["a", "b"], {"a", "b"}, "", True),
        (["a", "b"], {"a"}, "", False),
        (["a"], {"a"}, "control-plane-id", False),
    ],
    ids=["one-provider", "another-one", "control-plane-mode"],
)
def test_whether_another_provider_is_bound(
    bound: list[str], served: set[str], control_plane: str, alone: bool
) -> None:
    bindings = StillInformer()
    for name in bound:
        bindings.put({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}})
    exports = Exports(
        replace(app_cluster(), control_plane=control_plane),
        provider(),
        cast("Any", StillInformer()),
        cast("Any", bindings),
        cast("Any", None),
        served=lambda: frozenset(served),
        status=stated(),
    )
    assert exports._is_alone() is alone
