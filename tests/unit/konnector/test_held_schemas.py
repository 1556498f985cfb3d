"""Changes of a schema that would harm stored objects: when they are held, and what lets them go on."""

import copy

import pytest

from bind_agent.api import keys
from bind_agent.kube.errors import ConnectionFailed, Forbidden, NotFound
from bind_agent.runtime.informer import Event
from bind_agent.runtime.store import make_entry
from tests.fakes.schema_world import DBS, KEY, NAME, World, offer

pytestmark = pytest.mark.unit

HELD = ("False", "SchemaUpdateHeld", "Warning")
IN_SYNC = ("True", "", "")


# --- without objects nothing is harmed ------------------------------------------------------------


async def test_a_harmful_change_is_held_while_there_is_an_object() -> None:
    world = World(offer("b"), offer("a"))
    again = await world.look()
    assert world.verdict == HELD
    assert "v1.spec.a: the field is removed, stored values would be lost" in world.message
    assert world.listed == [DBS]
    assert not world.written
    # No event tells this controller of the last object's end.
    assert again is not None
    assert again.after is not None


async def test_without_objects_it_goes_through() -> None:
    world = World(offer("b"), offer("a"))
    world.objects = False
    assert await world.look() is None
    assert world.verdict == IN_SYNC
    assert [crd["spec"]["versions"][0]["schema"] for crd in world.written] == [
        offer("b")["spec"]["versions"][0]["schema"]
    ]


async def test_it_goes_through_once_the_last_object_is_gone() -> None:
    world = World(offer("b"), offer("a"))
    await world.look()
    assert world.verdict == HELD
    world.objects = False
    assert await world.look() is None
    assert world.verdict == IN_SYNC


@pytest.mark.parametrize(
    "error",
    [
        Forbidden("no", code=403),
        NotFound("not served", code=404),
        ConnectionFailed("no answer"),
    ],
    ids=["forbidden", "not served", "no answer"],
)
async def test_what_cannot_be_asked_counts_as_objects(error: Exception) -> None:
    world = World(offer("b"), offer("a"))
    world.objects = error
    assert await world.look() is not None
    assert world.verdict == HELD
    assert not world.written


async def test_nothing_is_asked_about_changes_that_harm_nothing() -> None:
    world = World(offer("a", "b"), offer("a"))
    await world.look()
    assert (world.verdict, world.listed, len(world.written)) == (IN_SYNC, [], 1)
    await world.look()
    assert (world.listed, len(world.written)) == ([], 1)


async def test_a_crd_that_is_not_established_may_have_objects() -> None:
    world = World(offer("b"), offer("a"))
    world.objects = False
    world.serve()
    await world.look()
    assert (world.verdict[:2], world.listed, world.written) == (HELD[:2], [], [])


# --- consent --------------------------------------------------------------------------------------


async def test_what_was_consented_to_is_applied_and_no_later_offer() -> None:
    world = World(offer("b"), offer("a"))
    await world.look()
    first = world.named
    assert await world.look(accepted=first) is None
    assert (world.verdict, len(world.written)) == (IN_SYNC, 1)
    await world.look(offer("c"))
    assert (world.verdict, len(world.written)) == (HELD, 1)
    await world.look(accepted=world.named)
    assert (world.verdict, len(world.written)) == (IN_SYNC, 2)


async def test_the_same_offer_made_again_needs_another_consent() -> None:
    world = World(offer("b"), offer("a", "b"))
    await world.look()
    first = world.named
    await world.look(accepted=first)
    await world.look(offer("a", "b"))
    assert (world.verdict, len(world.written)) == (IN_SYNC, 2)
    await world.look(offer("b"))
    assert (world.verdict, len(world.written)) == (HELD, 2)
    assert world.named != first


async def test_a_consent_that_came_too_late_is_not_kept_for_later() -> None:
    """The objects were gone first; afterwards the field is offered, used, and removed again."""
    world = World(offer("b"), offer("a", "b"))
    await world.look()
    late = world.named
    world.objects = False
    await world.look()
    await world.look(accepted=late)
    world.objects = True
    await world.look(offer("a", "b"))
    await world.look(offer("b"))
    assert world.verdict == HELD


async def test_in_control_plane_mode_the_operator_consents_in_the_root_namespace() -> None:
    world = World(offer("b"), offer("a"), control_plane="plane")
    await world.look()
    assert (
        f"run on the control plane: kubectl annotate apiservicebindings {NAME} --namespace klutch-bind"
        in (world.message)
    )
    await world.look(accepted=world.named)
    assert world.verdict == IN_SYNC


async def test_a_change_that_nobody_can_let_through_says_what_else_helps() -> None:
    world = World(offer("a", names={"plural": "dbs", "kind": "Other"}), offer("a"))
    assert await world.look() is not None
    assert world.verdict == HELD
    assert "the API server would refuse that, whoever consents: ask the provider" in world.message
    world.objects = False
    await world.look()
    assert world.message.endswith(f"kubectl delete customresourcedefinitions {NAME}")
    assert not world.written


async def test_a_consent_is_noticed_although_it_is_no_change_of_the_spec() -> None:
    world = World(offer("b"), offer("a"))
    before = world.bindings.store.get(KEY)
    status = {**world.binding, "status": {"conditions": []}}
    world.schemas._on_binding(Event.MODIFIED, before, make_entry(status))
    assert world.schemas.controller.queue.depth == 0
    annotated = copy.deepcopy(world.binding)
    annotated["metadata"]["annotations"] = {keys.ACCEPT_SCHEMA: "x"}
    world.schemas._on_binding(Event.MODIFIED, before, make_entry(annotated))
    assert world.schemas.controller.queue.depth == 1
