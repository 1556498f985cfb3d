"""What a person sees of clusters. Excluded: the rule for health (`heartbeat_plan`), their HTML."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bind_agent.backend import claims, names
from bind_agent.backend.pages import asks, clusters, condition_view, credential_view
from bind_agent.backend.pages.clusters import Cluster
from bind_agent.backend.pages.condition_view import Tone
from bind_agent.backend.tenancy.identity import Identity
from bind_agent.backend.tenancy.rotation import Credential
from tests.fakes import pages_preview as preview
from tests.fakes import pages_world as world

pytestmark = pytest.mark.unit


def cluster(binding: Any, **more: Any) -> Cluster:
    return clusters.cluster(world.tenant("ns", "c1", binding), apis=2, now=world.NOW, **more)


def test_a_healthy_one() -> None:
    found = cluster(world.cluster_binding(), since="2026-11-20T09:30:00Z")
    assert (found.health.tone, found.health.word) == (Tone.GOOD, "healthy")
    assert found.heartbeat is not None
    assert found.heartbeat.words == "40 seconds ago"
    assert (found.interval, found.konnector, found.apis) == ("2 minutes 30 seconds", "v1.5.0", 2)
    assert found.credential.word == "valid"
    assert found.since is not None
    assert found.since.words == "1 day ago"


@pytest.mark.parametrize(
    ("last", "word", "tone"),
    [
        (None, "not connected yet", Tone.WAIT),
        (timedelta(hours=1), "silent", Tone.BAD),
        (-timedelta(hours=1), "clock differs", Tone.WARN),
    ],
)
def test_trouble_with_the_heartbeat(last: timedelta | None, word: str, tone: Tone) -> None:
    found = cluster(world.cluster_binding(last=last))
    assert (found.health.word, found.health.tone) == (word, tone)
    assert found.health.message


@pytest.mark.parametrize(
    ("binding", "word", "tone"),
    [
        (world.cluster_binding(revoked=True), "revoked", Tone.BAD),
        (world.cluster_binding(issued=False), "ExternalAddressMissing", Tone.BAD),
        (None, "being issued", Tone.WAIT),
    ],
)
def test_trouble_with_the_credential(binding: Any, word: str, tone: Tone) -> None:
    found = cluster(binding)
    assert (found.credential.word, found.credential.tone) == (word, tone)


def revoked(by: str) -> Any:
    marks = {names.REVOKED: "2026-11-20T09:30:00Z"} | ({names.REVOKED_BY: by} if by else {})
    return {"metadata": {"annotations": marks}}


@pytest.mark.parametrize(
    ("by", "told", "who", "final"),
    [
        (names.BY_PERSON, "revoked on these pages", "its owner, on the pages", False),
        (names.BY_REAPER, "heard nothing of this cluster for long", "nobody had heard", False),
        (names.BY_OPERATOR, "only they let it in again", "an operator", True),
        ("", "only they let it in again", "an operator", True),
        ("somebody-new", "binding again issues a new one", "the provider", False),
    ],
)
def test_who_revoked_a_cluster_and_who_lets_it_in_again_is_told(
    by: str, told: str, who: str, final: bool
) -> None:
    found = cluster(revoked(by))
    assert found.credential.word == "revoked"
    assert told in found.credential.message
    assert ("binding again issues a new one" in found.credential.message) is not final
    assert found.revocation is not None
    assert who in found.revocation.who
    assert found.revocation.final is final
    assert found.revocation.at is not None
    assert found.revocation.at.words == "1 day ago"


def test_a_revoked_one_is_not_silent_but_shut_out() -> None:
    """Nobody is sent to a konnector that does as it was told."""
    silent = {"lastHeartbeatTime": "2020-01-01T00:00:00Z", "heartbeatInterval": "5m"}
    found = cluster({**revoked(names.BY_OPERATOR), "status": silent})
    assert (found.health.word, found.health.tone) == ("disconnected", Tone.WAIT)
    assert "revoked" in found.health.message
    assert cluster({"metadata": {}, "status": silent}).health.word == "silent"


def test_nobody_revoked_a_sound_one() -> None:
    assert cluster(world.cluster_binding()).revocation is None


NOTHING = credential_view.token(Credential(), namespace="ns", now=world.NOW)
SOUND = credential_view.token(world.credential("ns"), namespace="ns", now=world.NOW)


def page(binding: Any, token: Any, template: str = "cluster.html", apis: Any = ()) -> str:
    return preview.PAGES.render(
        template, preview.SIGNED_IN, cluster=cluster(binding), token=token, apis=apis, conditions=(),
        may_change=True, done="", never="", tab="tenants", namespaces=[], more=0,
    )  # fmt: skip


@pytest.mark.parametrize("by", [names.BY_PERSON, names.BY_REAPER, names.BY_OPERATOR])
def test_what_is_revoked_is_neither_rotated_nor_revoked_again(by: str) -> None:
    html = page(revoked(by), NOTHING)
    assert "/clusters/ns/rotate" not in html
    assert "/clusters/ns/revoke" not in html
    sound = page(world.cluster_binding(), SOUND)
    assert "/clusters/ns/rotate" in sound
    assert "/clusters/ns/revoke" in sound


def test_a_revocation_that_was_broken_off_can_be_finished_by_whoever_may() -> None:
    html = page(revoked(names.BY_PERSON), SOUND)
    assert "/clusters/ns/revoke" in html
    assert "/clusters/ns/rotate" not in html
    assert "/clusters/ns/revoke" not in page(revoked(names.BY_OPERATOR), SOUND)


def test_operators_see_who_revoked_and_how_old_a_credential_is() -> None:
    html = page(revoked(names.BY_REAPER), NOTHING, "admin_tenant.html")
    assert "because nobody had heard of the cluster for long" in html
    assert "1 day ago" in html
    sound = page(world.cluster_binding(), SOUND, "admin_tenant.html")
    assert "Revoked by" not in sound
    assert "2 days 4 hours ago" in sound
    assert "not known at the moment" not in sound


@pytest.mark.parametrize("template", ["cluster.html", "admin_tenant.html"])
def test_what_cannot_be_looked_at_is_not_known(template: str) -> None:
    assert "age and end are not known at the moment" in page(world.cluster_binding(), None, template)
    assert "not known at the moment" not in page(world.cluster_binding(), SOUND, template)
    assert "not known at the moment" not in page(revoked(names.BY_PERSON), NOTHING, template)


def test_what_the_tenant_wrote_is_stripped() -> None:
    binding = world.cluster_binding(version_=world.HOSTILE)
    binding["status"]["conditions"][0]["message"] = world.HOSTILE * 100
    binding["status"]["heartbeatInterval"] = "1 year"
    found = cluster(binding)
    assert not set(found.konnector) & set("\u202e\x1b")
    assert found.interval == ""
    (first, *_) = condition_view.rows(binding, world.NOW)
    assert len(first.badge.message) <= 1000


@pytest.mark.parametrize("status", [None, [], "x", {"conditions": 7, "lastHeartbeatTime": 3}])
def test_nonsense_in_a_status_reads_as_nothing(status: Any) -> None:
    assert cluster({"status": status}).health.word == "not connected yet"


def test_those_in_trouble_come_first() -> None:
    found = [clusters.cluster(one, apis=apis, now=world.NOW) for one, apis in world.tenants()]
    words = [(one.cluster_id, one.health.word, one.credential.word) for one in clusters.worst(found)]
    assert [word[0] for word in words][:2] == ["old-staging", "shop-production"]
    assert words[-1][1:] == ("healthy", "valid")


def test_an_unreadable_identity_is_empty() -> None:
    tenant = replace(world.tenant("ns", "c1", None), who=None)
    found = clusters.cluster(tenant, apis=0, now=world.NOW)
    assert (found.cluster_id, found.subject, found.issuer) == ("", "", "")


def test_the_issuer_is_told() -> None:
    tenant = replace(world.tenant("ns", "c1", None), who=Identity("anna", "c1", "https://issuer.example"))
    assert clusters.cluster(tenant, apis=0, now=world.NOW).issuer == "https://issuer.example"


def test_age_and_end_of_a_credential() -> None:
    found = credential_view.token(world.credential("ns"), namespace="ns", now=world.NOW)
    assert found.issued is not None
    assert found.issued.words == "2 days 4 hours ago"
    assert found.lasts == "4 days"
    assert [one.words for one in found.retiring] == ["in 7 minutes"]


def test_a_credential_of_a_go_backend_has_no_age() -> None:
    found = credential_view.token(Credential(), namespace="ns", now=world.NOW)
    assert (found.issued, found.expires, found.renews, found.lasts) == (None, None, None, "")


def test_an_api_of_a_cluster() -> None:
    good, bad, own, told = (clusters.api(one, provider="ACME", now=world.NOW) for one in world.exports("ns"))
    assert (good.kind, good.ready.tone, good.versions) == ("PostgresInstance", Tone.GOOD, ("v1",))
    assert (bad.ready.word, bad.ready.tone) == ("SchemaUpdateHeld", Tone.WARN)
    assert (good.ends, good.own_end) == (None, False)
    assert own.ends is not None
    assert (own.ends.words, own.own_end, own.note) == ("in 22 hours", True, "")
    assert told.ends is not None
    assert not told.own_end
    assert "version 2" in told.note


def test_an_api_on_its_way_out_is_shown_as_such() -> None:
    export = world.exports("ns")[2]  # with an end that its person announced
    export["metadata"]["deletionTimestamp"] = "2026-11-21T09:29:00Z"
    found = clusters.api(export, provider="ACME", now=world.NOW)
    assert (found.removing, found.ready.word, found.ends, found.own_end) == (
        True,
        "being removed",
        None,
        False,
    )
    sound = clusters.api(world.exports("ns")[0], provider="ACME", now=world.NOW)
    html = page(world.cluster_binding(), SOUND, apis=[found, sound])
    assert "being removed" in html
    assert "/exports/buckets" not in html
    assert "/exports/postgresinstances" in html


def test_the_list_tells_the_age_of_credentials() -> None:
    def card(binding: Any, state: Credential | None) -> str:
        return preview.PAGES.card(cluster(binding, state=state))

    known = card(world.cluster_binding(), world.credential("ns"))
    assert "2 days 4 hours ago" in known
    assert "in 4 days" in known
    assert "age not known at the moment" in card(world.cluster_binding(), None)
    for text in (known, card(revoked(names.BY_PERSON), Credential())):
        assert "not known" not in text


def test_claims_beyond_what_is_shown_are_counted() -> None:
    export = world.export("dbs", "a.example", "Db", *[world.claim("secrets")] * (claims.MOST + 2))
    found = clusters.api(export, provider="ACME", now=world.NOW)
    assert (len(found.claims), found.more_claims) == (claims.MOST, 2)
    few = clusters.api(
        world.export("dbs", "a.example", "Db", world.claim("secrets")), provider="A", now=world.NOW
    )
    assert (len(few.claims), few.more_claims) == (1, 0)


@pytest.mark.parametrize("spec", [None, [], {"names": 3, "versions": "x", "permissionClaims": {"a": 1}}])
def test_a_malformed_export_reads_as_empty(spec: Any) -> None:
    found = clusters.api({"metadata": {"name": "a.b"}, "spec": spec}, provider="A", now=world.NOW)
    assert (found.kind, found.versions, found.claims) == ("a.b", (), ())


def test_conditions_ready_first_each_once_and_bounded() -> None:
    entries = [{"type": f"T{n}", "status": "True"} for n in range(100)]
    entries = [
        {"type": "B", "status": "Unknown"},
        {"type": "Ready", "status": "False"},
        {"type": "B", "status": "True"},
        {"type": 7},
        *entries,
    ]
    found = condition_view.rows({"status": {"conditions": entries}}, world.NOW)
    assert found[0].type == "Ready"
    assert found[0].badge.word == "does not hold"
    assert found[0].badge.tone is Tone.BAD
    assert next(one for one in found if one.type == "B").badge.word == "unknown"
    assert len(found) <= 40


def test_a_condition_that_warns_while_it_holds() -> None:
    entry = {"type": "Retiring", "status": "True", "reason": "RetirementAnnounced", "message": "ends soon"}
    (row,) = condition_view.rows({"status": {"conditions": [entry]}}, world.NOW)
    assert (row.badge.tone, row.badge.word, row.badge.message) == (
        Tone.WARN,
        "RetirementAnnounced",
        "ends soon",
    )
    assert condition_view.rows({"status": {"conditions": [{**entry, "status": "False"}]}}, world.NOW) == ()


def test_questions_name_cluster_and_effects() -> None:
    one = cluster(world.cluster_binding())
    rotate = asks.rotate(one, timedelta(minutes=10))
    assert rotate.action == "/clusters/ns/rotate"
    assert any("10 minutes" in effect for effect in rotate.effects)
    assert not rotate.dangerous
    assert asks.revoke(one).dangerous
    _, _, own, _ = (clusters.api(export, provider="A", now=world.NOW) for export in world.exports("ns"))
    unbind = asks.unbind(one, own)
    assert unbind.choices == (("1h", "in 1 hour"), ("1d", "in 1 day"), ("7d", "in 7 days"))
    assert unbind.proposed in asks.GRACES
    assert not [effect for effect in unbind.effects if " here" in effect], "where is that?"
    assert any("deleted on the provider's side" in effect for effect in unbind.effects)
    assert "in 22 hours" in asks.keep(one, own).message
    assert set(asks.DONE) == {asks.ROTATE, asks.REVOKE, asks.UNBIND, asks.KEEP}
