"""What `plan_claim` decides: both directions, ownership, guards, retraction (design 4.4, spec 6.9).

Each direction is the mirror image of the other, so most cases run in both.
"""

import copy
from dataclasses import replace

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.resource import CONFIGMAPS, SECRETS, Resource
from konnector.sync import claim_copy
from konnector.sync.claim_model import (
    OWNER_OF,
    ClaimPlacement,
    ClaimPolicy,
    ClaimSet,
    CreateCopy,
    DeleteCopy,
    MarkSource,
    ReplaceCopy,
    UpdateCopy,
)
from konnector.sync.claim_plan import plan_claim
from konnector.sync.model import ConfirmAbsence, Reason, Refuse, Side
from tests.fakes.sync_world import CLUSTER_ID, CNS, kinds

pytestmark = pytest.mark.unit

PLACE = ClaimPlacement("shop", f"{CNS}-shop", "db-creds")
POLICY = ClaimPolicy(CLUSTER_ID, "provider-1")
COPY = {keys.COPY: POLICY.copy_label}
WIDGETS = Resource("example.com", "v1", "widgets", kind="Widget")

both_ways = pytest.mark.parametrize("down", [True, False], ids=["down", "up"])


def claim(resource=SECRETS, *, owner="", **selector):
    return PermissionClaim(
        group=resource.group,
        resource=resource.plural,
        version=resource.version,
        selector=ClaimSelector(owner=owner, **selector),
    )


def claims(*entries, resource=SECRETS, own=()):
    return ClaimSet.of(resource, entries, own)


def secret(side, *, uid="", version="5", labels=None, annotations=None, resource=SECRETS, **body):
    metadata = {
        "name": PLACE.name,
        "namespace": PLACE.namespace(side),
        "uid": uid or f"{side.value}-uid",
        "resourceVersion": version,
    }
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    if resource is SECRETS:
        body = {"type": "Opaque", "data": {"password": "cGc="}, **body}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **body}


class Way:
    """One direction: where the source is, and `plan_claim` with source and copy instead of the two sides."""

    def __init__(self, down):
        self.source_side = Side.PROVIDER if down else Side.CONSUMER
        self.copy_side = self.source_side.other
        self.owner = OWNER_OF[self.source_side]
        self.claims = claims(claim(owner=self.owner))

    def source(self, *, marked_owner=True, **fields):
        annotations = dict(fields.pop("annotations", None) or {})
        if marked_owner:
            annotations[keys.RESOURCE_OWNER] = self.owner
        return secret(self.source_side, annotations=annotations, **fields)

    def copy(self, source, *, claims_=None, uid="copy-uid", **body):
        made = copy.deepcopy(claim_copy.build(source, self.copy_side, PLACE, claims_ or self.claims, POLICY))
        made["metadata"] |= {"uid": uid, "resourceVersion": "6"}
        return {**made, **body}

    def plan(self, source, made, claims_=None, policy=POLICY, place=PLACE, **more):
        consumer, provider = (made, source) if self.copy_side is Side.CONSUMER else (source, made)
        chosen = self.claims if claims_ is None else claims_
        return plan_claim(consumer, provider, place, chosen, policy, **more)


# --- creating -------------------------------------------------------------------------------------


@both_ways
def test_a_claimed_object_is_copied_from_an_allow_list_and_its_source_marked(down):
    way = Way(down)
    source = way.source(
        marked_owner=False,
        labels={"app.kubernetes.io/name": "db", "team": "red", "argocd.argoproj.io/instance": "x"},
        annotations={keys.LAST_APPLIED: "{all}", "reflector.v1.k8s.emberstack.com/reflects": "x/y"},
        immutable=True,
        stringData={"x": "y"},
    )
    source["metadata"] |= {"finalizers": ["x"], "ownerReferences": [{"uid": "o"}], "generateName": "g"}
    create, mark = way.plan(source, None, claims(claim()))
    assert create == CreateCopy(
        way.copy_side,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "db-creds",
                "namespace": PLACE.namespace(way.copy_side),
                "labels": {"app.kubernetes.io/name": "db", **COPY},
                "annotations": {
                    keys.RESOURCE_OWNER: way.owner,
                    keys.CONSUMER_CLUSTER: CLUSTER_ID,
                    keys.SOURCE: PLACE.key(way.source_side),
                    keys.SOURCE_UID: f"{way.source_side.value}-uid",
                    keys.PROVIDER: "provider-1",
                },
            },
            "type": "Opaque",
            "data": {"password": "cGc="},
            "immutable": True,
        },
    )
    assert mark == MarkSource(
        way.source_side,
        f"{way.source_side.value}-uid",
        "5",
        {
            "metadata": {
                "uid": f"{way.source_side.value}-uid",
                "resourceVersion": "5",
                "annotations": {keys.RESOURCE_OWNER: way.owner},
            }
        },
    )


