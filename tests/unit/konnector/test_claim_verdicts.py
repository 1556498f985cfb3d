"""What a binding says about its claims, what has to be watched for them, and what holds them up."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.consent import Consent, Decision, decide
from bind_agent.api.guards import Refusal
from bind_agent.api.meta import Object
from bind_agent.api.resource import SECRETS
from konnector.controllers.claims import Claims, verdict
from konnector.sync.model import Side
from konnector.sync.watched_claims import EVERYTHING, watched
from tests.fakes.parts import CannedClient, StillInformer, app_cluster, provider

pytestmark = pytest.mark.unit

COPIES = "klutch.anynines.com/copy=abc"


def _claim(owner: str = "Provider", *labels: dict[str, str], resource: str = "secrets") -> PermissionClaim:
    selector = ClaimSelector(owner=owner, label_selectors=labels)
    return PermissionClaim(resource=resource, version="v1", selector=selector)


def _decision(consent: Consent, resource: str = "secrets") -> Decision:
    claim = _claim(resource=resource)
    refusal = Refusal("ClaimRefused", "never") if consent is Consent.REFUSED else None
    return Decision(claim, consent, claim if consent is Consent.IN_FORCE else None, refusal)


@pytest.mark.parametrize(
    ("consents", "status", "reason", "names"),
    [
        ([], "True", "", ""),
        ([Consent.IN_FORCE], "True", "", ""),
        ([Consent.REJECTED], "True", "", ""),
        ([Consent.IN_FORCE, Consent.REJECTED], "True", "", ""),
        ([Consent.WAITING], "False", "ClaimWaitingForConsent", "kind-0: waits for consent"),
        ([Consent.IN_FORCE, Consent.WAITING], "False", "ClaimWaitingForConsent", "kind-1: waits"),
        ([Consent.WAITING, Consent.REFUSED], "False", "ClaimRefused", "kind-1: may not be claimed"),
        ([Consent.WAITING, Consent.WAITING], "False", "ClaimWaitingForConsent", "kind-0, kind-1: "),
    ],
    ids=["none", "in-force", "rejected", "settled", "waiting", "one-waits", "refused-first", "two-wait"],
)
def test_one_verdict_for_all_claims(consents: list[Consent], status: str, reason: str, names: str) -> None:
    decisions = tuple(_decision(consent, f"kind-{n}") for n, consent in enumerate(consents))
    found = verdict(decisions)
    assert (found.type, found.status, found.reason) == ("ClaimsInForce", status, reason)
    assert names in found.message
    if reason == "ClaimWaitingForConsent":
        assert "bind again to answer" in found.message
        beside_the_backend = verdict(decisions, root="klutch-bind-team-app1")
        assert "bind again" not in beside_the_backend.message
        assert "annotation klutch.anynines.com/accept-claims" in beside_the_backend.message
        assert beside_the_backend.reason == reason


@pytest.mark.parametrize(
    ("group", "resource", "root", "words"),
    [
        (
            "cert-manager.io",
            "certificates",
            "",
            "runs the konnector may allow it: with --allow-claim=certificates.",
        ),
        (
            "cert-manager.io",
            "certificates",
            "root",
            "runs the backend may allow it with --allow-claim=certificates.",
        ),
        ("", "pods", "", None),
        ("apps", "deployments", "root", None),
    ],
)
def test_a_kind_that_may_be_allowed_is_told_apart_from_one_that_never_may(
    group: str, resource: str, root: str, words: str | None
) -> None:
    found = PermissionClaim(group=group, resource=resource, version="v1")
    said = verdict(decide([found], []), root=root)
    assert said.reason == "ClaimRefused"
    if words is None:
        assert said.message.endswith("may not be claimed")
    else:
        assert words in said.message


@pytest.mark.parametrize("options", [{}, {"claimable": frozenset({"certificates.cert-manager.io"})}])
async def test_a_claim_on_another_kind_is_in_force_where_the_konnector_allows_it(
    options: dict[str, Any],
) -> None:
    stated: list[Any] = []
    status: Any = SimpleNamespace(state=lambda _, found: stated.append(found), stated=lambda *_: None)
    nothing: Any = None
    claims = Claims(app_cluster(**options), provider(), nothing, status, bindings=list)
    entry = {"group": "cert-manager.io", "resource": "certificates", "version": "v1"}
    claims.update(
        "x",
        "klutch-bind/x",
        {"spec": {"permissionClaims": [entry]}},
        {"metadata": {"name": "x"}, "spec": {"permissionClaims": [{**entry, "state": "Accepted"}]}},
    )
    assert [found.status for found in stated] == ["True" if options else "False"]


@pytest.mark.parametrize(
    ("claims", "consumer", "provider"),
    [
        ([], set(), set()),
        ([_claim("Provider")], {COPIES}, {EVERYTHING}),
        ([_claim("Consumer")], {EVERYTHING}, {COPIES}),
        ([_claim("Provider", {"a": "b"})], {COPIES}, {"a=b"}),
        ([_claim("Consumer", {"a": "b"})], {"a=b"}, {COPIES}),
        ([_claim("", {"a": "b"})], {"a=b", COPIES}, {"a=b", COPIES}),
        ([_claim("Provider", {"a": "b"}), _claim("Provider", {"c": "d"})], {COPIES}, {"a=b", "c=d"}),
        ([_claim("Provider", {"a": "b"}), _claim("Provider")], {COPIES}, {EVERYTHING}),
        ([_claim("Provider"), _claim("Consumer", {"a": "b"})], {"a=b", COPIES}, {EVERYTHING}),
    ],
    ids=[
        "nothing",
        "down",
        "up",
        "down-labelled",
        "up-labelled",
        "both-labelled",
        "two-labels",
        "everything-covers",
        "down-and-up",
    ],
)
def test_what_is_watched(claims: list[PermissionClaim], consumer: set[str], provider: set[str]) -> None:
    found = watched(claims, COPIES)
    assert (found.consumer, found.provider) == (consumer, provider)


# --- the controller ---------------------------------------------------------------------------------


class Status:
    """What was stated, by type."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}

    def state(self, _: Any, *wanted: Any) -> None:
        self.said.update({condition.type: condition for condition in wanted})

    def stated(self, _: str, kind: str) -> Any:
        return self.said.get(kind)


