"""Generated histories of one bound object: planning and executing always comes to rest, and harms nobody.

Two model servers (`tests.fakes.sync_world`), users on both sides who do as they like, and the steps of
`plan` carried out in between, sometimes cut off in the middle. What is asked after each settling:

* both sides agree, and a second plan is empty;
* no write has named a foreign object: it is byte-identical;
* a finalizer of ours never outlives the copy it guards, and no copy of ours is without it while its source
  lives;
* deletes carry the UID of the copy that was judged.
"""

import contextlib
import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bind_agent.api import keys, meta
from konnector.sync import essence, ownership
from konnector.sync.model import DeleteProvider, Memory, Policy
from konnector.sync.ownership import Standing
from konnector.sync.plan import plan
from tests.fakes.sync_world import CLUSTER_ID, CLUSTER_SCOPED, CNS, PLACEMENT, POLICY, Conflict, World, thing

pytestmark = pytest.mark.property

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["", "a", "b"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)
contents = st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3)
labels = st.dictionaries(
    st.sampled_from(["team", "helm.sh/chart", "app.kubernetes.io/name"]), st.just("v"), max_size=2
)
policies = st.sampled_from([POLICY, Policy(CLUSTER_ID, adopt=True), Policy(CLUSTER_ID, take_over=True)])