@both_ways
def test_a_source_is_marked_only_where_nothing_else_tells_its_owner(down):
    way = Way(down)
    assert kinds(way.plan(way.source(), None, claims(claim()))) == ["CreateCopy"]
    assert kinds(way.plan(way.source(marked_owner=False), None)) == ["CreateCopy"]
    both = claims(claim(), claim(owner=way.owner))
    assert kinds(way.plan(way.source(marked_owner=False), None, both)) == ["CreateCopy"]


@both_ways
def test_no_digest_of_a_secret_is_written_anywhere(down):
    way = Way(down)
    (create,) = way.plan(way.source(), None)
    assert isinstance(create, CreateCopy)
    assert keys.CONTENT_DIGEST not in create.object["metadata"]["annotations"]


@both_ways
def test_converged_means_no_steps(down):
    way = Way(down)
    source = way.source(labels={"app.kubernetes.io/name": "db"})
    assert way.plan(source, way.copy(source)) == ()


@both_ways
def test_a_claim_on_both_owners_takes_either_direction(down):
    way = Way(down)
    assert kinds(way.plan(way.source(marked_owner=False), None, claims(claim()))) == [
        "CreateCopy",
        "MarkSource",
    ]


@both_ways
def test_an_unmarked_object_of_the_other_side_is_never_touched(down):
    # Threats W-S1: with owner Provider, Go copies every Secret of the consumer up.
    way = Way(down)
    assert way.plan(way.source(marked_owner=False), None, Way(not down).claims) == ()


@both_ways
def test_a_source_on_its_way_out_gets_no_new_copy_and_keeps_the_old_one(down):
    way = Way(down)
    source = way.source()
    source["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert way.plan(source, None) == ()
    assert way.plan(source, way.copy(source)) == ()
    unmarked = copy.deepcopy(source)
    unmarked["metadata"]["annotations"] = {}
    assert way.plan(unmarked, way.copy(unmarked), claims(claim())) == ()


# --- keeping up -----------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"data": {"password": "bmV3"}}, id="a value"),
        pytest.param({"data": {"password": "cGc=", "user": "eA=="}}, id="a key more"),
        pytest.param({"data": {}}, id="a key less"),
        pytest.param({"immutable": True}, id="becomes immutable"),
    ],
)
def test_a_changed_source_updates_the_copy_under_its_lock(down, change):
    way = Way(down)
    made = way.copy(way.source())
    (update,) = way.plan(way.source(**change), made)
    assert isinstance(update, UpdateCopy)
    assert (update.side, update.uid, update.resource_version) == (way.copy_side, "copy-uid", "6")
    assert update.object["metadata"]["uid"] == "copy-uid"
    assert update.object["metadata"]["resourceVersion"] == "6"
    expected = {"data": {"password": "cGc="}, **change}
    assert update.object.get("data", {}) == expected["data"]


@both_ways
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda c: c["data"].update(password="eA=="), id="a value edited"),
        pytest.param(lambda c: c["data"].update(more="eA=="), id="a key added"),
        pytest.param(lambda c: c.pop("data"), id="the data removed"),
        pytest.param(lambda c: c["metadata"]["labels"].pop("app.kubernetes.io/name"), id="a label removed"),
        pytest.param(lambda c: c["metadata"]["labels"].pop(keys.COPY), id="our label removed"),
        pytest.param(
            lambda c: c["metadata"]["labels"].update({"app.kubernetes.io/part-of": "x"}), id="a label added"
        ),
        pytest.param(
            lambda c: c["metadata"]["annotations"].update({keys.RESOURCE_OWNER: "?"}), id="the owner edited"
        ),
    ],
)
def test_edits_of_the_copy_are_reverted(down, spoil):
    way = Way(down)
    source = way.source(labels={"app.kubernetes.io/name": "db"})
    made = way.copy(source)
    spoil(made)
    (update,) = way.plan(source, made)
    assert isinstance(update, UpdateCopy)
    assert update.object["data"] == {"password": "cGc="}
    assert update.object["metadata"]["labels"] == {"app.kubernetes.io/name": "db", **COPY}
    assert update.object["metadata"]["annotations"][keys.RESOURCE_OWNER] == way.owner


