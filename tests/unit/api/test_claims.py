"""Claims: normal form, hash, breadth, words, selection, consent and what may never be claimed."""

from typing import Any

import msgspec
import pytest

from bind_agent.api import claims, consent, guards
from bind_agent.api.claims import Breadth, ClaimSelector, PermissionClaim
from bind_agent.api.consent import Consent, decide
from bind_agent.api.decoding import decode_part
from bind_agent.api.shared import to_wire
from tests.fakes.kinds import FULL_CLAIM

pytestmark = pytest.mark.unit


def claim(resource: str = "secrets", **fields: Any) -> PermissionClaim:
    return decode_part(PermissionClaim, {"resource": resource, "version": "v1", **fields})


def selecting(**selector: Any) -> PermissionClaim:
    return claim(selector=selector)


def test_defaults_are_those_of_the_schema() -> None:
    assert claim() == claim(
        group="",
        selector={"names": ["*"], "namespaces": ["*"]},
        required=False,
        read={},
        onConflict={"recreateWhenConsumerSideDeleted": True},
    )


def test_round_trip() -> None:
    assert decode_part(PermissionClaim, to_wire(decode_part(PermissionClaim, FULL_CLAIM))) == decode_part(
        PermissionClaim, FULL_CLAIM
    )


def test_explicitly_empty_namespaces_survive() -> None:
    assert to_wire(selecting(namespaces=[]))["selector"] == {"namespaces": []}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (selecting(names=["b", "a", "a"]), selecting(names=["a", "b"])),
        (selecting(names=["a", "*"]), selecting()),
        (selecting(names=[]), selecting()),
        (selecting(namespaces=["x", "*"]), selecting()),
        (
            selecting(labelSelectors=[{"a": "1"}, {"b": "2"}]),
            selecting(labelSelectors=[{"b": "2"}, {"a": "1"}]),
        ),
        (selecting(labelSelectors=[{}]), selecting()),
        (
            selecting(labelSelectors=[{"a": "1"}, {"a": "1", "b": "2"}]),
            selecting(labelSelectors=[{"a": "1"}]),
        ),
        (claim(required=True), claim()),
        (
            claim(read={"labels": [{"pattern": "b"}, {"pattern": "a"}]}),
            claim(read={"labels": [{"pattern": "a"}, {"pattern": "b"}]}),
        ),
        (claim(update={"fields": ["b", "a"]}), claim(update={"fields": ["a", "b"]})),
        (claims.decided(claim(), "Accepted"), claim()),
        (claims.decided(claim(), "Accepted"), claims.decided(claim(), "Rejected")),
    ],
)
def test_same_meaning_same_hash(one: PermissionClaim, other: PermissionClaim) -> None:
    assert claims.content_hash(one) == claims.content_hash(other)


@pytest.mark.parametrize(
    "other",
    [
        claim("configmaps"),
        claim(group="example.com"),
        claim(version="v2"),
        selecting(names=["a"]),
        selecting(namespaces=["a"]),
        selecting(namespaces=[]),
        selecting(labelSelectors=[{"a": "1"}]),
        selecting(fieldSelectors=["a=b"]),
        selecting(owner="Provider"),
        claim(read={"labels": [{"pattern": "a"}]}),
        claim(create={}),
        claim(create={"replaceExisting": True}),
        claim(autoAdopt=True),
        claim(autoDonate=True),
        claim(onConflict={"recreateWhenConsumerSideDeleted": False}),
        claim(update={"alwaysRecreate": True}),
    ],
)
def test_other_meaning_other_hash(other: PermissionClaim) -> None:
    assert claims.content_hash(other) != claims.content_hash(claim())
    assert claims.claim_key(other) != claims.claim_key(claim())


