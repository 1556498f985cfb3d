"""Claims that rest: a paused binding, or one whose export is not known, loses nothing to another binding's claims."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.resource import CONFIGMAPS, Resource
from konnector.controllers import claims as module
from konnector.controllers.claims import Claims
from konnector.options import Options
from konnector.sync.claim_copy import build
from konnector.sync.claim_model import ClaimPlacement, ClaimPolicy, ClaimSet, DeleteCopy
from konnector.sync.claim_plan import plan_claim
from konnector.sync.model import ConfirmAbsence, Side
from tests.fakes.parts import provider

pytestmark = pytest.mark.unit

PLACE = ClaimPlacement("shop", "cns-shop", "settings")
POLICY = ClaimPolicy("cluster-1", "provider-1")


def claim(label: str) -> PermissionClaim:
    selector = ClaimSelector(owner=keys.OWNER_PROVIDER, label_selectors=({label: "1"},))
    return PermissionClaim(resource="configmaps", version="v1", selector=selector)


def claim_set(*claims: PermissionClaim, held: tuple[PermissionClaim, ...] = ()) -> ClaimSet:
    return ClaimSet.of(CONFIGMAPS, claims, held=held)


def pair(label: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Source and copy, as they are while a claim selects that label."""
    source: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": PLACE.name, "namespace": "cns-shop", "uid": "up", "labels": {label: "1"}},
        "data": {"size": "1"},
    }
    copy = build(source, Side.CONSUMER, PLACE, claim_set(claim(label)), POLICY)
    copy["metadata"] |= {"uid": "down", "resourceVersion": "7"}
    return source, copy


def test_what_a_resting_claim_selects_is_neither_taken_back_nor_brought_up_to_date() -> None:
    source, copy = pair("a")
    others = claim_set(claim("b"), held=(claim("a"),))
    assert plan_claim(copy, source, PLACE, others, POLICY) == ()
    assert plan_claim(copy, {**source, "data": {"size": "2"}}, PLACE, others, POLICY) == ()
    assert plan_claim(copy, None, PLACE, others, POLICY) == ()
    assert plan_claim(None, source, PLACE, others, POLICY) == ()


def test_what_no_claim_selects_is_taken_back_although_others_rest() -> None:
    source, copy = pair("c")
    others = claim_set(claim("b"), held=(claim("a"),))
    assert [type(s) for s in plan_claim(copy, source, PLACE, others, POLICY)] == [DeleteCopy]
    assert [type(s) for s in plan_claim(copy, None, PLACE, others, POLICY)] == [ConfirmAbsence, DeleteCopy]


class Syncs:
    """Stands for all ClaimSyncs: what each was told last."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[list[PermissionClaim], list[PermissionClaim]]] = {}
        self.ended: list[str] = []

    def __call__(self, _app: Any, _provider: Any, _pool: Any, _mapping: Any, kind: Resource, **_: Any) -> Any:
        def update(
            claims: dict[str, list[PermissionClaim]], *, held: list[PermissionClaim], binding: str
        ) -> None:
            self.told[kind.plural] = ([one for of_api in claims.values() for one in of_api], held)

        async def run() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.append(kind.plural)

        reports = SimpleNamespace(refused={}, hindrance=None)
        return SimpleNamespace(update=update, run=run, resource=kind, reports=reports)


def export(*labels: str) -> dict[str, Any]:
    return {"spec": {"permissionClaims": [wire(label) for label in labels]}}


def wire(label: str) -> dict[str, Any]:
    selector = {"owner": "Provider", "labelSelectors": [{label: "1"}]}
    return {"resource": "configmaps", "version": "v1", "selector": selector}


def binding(name: str, label: str, *, paused: bool = False, state: str = "Accepted") -> dict[str, Any]:
    annotations = {keys.PAUSED: keys.TRUE} if paused else {}
    claims = [{**wire(label), "state": state}]
    return {"metadata": {"name": name, "annotations": annotations}, "spec": {"permissionClaims": claims}}


class World:
    """The claims of a session with two bindings, `one` (label a) and `two` (label b)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = Syncs()
        monkeypatch.setattr(module, "ClaimSync", self.syncs)
        self.bindings = {"one": binding("one", "a"), "two": binding("two", "b")}

        async def find(_group: str, _plural: str, _version: str) -> Resource:
            return CONFIGMAPS

        app: Any = SimpleNamespace(
            client=SimpleNamespace(discovery=SimpleNamespace(find=find)),
            recorder=None,
            root="",
            options=Options(),
        )
        status: Any = SimpleNamespace(state=lambda *_: None, stated=lambda *_: None)
        nothing: Any = None
        self.claims = Claims(
            app,
            provider(),
            nothing,
            status,
            bindings=self.bindings.values,
        )

    def update(self, name: str, label: str) -> None:
        self.claims.update(name, f"klutch-bind/{name}", export(label), self.bindings[name])

    async def settled(self) -> tuple[set[str], set[str]] | None:
        """Labels selected by the claims that the sync of ConfigMaps was told of: in force, and resting."""
        for _ in range(20):
            await asyncio.sleep(0)
        told = self.syncs.told.get("configmaps")
        return (labels(told[0]), labels(told[1])) if told else None