@both_ways
def test_a_deleted_copy_is_made_again(down):
    way = Way(down)
    assert kinds(way.plan(way.source(), None)) == ["CreateCopy"]


@both_ways
def test_a_terminating_copy_is_waited_for(down):
    way = Way(down)
    source = way.source()
    made = way.copy(way.source(data={"password": "b2xk"}))
    made["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]}
    assert way.plan(source, made) == ()
    assert way.plan(None, made) == ()
    assert way.plan(source, made, claims()) == ()


@both_ways
def test_what_the_copys_own_cluster_keeps_on_it_stays(down):
    way = Way(down)
    made = way.copy(way.source(data={"password": "b2xk"}))
    made["metadata"] |= {
        "labels": {"local": "yes"},
        "finalizers": ["local.io/x"],
        "ownerReferences": [{"uid": "local"}],
    }
    made["metadata"]["annotations"]["local"] = "yes"
    (update,) = way.plan(way.source(), made)
    assert isinstance(update, UpdateCopy)
    metadata = update.object["metadata"]
    assert metadata["labels"] == {"local": "yes", **COPY}
    assert metadata["annotations"]["local"] == "yes"
    assert metadata["finalizers"] == ["local.io/x"]
    assert metadata["ownerReferences"] == [{"uid": "local"}]


@both_ways
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"type": "Opaque"}, {"type": "kubernetes.io/tls"}, id="another type"),
        pytest.param({"immutable": True}, {"immutable": True, "data": {"a": "eA=="}}, id="immutable data"),
        pytest.param({"immutable": True}, {}, id="no longer immutable"),
    ],
)
def test_what_cannot_be_updated_is_replaced_under_uid_and_version(down, before, after):
    way = Way(down)
    made = way.copy(way.source(**before))
    (replaced,) = way.plan(way.source(**after), made)
    assert isinstance(replaced, ReplaceCopy)
    assert (replaced.side, replaced.uid, replaced.resource_version) == (way.copy_side, "copy-uid", "6")
    assert "uid" not in replaced.object["metadata"]


@both_ways
def test_a_source_that_was_made_anew_takes_its_copy_along(down):
    way = Way(down)
    made = way.copy(way.source(uid="earlier"))
    (update,) = way.plan(way.source(uid="new"), made)
    assert isinstance(update, UpdateCopy)
    assert update.object["metadata"]["annotations"][keys.SOURCE_UID] == "new"


def test_config_maps_carry_text_and_binary_data():
    way = Way(down=True)
    wanted = claims(claim(CONFIGMAPS, owner="Provider"), resource=CONFIGMAPS)
    source = secret(Side.PROVIDER, resource=CONFIGMAPS, data={"a": "b"}, binaryData={"c": "eA=="}, x="no")
    (create,) = way.plan(source, None, wanted)
    assert isinstance(create, CreateCopy)
    assert (create.object["data"], create.object["binaryData"]) == ({"a": "b"}, {"c": "eA=="})
    assert "x" not in create.object
    made = way.copy(source, claims_=wanted)
    edited = {**source, "binaryData": {"c": "eQ=="}}
    edited["metadata"] = {**source["metadata"], "annotations": {keys.RESOURCE_OWNER: "Provider"}}
    assert kinds(way.plan(edited, made, wanted)) == ["UpdateCopy"]


# --- other kinds ----------------------------------------------------------------------------------


def widget(**body):
    return secret(Side.PROVIDER, resource=WIDGETS, annotations={keys.RESOURCE_OWNER: "Provider"}, **body)