def test_hash_is_stable() -> None:
    """Consent is stored by users of older versions; a changed hash would ask everyone again."""
    assert claims.content_hash(claim()) == "b351a7224659b0ed7e79f76d0bb3075b541a4bc5"
    assert claims.claim_key(claim()) == "secrets/v1#b351a72246"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (selecting(), Breadth.EVERYTHING),
        (selecting(names=[]), Breadth.EVERYTHING),
        (selecting(labelSelectors=[{}, {"a": "1"}]), Breadth.EVERYTHING),
        (selecting(labelSelectors=[{"a": "1"}]), Breadth.LABELLED),
        (selecting(names=["a"], labelSelectors=[{"a": "1"}]), Breadth.NAMED),
    ],
)
def test_breadth(given: PermissionClaim, expected: Breadth) -> None:
    assert claims.breadth(given) is expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            selecting(owner="Provider"),
            "all secrets in every bound namespace, from the provider to this cluster",
        ),
        (
            selecting(names=["b", "a"], namespaces=["x"], owner="Consumer"),
            "secrets named a or b in namespace x, from this cluster to the provider",
        ),
        (
            claim(
                "widgets",
                group="example.com",
                selector={"labelSelectors": [{"b": "2", "a": "1"}], "namespaces": []},
            ),
            "widgets.example.com with labels a=1,b=2 outside of namespaces, in both directions, each object "
            "from the side that owns it",
        ),
        (
            selecting(names=["\x1b[2Ja"], owner="Provider"),
            "secrets named [2Ja in every bound namespace, from the provider to this cluster",
        ),
    ],
)
def test_describe(given: PermissionClaim, words: str) -> None:
    assert claims.describe(given) == words


@pytest.mark.parametrize(
    ("given", "namespace", "name", "expected"),
    [
        (selecting(), "x", "a", True),
        (selecting(), "", "a", False),
        (selecting(namespaces=["x"]), "x", "a", True),
        (selecting(namespaces=["x"]), "y", "a", False),
        (selecting(namespaces=[]), "", "a", True),
        (selecting(namespaces=[]), "x", "a", False),
        (selecting(names=["a"]), "x", "a", True),
        (selecting(names=["a"]), "x", "b", False),
        (selecting(names=["a", "*"]), "x", "b", True),
        (selecting(names=[]), "x", "b", True),
        (selecting(labelSelectors=[{"l": "1"}]), "x", "a", True),
        (selecting(labelSelectors=[{"l": "2"}]), "x", "a", False),
    ],
)
def test_selects(given: PermissionClaim, namespace: str, name: str, *, expected: bool) -> None:
    assert claims.selects(given, namespace, name, {"l": "1"}) is expected


def test_owners() -> None:
    assert claims.allows_owner(selecting(), "Provider")
    assert claims.allows_owner(selecting(owner="Provider"), "Provider")
    assert not claims.allows_owner(selecting(owner="Provider"), "Consumer")


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        (selecting(), selecting(), True),
        (selecting(), selecting(names=["a"]), True),
        (selecting(names=["a"]), selecting(), False),
        (selecting(names=["a", "b"]), selecting(names=["a"]), True),
        (selecting(), selecting(namespaces=["x"]), True),
        (selecting(), selecting(namespaces=[]), False),
        (selecting(namespaces=[]), selecting(), False),
        (selecting(), selecting(owner="Provider"), True),
        (selecting(owner="Provider"), selecting(), False),
        (selecting(), selecting(labelSelectors=[{"a": "1"}]), True),
        (selecting(labelSelectors=[{"a": "1"}]), selecting(), False),
        (selecting(), selecting(fieldSelectors=["a"]), False),
        (claim(required=True), claim(), True),
        (claim(), claim(autoAdopt=True), False),
        (claim(), claim("configmaps"), False),
    ],
)
def test_covers(wide: PermissionClaim, narrow: PermissionClaim, *, expected: bool) -> None:
    assert claims.covers(wide, narrow) is expected


# --- consent --------------------------------------------------------------------------------------


def accepted(given: PermissionClaim) -> claims.AcceptablePermissionClaim:
    return claims.decided(given, claims.ACCEPTED)


