"""Generated histories of one claimed Secret: it comes to rest, follows its claim, and never overwrites
another's."""

import contextlib
import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bind_agent.api import keys, meta
from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.resource import SECRETS
from konnector.sync.claim_model import OWNER_OF, ClaimPlacement, ClaimPolicy, ClaimSet, DeleteCopy, UpdateCopy
from konnector.sync.claim_plan import plan_claim
from konnector.sync.model import Side
from tests.fakes.sync_world import CLUSTER_ID, CNS, ClaimWorld, Conflict

pytestmark = pytest.mark.property

PLACE = ClaimPlacement("shop", f"{CNS}-shop", "creds")
POLICY = ClaimPolicy(CLUSTER_ID, "provider-1")

sides = st.sampled_from(list(Side))
data = st.dictionaries(st.sampled_from(["user", "password"]), st.sampled_from(["YQ==", "Yg=="]), max_size=2)
labels = st.sampled_from(
    [{}, {"app": "db"}, {"app": "web"}, {"app": "db", "argocd.argoproj.io/instance": "x"}]
)
claims = st.lists(
    st.builds(
        lambda owner, selector: PermissionClaim(
            resource="secrets",
            version="v1",
            selector=ClaimSelector(owner=owner, label_selectors=selector),
        ),
        st.sampled_from(["", "Provider", "Consumer"]),
        st.sampled_from([(), ({"app": "db"},)]),
    ),
    max_size=2,
)
types = st.sampled_from(["Opaque", "Opaque", "kubernetes.io/service-account-token"])


class Histories(RuleBasedStateMachine):
    """One name in two namespaces, users on both sides, claims that come and go."""

    @initialize(wanted=claims)
    def start(self, wanted):
        self.world = ClaimWorld(PLACE)
        self.claims = ClaimSet.of(SECRETS, wanted)
        self.own: dict[Side, str] = {}

    def _truth(self, side):
        """Everything but the owner mark, which may be put on sources."""
        obj = self.world.at(side)
        if obj is None:
            return ""
        metadata = dict(obj["metadata"])
        metadata.pop("resourceVersion")
        marks = {k: v for k, v in metadata.pop("annotations", {}).items() if k != keys.RESOURCE_OWNER}
        return json.dumps([obj["data"], obj["type"], metadata, marks], sort_keys=True)

    @precondition(lambda self: any(self.world.at(side) is None for side in Side))
    @rule(side=sides, content=data, marks=labels, kind=types)
    def user_creates(self, side, content, marks, kind):
        if self.world.at(side) is None:
            obj = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "creds", "namespace": PLACE.namespace(side), "labels": marks},
                "type": kind,
                "data": content,
            }
            self.world.servers[side].create(PLACE.key(side), obj)
            self.own[side] = self._truth(side)

    @rule(side=sides, content=data, marks=labels)
    def user_edits(self, side, content, marks):
        if self.world.at(side) is None:
            return

        def change(obj):
            obj["data"] = content
            if side in self.own:  # labels that people put on a copy are theirs
                obj["metadata"]["labels"] = {**marks}

        self.world.servers[side].edit(PLACE.key(side), change)
        if side in self.own:
            self.own[side] = self._truth(side)

    @rule(side=sides)
    def user_deletes(self, side):
        found = self.world.at(side)
        if found is not None:
            self.world.servers[side].delete(PLACE.key(side), meta.uid(found))
            self.own.pop(side, None)

    @rule(wanted=claims)
    def claims_change(self, wanted):
        self.claims = ClaimSet.of(SECRETS, wanted)

    def _plan(self):
        world = self.world
        return plan_claim(world.at(Side.CONSUMER), world.at(Side.PROVIDER), PLACE, self.claims, POLICY)

    @rule(done=st.integers(0, 1))
    def agent_dies_in_the_middle(self, done):
        with contextlib.suppress(Conflict):
            self.world.execute(self._plan()[:done])

    @rule()
    def agent_settles(self):
        for _ in range(8):
            steps = self._plan()
            for step in steps:
                if isinstance(step, UpdateCopy | DeleteCopy):
                    assert step.uid
                    assert step.resource_version
            try:
                self.world.execute(steps)
            except Conflict:
                continue
        writes = [server.writes for server in self.world.servers.values()]
        self.world.execute(self._plan())
        assert [server.writes for server in self.world.servers.values()] == writes
        self._follows_the_claims()

    def _follows_the_claims(self):
        here, there = self.world.at(Side.CONSUMER), self.world.at(Side.PROVIDER)
        for side in Side:
            source, copy = (here, there) if side is Side.CONSUMER else (there, here)
            if side in self.own and source is not None and side.other not in self.own:
                allowed = self.claims.flows(OWNER_OF[side], "shop", "creds", meta.labels(source))
                allowed = allowed and source["type"] == "Opaque"
                assert (copy is not None) is allowed, "a copy exists exactly while a claim has it"
                if copy is not None:
                    assert copy.get("data", {}) == source["data"]
                    assert "argocd.argoproj.io/instance" not in meta.labels(copy)

    @invariant()
    def what_users_made_is_never_overwritten(self):
        for side, truth in getattr(self, "own", {}).items():
            assert self._truth(side) == truth


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@pytest.mark.property
class TestHistories(Histories.TestCase):  # type: ignore[misc, name-defined]
    """Collected by pytest with the marker."""