def test_other_kinds_carry_all_content_but_the_status_and_may_be_defaulted():
    way = Way(down=True)
    wanted = claims(claim(WIDGETS, owner="Provider"), resource=WIDGETS)
    source = widget(spec={"a": 1, "b": 2}, status={"phase": "x"})
    (create,) = way.plan(source, None, wanted)
    assert isinstance(create, CreateCopy)
    assert create.object["spec"] == {"a": 1, "b": 2}
    assert "status" not in create.object
    made = way.copy(source, claims_=wanted, spec={"a": 1, "b": 2, "default": 3}, status={"mine": 1})
    assert way.plan(source, made, wanted) == ()
    (update,) = way.plan(widget(spec={"a": 1}), made, wanted)
    assert isinstance(update, UpdateCopy)
    assert update.object["spec"] == {"a": 1}
    assert update.object["status"] == {"mine": 1}
    made["metadata"]["labels"] = {"app.kubernetes.io/name": "surplus"}
    assert kinds(way.plan(source, made, wanted)) == ["UpdateCopy"]


def test_content_that_cannot_be_carried_is_refused():
    deep: dict[str, object] = {}
    for _ in range(300):
        deep = {"a": deep}
    wanted = claims(claim(WIDGETS, owner="Provider"), resource=WIDGETS)
    (refuse,) = Way(down=True).plan(widget(spec=deep), None, wanted)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.REJECTED
    assert f"Widget {CNS}-shop/db-creds" in refuse.message


def test_cluster_scoped_kinds_and_other_versions_are_in_no_set():
    nodes = Resource("example.com", "v1", "widgets", namespaced=False, kind="Widget")
    assert ClaimSet.of(nodes, [claim(WIDGETS)]).claims == ()
    assert ClaimSet.of(WIDGETS.at("v2"), [claim(WIDGETS)]).claims == ()
    assert len(ClaimSet.of(WIDGETS, [claim(WIDGETS), claim(WIDGETS), claim(SECRETS)]).claims) == 1


# --- selection ------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize(
    ("selector", "flows"),
    [
        pytest.param({"names": ("db-creds",)}, True, id="named"),
        pytest.param({"names": ("other",)}, False, id="another name"),
        pytest.param({"namespaces": ("shop",)}, True, id="its consumer namespace"),
        pytest.param({"namespaces": (f"{CNS}-shop",)}, False, id="the provider's namespace means nothing"),
        pytest.param({"label_selectors": ({"app": "db"},)}, True, id="labelled"),
        pytest.param({"label_selectors": ({"app": "web"},)}, False, id="labelled otherwise"),
        pytest.param({"label_selectors": ({"app": "web"}, {"app": "db"})}, True, id="one of several"),
    ],
)
def test_names_namespaces_and_labels_decide(down, selector, flows):
    way = Way(down)
    wanted = claims(claim(owner=way.owner, **selector))
    steps = way.plan(way.source(labels={"app": "db"}), None, wanted)
    assert kinds(steps) == (["CreateCopy"] if flows else [])


@both_ways
def test_the_copy_carries_the_labels_that_it_was_selected_by(down):
    way = Way(down)
    wanted = claims(claim(owner=way.owner, label_selectors=({"app": "db"},)))
    (create,) = way.plan(way.source(labels={"app": "db", "team": "red"}), None, wanted)
    assert isinstance(create, CreateCopy)
    assert create.object["metadata"]["labels"] == {"app": "db", **COPY}


@both_ways
def test_the_labels_of_the_source_decide_not_those_of_the_copy(down):
    way = Way(down)
    wanted = claims(claim(owner=way.owner, label_selectors=({"app": "db"},)))
    source = way.source(labels={"app": "db"})
    made = way.copy(source, claims_=wanted)
    made["metadata"]["labels"] = {"app": "web"}
    assert kinds(way.plan(source, made, wanted)) == ["UpdateCopy"]


@both_ways
def test_an_object_that_leaves_the_selector_is_taken_back(down):
    way = Way(down)
    wanted = claims(claim(owner=way.owner, label_selectors=({"app": "db"},)))
    made = way.copy(way.source(labels={"app": "db"}), claims_=wanted)
    gone = DeleteCopy(way.copy_side, "copy-uid", "6", "no claim in force selects its source")
    assert way.plan(way.source(labels={"app": "web"}), made, wanted) == (gone,)
    assert way.plan(way.source(labels={"app": "web"}), None, wanted) == ()


@both_ways
def test_a_mark_that_we_put_on_a_source_comes_off_with_its_copy(down):
    way = Way(down)
    wanted = claims(claim(label_selectors=({"app": "db"},)))
    made = way.copy(way.source(labels={"app": "db"}), claims_=wanted)
    delete, unmark = way.plan(way.source(labels={"app": "web"}), made, wanted)
    assert isinstance(delete, DeleteCopy)
    assert isinstance(unmark, MarkSource)
    assert unmark.side is way.source_side
    assert unmark.patch["metadata"]["annotations"] == {keys.RESOURCE_OWNER: None}
    unmarked = way.source(labels={"app": "web"}, marked_owner=False)
    assert kinds(way.plan(unmarked, made, wanted)) == ["DeleteCopy"]