def rejected(given: PermissionClaim) -> claims.AcceptablePermissionClaim:
    return claims.decided(given, claims.REJECTED)


NARROW, WIDE = selecting(names=["a"], owner="Provider"), selecting(owner="Provider")


def test_exactly_accepted_is_in_force() -> None:
    assert decide([WIDE], [accepted(WIDE)]) == (consent.Decision(WIDE, Consent.IN_FORCE, effective=WIDE),)


def test_widened_claim_waits_and_the_accepted_one_goes_on() -> None:
    (decision,) = decide([WIDE], [accepted(NARROW)])

    assert decision.consent is Consent.WAITING
    assert decision.effective == accepted(NARROW)


def test_narrowed_claim_is_in_force_at_once() -> None:
    (decision,) = decide([NARROW], [accepted(WIDE)])

    assert decision == consent.Decision(NARROW, Consent.IN_FORCE, effective=NARROW)


def test_new_claim_waits_with_nothing() -> None:
    assert decide([claim("configmaps")], [accepted(WIDE)]) == (
        consent.Decision(claim("configmaps"), Consent.WAITING),
    )


def test_rejected_claim_stays_out_even_if_a_wider_one_was_accepted() -> None:
    (decision,) = decide([NARROW], [accepted(WIDE), rejected(NARROW)])

    assert decision == consent.Decision(NARROW, Consent.REJECTED)


@pytest.mark.parametrize("order", [1, -1])
def test_yes_and_no_to_the_same_is_no(order: int) -> None:
    both = [accepted(WIDE), rejected(WIDE)][::order]

    assert decide([WIDE], both)[0].consent is Consent.REJECTED


def test_what_is_no_longer_offered_is_not_in_force() -> None:
    assert decide([], [accepted(WIDE)]) == ()


def test_accepted_entry_of_one_claim_does_not_go_on_for_another() -> None:
    other = selecting(names=["b"], owner="Consumer")

    decisions = decide([NARROW, other], [accepted(NARROW)])

    assert [d.consent for d in decisions] == [Consent.IN_FORCE, Consent.WAITING]
    assert decisions[1].effective is None


@pytest.mark.parametrize(
    ("offered", "old", "goes_on"),
    [
        (selecting(owner="Consumer"), selecting(owner="Provider"), False),
        (selecting(owner="Consumer"), selecting(names=["a"], owner="Provider"), False),
        (selecting(names=["b"]), selecting(names=["a"]), False),
        (selecting(namespaces=[]), selecting(names=["a"]), False),
        (claim("configmaps"), WIDE, False),
        (claim(version="v2"), selecting(names=["a"]), False),
        (selecting(), WIDE, True),
        (selecting(names=["a", "b"]), selecting(names=["a"]), True),
        (claim(create={"replaceExisting": True}, selector={"owner": "Provider"}), WIDE, True),
    ],
)
def test_only_what_a_changed_claim_still_takes_goes_on(
    offered: PermissionClaim, old: PermissionClaim, goes_on: bool
) -> None:
    (decision,) = decide([offered], [accepted(old)])

    assert decision.consent is Consent.WAITING
    assert decision.effective == (accepted(old) if goes_on else None)


def test_no_to_more_is_an_answer_and_the_accepted_part_goes_on() -> None:
    (decision,) = decide([WIDE], [rejected(WIDE), accepted(NARROW)])

    assert decision == consent.Decision(WIDE, Consent.REJECTED, effective=accepted(NARROW))


def test_no_to_one_form_is_no_answer_to_the_next() -> None:
    wider = selecting()

    (decision,) = decide([wider], [rejected(WIDE), accepted(NARROW)])

    assert decision == consent.Decision(wider, Consent.WAITING, effective=accepted(NARROW))


def test_no_to_the_opposite_direction_keeps_nothing() -> None:
    up = selecting(owner="Consumer")

    assert decide([up], [rejected(up), accepted(NARROW)]) == (consent.Decision(up, Consent.REJECTED),)