def labels(claims: list[PermissionClaim]) -> set[str]:
    return {key for one in claims for entry in one.selector.label_selectors for key in entry}


async def test_a_binding_that_was_not_looked_at_yet_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    running = asyncio.create_task(world.claims.run())
    world.update("one", "a")
    assert await world.settled() == ({"a"}, {"b"})
    world.update("two", "b")
    assert await world.settled() == ({"a", "b"}, set())
    world.claims.remove("one")  # its export is gone for the moment
    assert await world.settled() == ({"b"}, {"a"})
    del world.bindings["one"]  # and now the binding itself
    world.claims.remove("one")
    assert await world.settled() == ({"b"}, set())
    running.cancel()


async def test_a_paused_binding_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    running = asyncio.create_task(world.claims.run())
    world.update("one", "a")
    world.update("two", "b")
    await world.settled()
    world.bindings["one"] = binding("one", "a", paused=True)
    world.update("one", "a")
    assert await world.settled() == ({"b"}, {"a"})
    world.bindings["two"] = binding("two", "b", paused=True)
    world.update("two", "b")
    await world.settled()
    assert world.syncs.ended == ["configmaps"]  # nothing flows, and nothing is taken back
    world.bindings["one"] = binding("one", "a")
    world.update("one", "a")
    assert await world.settled() == ({"a"}, {"b"})
    running.cancel()


async def test_a_withdrawn_acceptance_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    running = asyncio.create_task(world.claims.run())
    world.update("one", "a")
    world.update("two", "b")
    world.bindings["one"] = binding("one", "a", state="Rejected")
    world.update("one", "a")
    assert await world.settled() == ({"b"}, set())
    running.cancel()


def wanting(world: World, name: str, *labels: str) -> None:
    world.claims.update(name, f"klutch-bind/{name}", export(*labels), world.bindings[name])


async def test_what_the_provider_claims_no_more_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    running = asyncio.create_task(world.claims.run())
    world.update("two", "b")
    world.update("one", "a")
    assert await world.settled() == ({"a", "b"}, set())
    wanting(world, "one")
    assert await world.settled() == ({"b"}, set())
    wanting(world, "two")
    assert await world.settled() == (set(), set())
    assert world.syncs.ended == []  # it goes on without claims, for the copies that are still there
    world.bindings["one"]["spec"] = world.bindings["two"]["spec"] = {}
    wanting(world, "one")
    wanting(world, "two")
    await world.settled()
    assert world.syncs.ended == ["configmaps"]  # now that nothing is accepted any more
    running.cancel()


async def test_it_is_taken_back_by_a_konnector_that_was_away_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    del world.bindings["two"]
    running = asyncio.create_task(world.claims.run())
    wanting(world, "one", "c")
    assert await world.settled() == (set(), set())
    running.cancel()


async def test_what_was_only_rejected_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that was never accepted, the konnector has no right to read."""
    world = World(monkeypatch)
    world.bindings = {"one": binding("one", "a", state="Rejected")}
    running = asyncio.create_task(world.claims.run())
    wanting(world, "one")
    assert await world.settled() is None
    wanting(world, "one", "a")
    assert await world.settled() is None
    running.cancel()


async def test_a_paused_binding_keeps_what_is_claimed_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    running = asyncio.create_task(world.claims.run())
    world.bindings["one"] = binding("one", "a", paused=True)
    world.update("two", "b")
    wanting(world, "one")
    assert await world.settled() == ({"b"}, {"a"})
    running.cancel()