@both_ways
def test_a_second_claim_that_still_selects_it_keeps_the_copy(down):
    way = Way(down)
    first = claim(owner=way.owner, label_selectors=({"app": "db"},))
    second = claim(owner=way.owner, names=("db-creds",))
    made = way.copy(way.source(labels={"app": "db"}), claims_=claims(first, second))
    steps = way.plan(way.source(labels={"app": "web"}), made, claims(first, second))
    assert kinds(steps) == ["UpdateCopy"]
    assert kinds(way.plan(way.source(), made, claims())) == ["DeleteCopy"]


@both_ways
def test_a_deleted_source_takes_its_copy_along_after_a_confirming_get(down):
    way = Way(down)
    source = way.source()
    assert way.plan(None, way.copy(source)) == (
        ConfirmAbsence(way.source_side, meta.uid(source)),
        DeleteCopy(way.copy_side, "copy-uid", "6", "its source is gone"),
    )


# --- whose is it ----------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("marked_owner", [True, False], ids=["marked source", "unmarked source"])
def test_an_existing_object_of_the_same_name_is_never_overwritten(down, marked_owner):
    # Threats A01 and A02.
    way = Way(down)
    theirs = secret(way.copy_side, data={"password": "dGhlaXJz"})
    (refuse,) = way.plan(way.source(marked_owner=marked_owner), theirs)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.CONFLICT
    assert f"Secret {PLACE.key(way.copy_side)}" in refuse.message
    assert "dGhlaXJz" not in refuse.message


@both_ways
def test_two_unrelated_objects_that_no_claim_selects_are_nobodys_business(down):
    way = Way(down)
    theirs = secret(way.copy_side)
    narrow = claims(claim(owner=way.owner, names=("other",)))
    assert way.plan(way.source(), theirs, narrow) == ()
    assert way.plan(way.source(marked_owner=False), theirs, narrow) == ()


@both_ways
def test_two_objects_that_both_say_to_be_the_source_are_a_conflict(down):
    way = Way(down)
    other = secret(way.copy_side, annotations={keys.RESOURCE_OWNER: OWNER_OF[way.copy_side]})
    assert kinds(way.plan(way.source(), other)) == ["Refuse"]


@both_ways
@pytest.mark.parametrize(
    "marks",
    [
        pytest.param({keys.CONSUMER_CLUSTER: "other"}, id="another cluster"),
        pytest.param({keys.SOURCE: "x/y"}, id="another source"),
        pytest.param({keys.SOURCE_UID: "other", keys.PROVIDER: "other"}, id="another provider"),
    ],
)
def test_a_copy_marked_for_somebody_else_is_left_alone(down, marks):
    way = Way(down)
    source = way.source()
    made = way.copy(source)
    made["metadata"]["annotations"] |= marks
    made["data"] = {"password": "eA=="}
    (refuse,) = way.plan(source, made)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.FOREIGN_MARK
    assert way.plan(None, made) == ()
    assert kinds(way.plan(source, made, claims())) == []


@both_ways
def test_the_sources_uid_proves_a_copy_also_after_the_providers_address_changed(down):
    way = Way(down)
    source = way.source()
    made = way.copy(source)
    made["metadata"]["annotations"][keys.PROVIDER] = "the old address"
    assert kinds(way.plan(source, made)) == ["UpdateCopy"]


@both_ways
def test_a_copy_of_one_provider_does_not_flow_on_to_another(down):
    way = Way(down)
    made = way.copy(way.source())
    made["metadata"]["annotations"][keys.PROVIDER] = "other"
    back = Way(not down)
    assert back.plan(made, None, claims(claim())) == ()


@both_ways
def test_two_copies_of_each_other_are_a_forgery(down):
    way, back = Way(down), Way(not down)
    one = way.copy(way.source())
    two = back.copy(back.source())
    assert kinds(way.plan(two, one)) == ["Refuse"]