def _claims(found: Any = SECRETS) -> tuple[Claims, Status]:
    client = CannedClient()
    discovery = SimpleNamespace(asked=[])

    async def find(*kind: str) -> Any:
        discovery.asked.append(kind)
        return found

    discovery.find = find
    cast("Any", client).discovery = discovery
    status = Status()
    claims = Claims(
        app_cluster(client),
        provider(),
        cast("Any", None),
        cast("Any", status),
        bindings=list,
    )
    return claims, status


def _offer(*claims: Object) -> Object:
    return {"metadata": {"name": "things.g"}, "spec": {"permissionClaims": list(claims)}}


WIRE = {"resource": "secrets", "version": "v1", "selector": {"owner": "Provider"}}


async def test_claims_that_nobody_can_read_are_told() -> None:
    claims, status = _claims()
    claims.update("things.g", "ns/things.g", _offer({"resource": 7}), {"metadata": {"name": "things.g"}})
    said = status.said["ClaimsInForce"]
    assert (said.status, said.reason) == ("False", "ClaimRefused")
    assert "malformed claim" in said.message


async def test_claims_that_ended_are_no_reason_any_more() -> None:
    claims, status = _claims()
    binding: Object = {"metadata": {"name": "things.g"}}
    claims.update("things.g", "ns/things.g", _offer(), binding)
    assert status.said == {}
    claims.update("things.g", "ns/things.g", _offer(WIRE), binding)
    assert status.said["ClaimsInForce"].reason == "ClaimWaitingForConsent"
    claims.update("things.g", "ns/things.g", _offer(), binding)
    assert status.said["ClaimsInForce"].status == "True"


async def test_a_claimed_kind_that_is_not_served_here_holds_its_binding_up() -> None:
    claims, _ = _claims(found=None)
    binding: Object = {
        "metadata": {"name": "things.g"},
        "spec": {"permissionClaims": [{**WIRE, "version": "v9", "state": "Accepted"}]},
    }
    claims.update("things.g", "ns/things.g", _offer({**WIRE, "version": "v9"}), binding)
    result = await claims._reconcile("all")
    assert result is not None
    assert result.after == 10.0
    (trouble,) = claims.hindrances("things.g")
    assert trouble.reason == "CRDNotFound"
    assert "secrets/v9 is not served on the app cluster" in trouble.message
    assert list(claims.hindrances("others.g")) == []
    assert list(claims.followed("things.g")) == []


async def test_what_a_claim_sync_suffers_is_told_for_the_bindings_that_asked() -> None:
    claims, _ = _claims()
    binding: Object = {
        "metadata": {"name": "things.g"},
        "spec": {"permissionClaims": [{**WIRE, "state": "Accepted"}]},
    }
    claims.update("things.g", "ns/things.g", _offer(WIRE), binding)
    informer = StillInformer(SECRETS)
    looked: list[str] = []
    sync = SimpleNamespace(
        reports=SimpleNamespace(hindrance=("PermissionDenied", "no right"), refused={"ns/a": "x"}),
        followed=lambda: iter([(Side.CONSUMER, informer)]),
        controller=SimpleNamespace(enqueue=looked.append),
    )
    claims._running[("", "v1", "secrets")] = (cast("Any", sync), cast("Any", None))
    (trouble,) = claims.hindrances("things.g")
    assert (trouble.reason, trouble.message) == ("PermissionDenied", "no right")
    (followed,) = claims.followed("things.g")
    assert followed.side is Side.CONSUMER
    assert cast("Any", followed.informer) is informer
    claims.recheck()
    assert looked == ["ns/a"]
    sync.reports.hindrance = None
    assert list(claims.hindrances("things.g")) == []


async def test_no_to_a_wider_claim_is_settled_while_the_narrower_one_goes_on() -> None:
    claims, status = _claims()
    narrow = {**WIRE, "selector": {"owner": "Provider", "names": ["a"]}}
    entries = [{**WIRE, "state": "Rejected"}, {**narrow, "state": "Accepted"}]
    binding: Object = {"metadata": {"name": "things.g"}, "spec": {"permissionClaims": entries}}
    claims.update("things.g", "ns/things.g", _offer(WIRE), binding)
    assert status.said["ClaimsInForce"].status == "True"
    assert [d.effective and d.effective.selector.names for d in claims._asked["things.g"].decisions] == [
        ("a",)
    ]
    binding["spec"]["permissionClaims"] = entries[1:]
    claims.update("things.g", "ns/things.g", _offer(WIRE), binding)
    assert status.said["ClaimsInForce"].reason == "ClaimWaitingForConsent"