class Histories(RuleBasedStateMachine):
    """One object, two clusters, users, and an agent."""

    @initialize(policy=policies, placement=st.sampled_from([PLACEMENT, CLUSTER_SCOPED]))
    def start(self, policy, placement):
        self.policy = policy
        self.world = World(placement)
        self.clock = 0.0
        self.foreign = None

    # --- users ----------------------------------------------------------------------------------------------

    def _new(self, content, marks, *, key):
        obj = thing(key, spec=content, labels=marks)
        del obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]
        return obj

    @rule(content=contents, marks=labels)
    def user_writes(self, content, marks):
        key = self.world.placement.consumer_key
        if self.world.here is None:
            self.world.consumer.create(key, self._new(content, marks, key=key))
        else:
            self.world.consumer.edit(key, lambda o: o.update(spec=content))

    @precondition(lambda self: self.world.here is not None)
    @rule(forged=contents)
    def user_forges_the_status(self, forged):
        self.world.consumer.edit(self.world.placement.consumer_key, lambda o: o.update(status=forged))

    @precondition(lambda self: self.world.here is not None)
    @rule()
    def user_deletes(self):
        self.world.consumer.delete(self.world.placement.consumer_key, meta.uid(self.world.here))

    @precondition(lambda self: self.world.here is not None)
    @rule()
    def user_removes_by_force(self):
        # Finalizers torn off: the object vanishes without anybody being asked.
        del self.world.consumer.objects[self.world.placement.consumer_key]

    @precondition(lambda self: self.world.here is not None)
    @rule()
    def user_removes_our_marks(self):
        def strip(obj):
            obj["metadata"].pop("annotations", None)
            obj["metadata"].pop("finalizers", None)

        if not meta.is_deleting(self.world.here):
            self.world.consumer.edit(self.world.placement.consumer_key, strip)

    # --- the provider's people ------------------------------------------------------------------------------

    @precondition(lambda self: self.world.there is not None)
    @rule(content=contents)
    def provider_edits_the_spec(self, content):
        if self.foreign is None:
            self.world.provider.edit(self.world.placement.provider_key, lambda o: o.update(spec=content))

    @precondition(lambda self: self.world.there is not None)
    @rule(status=contents)
    def provider_reports(self, status):
        if self.foreign is None:
            self.world.provider.edit(self.world.placement.provider_key, lambda o: o.update(status=status))

    @precondition(lambda self: self.world.there is not None and self.foreign is None)
    @rule(hold=st.booleans())
    def provider_holds_or_lets_go(self, hold):
        def change(obj):
            obj["metadata"]["finalizers"] = ["provider.io/slow"] if hold else []

        self.world.provider.edit(self.world.placement.provider_key, change)

    @precondition(lambda self: self.world.there is not None and self.foreign is None)
    @rule()
    def provider_deletes(self):
        self.world.provider.delete(self.world.placement.provider_key, meta.uid(self.world.there))

    @precondition(lambda self: self.world.there is None and not (self.policy.adopt or self.policy.take_over))
    @rule(content=contents, mark=st.sampled_from([None, "another-cluster"]))
    def somebody_else_takes_the_name(self, content, mark):
        key = self.world.placement.provider_key
        obj = self._new(content, {}, key=key)
        if mark:
            obj["metadata"]["annotations"] = {
                keys.BOUND: "true",
                keys.CONSUMER_CLUSTER: mark,
                keys.SOURCE: self.world.placement.consumer_key,
                keys.SOURCE_UID: "x",
            }
        self.foreign = json.dumps(self.world.provider.create(key, obj), sort_keys=True)

    @precondition(lambda self: self.policy.adopt and self.world.here is None and self.world.there is None)
    @rule(content=contents, edited=contents)
    def a_go_konnector_has_adopted(self, content, edited):
        # It marks the consumer's object only, and the spec may have been edited since (spec 6.7.5).
        placement = self.world.placement
        there = self._new(content, {}, key=placement.provider_key)
        if placement.cluster_scoped:
            there["metadata"]["annotations"] = {keys.CLUSTER_NAMESPACE: placement.cluster_namespace}
        here = self._new(edited, {}, key=placement.consumer_key)
        here["metadata"] |= {"annotations": {keys.BOUND: "true"}, "finalizers": [keys.SYNCER_FINALIZER]}
        self.world.provider.create(placement.provider_key, there)
        self.world.consumer.create(placement.consumer_key, here)
        self.world.memory = Memory()

    @precondition(lambda self: self.foreign is not None)
    @rule()
    def somebody_else_leaves(self):
        del self.world.provider.objects[self.world.placement.provider_key]
        self.foreign = None

    # --- the agent --------------------------------------------------------------------------------

    def _plan(self):
        world = self.world
        return plan(world.here, world.there, world.placement, self.policy, world.memory, now=self.clock)

    @rule()
    def agent_works_from_an_old_view(self):
        """Planned, then overtaken, then executed: the locks have to hold."""
        steps = self._plan()
        if self.foreign is None and self.world.there is not None:
            self.world.provider.edit(self.world.placement.provider_key, lambda o: o.update(status={"c": 1}))
        with contextlib.suppress(Conflict):
            self.world.execute(steps, self.clock)

    @rule(done=st.integers(0, 2))
    def agent_dies_in_the_middle(self, done):
        with contextlib.suppress(Conflict):
            self.world.execute(self._plan()[:done], self.clock)
        self.world.memory = Memory()

    @rule()
    def agent_settles(self):
        for _ in range(12):
            self.clock += 1000.0  # fights are over, pauses have passed
            steps = self._plan()
            try:
                self.world.execute(steps, self.clock)
            except Conflict:
                continue
            if not steps:
                break
        writes = (self.world.consumer.writes, self.world.provider.writes)
        try:
            self.world.execute(self._plan(), self.clock)
        except Conflict:
            pytest.fail("a settled pair is planned on, and in vain")
        assert (self.world.consumer.writes, self.world.provider.writes) == writes, (
            "a settled pair was written"
        )
        self._is_settled()

    def _is_settled(self):
        here, there = self.world.here, self.world.there
        if self.foreign is not None:
            return
        if here is None:
            # What is left is on its way out, or was never ours.
            if there is not None and not meta.is_deleting(there):
                assert ownership.judge(there, None, self.world.placement, self.policy) is Standing.UNMARKED
            return
        if meta.is_deleting(here):
            assert there is not None
            assert meta.is_deleting(there)
            return
        assert there is not None
        if meta.is_deleting(there) or meta.annotation(there, keys.SOURCE_UID) != meta.uid(here):
            return  # goes first, or is a conflict
        assert essence.difference(here["spec"], there["spec"]) is None
        assert essence.same(here.get("status"), there.get("status"))
        assert meta.has_finalizer(here, keys.SYNCER_FINALIZER)
        assert keys.BOUND in meta.annotations(there)
        assert "helm.sh/chart" not in meta.labels(there)

    # --- what always holds ----------------------------------------------------------------------------------

    @invariant()
    def foreign_objects_are_byte_identical(self):
        if getattr(self, "foreign", None) is not None:
            assert json.dumps(self.world.there, sort_keys=True) == self.foreign

    @invariant()
    def deletes_name_a_uid(self):
        for step in getattr(self, "world", World()).executed:
            if isinstance(step, DeleteProvider):
                assert step.uid


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@pytest.mark.property
class TestHistories(Histories.TestCase):  # type: ignore[misc, name-defined]
    """Collected by pytest with the marker."""


@given(desired=values, extra=contents)
def test_what_is_found_stays_found_when_the_provider_adds_fields(desired, extra):
    assert essence.difference(desired, copy.deepcopy(desired)) is None
    wrapped = {"desired": desired}
    assert essence.difference(wrapped, {**extra, **wrapped}) is None


@given(first=values, second=values)
def test_a_difference_is_reported_unless_one_contains_the_other(first, second):
    if essence.same(first, second):
        assert essence.difference(first, second) is None
    if essence.difference(first, second) is not None:
        assert not essence.same(first, second)


@given(content=contents, marks=labels)
def test_the_steps_of_a_new_object_settle_in_one_pass(content, marks):
    world = World()
    made = thing(spec=content, labels=marks)
    del made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    world.consumer.create("shop/db", made)
    before = world.consumer.writes
    world.execute(plan(world.here, None, PLACEMENT, POLICY))
    assert plan(world.here, world.there, PLACEMENT, POLICY) == ()
    assert (world.consumer.writes - before, world.provider.writes) == (1, 1)
    assert world.there is not None
    assert meta.namespace(world.there) == f"{CNS}-shop"