@both_ways
def test_a_copy_by_go_is_taken_over_and_loses_what_should_not_have_crossed(down):
    way = Way(down)
    source = way.source()
    by_go = secret(
        way.copy_side,
        uid="go",
        labels={"argocd.argoproj.io/instance": "x", "team": "red"},
        annotations={keys.RESOURCE_OWNER: way.owner, "tool": "x"},
    )
    (update,) = way.plan(source, by_go)
    assert isinstance(update, UpdateCopy)
    assert (update.uid, update.resource_version) == ("go", "5")
    assert update.object["metadata"]["labels"] == COPY
    assert "tool" not in update.object["metadata"]["annotations"]
    assert update.object["metadata"]["annotations"][keys.SOURCE_UID] == meta.uid(source)


def changed_by_go(way):
    """A copy by Go whose source was changed since: a rotated password, or another provider's Secret."""
    return secret(way.copy_side, annotations={keys.RESOURCE_OWNER: way.owner}, data={"password": "b2xk"})


def test_where_other_providers_may_have_made_it_a_copy_by_go_of_other_content_is_left_alone():
    way = Way(down=True)
    (refuse,) = way.plan(way.source(), changed_by_go(way))
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.FOREIGN_MARK
    assert "made again" in refuse.message
    other_type = {**secret(way.copy_side, annotations={keys.RESOURCE_OWNER: way.owner}), "type": "x/y"}
    assert kinds(way.plan(way.source(), other_type)) == ["Refuse"]


def test_where_one_provider_is_bound_a_copy_by_go_is_its_whatever_has_changed_since():
    way = Way(down=True)
    (update,) = way.plan(way.source(), changed_by_go(way), policy=replace(POLICY, alone=True))
    assert update.object["data"] == {"password": "cGc="}


def test_in_the_service_namespace_a_copy_by_go_can_only_be_of_this_cluster():
    way = Way(down=False)
    (update,) = way.plan(way.source(), changed_by_go(way))
    assert update.object["data"] == {"password": "cGc="}


@pytest.mark.parametrize(("size", "wanted"), [("3", "UpdateCopy"), ("4", "Refuse")])
def test_a_copy_by_go_of_another_kind_is_compared_with_room_for_defaults(size, wanted):
    way = Way(down=True)
    source = way.source(resource=WIDGETS, spec={"size": "3"})
    by_go = secret(
        Side.CONSUMER,
        resource=WIDGETS,
        annotations={keys.RESOURCE_OWNER: way.owner},
        spec={"size": size, "defaulted": True},
    )
    claimed = claims(claim(WIDGETS, owner=way.owner), resource=WIDGETS)
    assert kinds(way.plan(source, by_go, claimed)) == [wanted]


@both_ways
def test_a_copy_by_go_is_taken_over_when_its_source_lost_the_mark_and_a_claim_names_the_owner(down):
    # Whoever writes the source anew without its annotation, as an operator does, says nothing about the owner.
    way = Way(down)
    by_go = secret(way.copy_side, uid="go", annotations={keys.RESOURCE_OWNER: way.owner})
    source = way.source(marked_owner=False, data={"password": "bmV3"})
    for wanted in (way.claims, claims(claim(), claim(owner=way.owner))):
        (update,) = way.plan(source, by_go, wanted, replace(POLICY, alone=True))
        assert isinstance(update, UpdateCopy)
        assert (update.uid, update.object["data"]) == ("go", {"password": "bmV3"})
        ours = {**update.object, "metadata": {**update.object["metadata"], "resourceVersion": "6"}}
        assert way.plan(source, ours, wanted) == ()


@both_ways
def test_a_copy_by_go_proves_nothing_without_a_claim_on_its_owner(down):
    way = Way(down)
    by_go = secret(way.copy_side, annotations={keys.RESOURCE_OWNER: way.owner})
    plain = way.source(marked_owner=False)
    elsewhere = claims(claim(), claim(owner=way.owner, names=("other",)))
    for wanted in (claims(claim()), elsewhere):
        (refuse,) = way.plan(plain, by_go, wanted)
        assert isinstance(refuse, Refuse)
        assert refuse.reason is Reason.FOREIGN_MARK
    assert way.plan(plain, by_go, Way(not down).claims) == ()
    assert way.plan(None, by_go) == ()
    assert way.plan(way.source(), by_go, claims()) == ()