def test_refused_kind_is_not_in_force_even_if_accepted() -> None:
    pods = claim("pods")

    (decision,) = decide([pods], [accepted(pods)])

    assert decision.consent is Consent.REFUSED
    assert decision.effective is None
    assert decision.refusal is not None
    assert "pods" in decision.refusal.message


# --- guards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "resource"), [("", "secrets"), ("", "configmaps")])
def test_claimable(group: str, resource: str) -> None:
    assert guards.refuse_kind(group, resource) is None


@pytest.mark.parametrize(
    ("group", "resource"),
    [
        ("", "pods"),
        ("", "nodes"),
        ("", "serviceaccounts"),
        ("apps", "deployments"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("certificates.k8s.io", "certificatesigningrequests"),
        ("x.kubernetes.io", "things"),
        ("klutch.anynines.com", "apiservicebindings"),
    ],
)
def test_dangerous_kinds_stay_refused_whatever_is_allowed(group: str, resource: str) -> None:
    name = f"{resource}.{group}" if group else resource

    refusal = guards.refuse_kind(group, resource, allowed={name})

    assert refusal is not None
    assert "never" in refusal.message


def test_other_kinds_only_if_allowed() -> None:
    refusal = guards.refuse_kind("example.com", "widgets")
    assert refusal is not None
    assert "allowed are configmaps, secrets" in refusal.message
    assert guards.refuse_kind("example.com", "widgets", allowed={"widgets.example.com"}) is None
    assert guards.refuse_kind("", "services", allowed={"services"}) is None


def test_field_selectors_cannot_be_enforced_and_are_refused() -> None:
    refusal = guards.refuse_claim(selecting(fieldSelectors=["a=b"]))

    assert refusal is not None
    assert "fieldSelectors" in refusal.message
    assert guards.refuse_claim(selecting()) is None


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "klutch-bind", "mine"])
def test_protected_namespaces(namespace: str) -> None:
    refusal = guards.refuse_object(
        {"metadata": {"name": "a"}}, "secrets", consumer_namespace=namespace, own={"mine"}
    )

    assert refusal is not None
    assert namespace in refusal.message


@pytest.mark.parametrize(
    ("namespace", "protected"),
    [
        ("kube-system", True),
        ("kube-public", True),
        ("kube-node-lease", True),
        ("klutch-bind", True),
        ("cluster-abc", True),
        ("kube-bind-abc-default", False),
        ("default", False),
        ("cluster-abc-default", False),
    ],
)
def test_namespaces_that_a_provider_must_not_choose(namespace: str, protected: bool) -> None:
    assert guards.is_protected_service_namespace(namespace, "cluster-abc") is protected


@pytest.mark.parametrize(
    "name",
    ["kube-root-ca.crt", "aws-auth", "cluster-info", "sh.helm.release.v1.db.v1", "bootstrap-token-abcdef"],
)
def test_protected_names(name: str) -> None:
    assert guards.refuse_object({"metadata": {"name": name}}, "configmaps", consumer_namespace="team")


@pytest.mark.parametrize("kind", sorted(guards.DENIED_SECRET_TYPES))
def test_denied_types(kind: str) -> None:
    obj = {"metadata": {"name": "a"}, "type": kind, "data": {"token": "czNjcmV0"}}

    refusal = guards.refuse_object(obj, "secrets", consumer_namespace="team")

    assert refusal is not None
    assert "czNjcmV0" not in refusal.message
    # The positive twins: the type means nothing on another kind, and plain types pass.
    assert guards.refuse_object(obj, "configmaps", consumer_namespace="team") is None
    assert guards.refuse_object({**obj, "type": "Opaque"}, "secrets", consumer_namespace="team") is None


def test_selector_defaults_are_shared_by_nobody() -> None:
    assert msgspec.structs.replace(ClaimSelector(), owner="Provider").names == ("*",)