def test_contradicting_marks_are_a_conflict():
    consumer = secret(Side.CONSUMER, annotations={keys.RESOURCE_OWNER: "Provider"})
    provider = secret(Side.PROVIDER, annotations={keys.RESOURCE_OWNER: "Consumer"})
    (refuse,) = plan_claim(consumer, provider, PLACE, claims(claim()), POLICY)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.FOREIGN_MARK


# --- what never crosses ---------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize(
    "kind", ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1"]
)
def test_tokens_and_release_records_never_cross(down, kind):
    # Threats A05 to A08; the positive twin is every other test here.
    assert Way(down).plan(Way(down).source(type=kind), None) == ()


@both_ways
def test_a_copy_whose_source_became_a_token_is_taken_back(down):
    way = Way(down)
    source = way.source()
    token = {**source, "type": "kubernetes.io/service-account-token"}
    assert kinds(way.plan(token, way.copy(source))) == ["DeleteCopy"]


@both_ways
@pytest.mark.parametrize(
    ("place", "own"),
    [
        (ClaimPlacement("kube-system", f"{CNS}-x", "db-creds"), ()),
        (ClaimPlacement("klutch-bind", f"{CNS}-x", "db-creds"), ()),
        (ClaimPlacement("shop", f"{CNS}-shop", "db-creds"), ("shop",)),
    ],
    ids=["system namespace", "our namespace", "the konnector's namespace"],
)
def test_protected_namespaces_never_take_part(down, place, own):
    way = Way(down)
    assert way.plan(way.source(), None, claims(claim(owner=way.owner), own=own), place=place) == ()


def test_protected_names_never_cross():
    place = ClaimPlacement("shop", f"{CNS}-shop", "kube-root-ca.crt")
    source = secret(Side.PROVIDER, resource=CONFIGMAPS, data={"ca.crt": "x"})
    source["metadata"]["name"] = place.name
    wanted = claims(claim(CONFIGMAPS), resource=CONFIGMAPS)
    assert plan_claim(None, source, place, wanted, POLICY) == ()


def test_paused_unmapped_and_absent_pairs_give_no_steps():
    way = Way(down=True)
    assert way.plan(way.source(), None, policy=ClaimPolicy(CLUSTER_ID, "p", paused=True)) == ()
    assert way.plan(way.source(), None, place=None) == ()
    assert plan_claim(None, None, PLACE, way.claims, POLICY) == ()


# --- claims whose API has no object in the namespace (threats A25) --------------------------------


@both_ways
def test_nothing_begins_to_flow_where_nothing_is_bound(down):
    way = Way(down)
    source = way.source()
    assert [type(step) for step in way.plan(source, None)] == [CreateCopy]
    assert way.plan(source, None, crossing=claims()) == ()
    assert way.plan(way.source(marked_owner=False), None, claims(claim()), crossing=claims()) == ()


@both_ways
def test_what_was_copied_is_kept_up_to_date_on_the_consumer_alone(down):
    way = Way(down)
    made = way.copy(way.source())
    changed = way.source(data={"password": "bmV3"})
    another_type = way.source(type="example.com/other")
    assert [type(step) for step in way.plan(changed, made)] == [UpdateCopy]
    assert [type(step) for step in way.plan(another_type, made)] == [ReplaceCopy]
    # At the provider anybody could have set the marks of a copy.
    assert [type(step) for step in way.plan(changed, made, crossing=claims())] == (
        [UpdateCopy] if down else []
    )
    assert [type(step) for step in way.plan(another_type, made, crossing=claims())] == (
        [ReplaceCopy] if down else []
    )


@both_ways
def test_what_was_copied_is_taken_back_where_nothing_is_bound_too(down):
    way = Way(down)
    source = way.source()
    made = way.copy(source)
    assert [type(step) for step in way.plan(None, made, crossing=claims())] == [ConfirmAbsence, DeleteCopy]
    assert [type(step) for step in way.plan(source, made, claims(), crossing=claims())] == [DeleteCopy]
    both = claims(claim())
    marked = way.copy(source, claims_=both)
    nothing = claims(claim(names=("other",)))
    assert [type(step) for step in way.plan(source, marked, nothing, crossing=claims())] == [
        DeleteCopy,
        MarkSource,
    ]


@both_ways
def test_conflicts_are_not_told_where_nothing_is_bound(down):
    way = Way(down)
    other = secret(way.copy_side)
    assert [type(step) for step in way.plan(way.source(), other)] == [Refuse]
    assert way.plan(way.source(), other, crossing=claims()) == ()
