"""Which APIs a person sees, and what is said about them. Excluded: who may bind (`allowed`), their HTML."""

from typing import Any

import pytest

from bind_agent.backend import claims, exports, templates
from bind_agent.backend.access import Kind
from bind_agent.backend.exports import Policy
from bind_agent.backend.pages import catalogue
from bind_agent.backend.pages.catalogue import Offer
from tests.fakes import pages_preview as preview
from tests.fakes import pages_world as world

pytestmark = pytest.mark.unit

GROUP = "data.northwind.example"
MODEL: Any = {
    "waiting": preview.WAITING, "target": "http://127.0.0.1:1", "action": "/bind", "link": "", "csrf": "csrf-1",
    "never": "", "bind_url": "https://x/export", "versions": (),
}  # fmt: skip


def offers(
    found: Any = None, crds: Any = None, *, scope: str = "Namespaced", allowed: Any = None
) -> list[Offer]:
    if found is None:
        found, crds = world.catalogue()
    return catalogue.offers(
        found,
        crds.get,
        policy=Policy(scope=scope),
        provider="ACME",
        allowed=allowed or (lambda _: True),
    )


def only(template: Any, crd: Any, **more: Any) -> Offer:
    (found,) = offers([template], {crd["metadata"]["name"]: crd}, **more)
    return found


def many_claims(count: int) -> list[Any]:
    return [world.claim("secrets", labelSelectors=[{"app": f"number-{n}"}]) for n in range(count)]


def test_every_claim_that_may_be_offered_is_shown() -> None:
    template = world.template("dbs", GROUP, *many_claims(claims.MOST))
    found = only(template, world.crd("dbs", GROUP, "Db"))
    assert (len(found.claims), found.more_claims, found.trouble) == (claims.MOST, 0, "")
    for page in ("api.html", "confirm_bind.html"):
        html = preview.PAGES.render(page, preview.SIGNED_IN, offer=found, **MODEL)
        assert f"app=number-{claims.MOST - 1}," in html
        assert "more that are not shown" not in html


def test_more_claims_than_a_person_reads_cannot_be_offered() -> None:
    template, crd = world.template("dbs", GROUP, *many_claims(claims.MOST + 3)), world.crd("dbs", GROUP, "Db")
    found = only(template, crd)
    assert f"{claims.MOST + 3} claims are more than" in found.trouble
    for page in ("api.html", "confirm_bind.html"):
        assert "and 3 more that are not shown" in preview.PAGES.render(
            page, preview.SIGNED_IN, offer=found, **MODEL
        )
    problem = exports.draft(Kind(GROUP, "dbs"), crd, templates.choose([template]), Policy())
    assert isinstance(problem, exports.Problem)
    assert (problem.reason, "change its permissionClaims" in problem.message) == ("TemplateInvalid", True)
    sound = world.template("dbs", GROUP, *many_claims(claims.MOST))
    assert not isinstance(
        exports.draft(Kind(GROUP, "dbs"), crd, templates.choose([sound]), Policy()), exports.Problem
    )


def test_sorted_by_name_one_per_crd_and_no_cluster_scoped_ones() -> None:
    assert [one.plural for one in offers()] == [
        "buckets",
        "certificates",
        "messagequeues",
        "postgresinstances",
        "searchindices",
    ]


def test_cluster_scoped_ones_with_consumer_scope_cluster() -> None:
    zone = next(one for one in offers(scope="Cluster") if one.plural == "dnszones")
    assert not zone.namespaced


def test_who_may_not_bind_does_not_see() -> None:
    found = offers(allowed=lambda template: template["metadata"]["name"] == "buckets")
    assert [one.plural for one in found] == ["buckets"]


def test_templates_without_a_crd_and_crds_on_their_way_out_are_left_out() -> None:
    found, crds = world.catalogue()
    del crds["buckets.storage.northwind.example"]
    crds[f"postgresinstances.{GROUP}"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert {"buckets", "postgresinstances"}.isdisjoint(one.plural for one in offers(found, crds))


@pytest.mark.parametrize("group", ["", "apps.k8s.io", "klutch.anynines.com"])
def test_groups_that_nobody_exports_are_left_out(group: str) -> None:
    crd = world.crd("things", group, "Thing")
    assert offers([world.template("things", group)], {crd["metadata"]["name"].rstrip("."): crd}) == []


def test_description_of_the_template_wins_over_that_of_the_crd() -> None:
    crd = world.crd("dbs", "a.example", "Db", world.version("v1", {"description": "of the schema"}))
    assert only(world.template("dbs", "a.example"), crd).description == "of the schema"
    assert (
        only(world.template("dbs", "a.example", text=" of the\ntemplate"), crd).description
        == "of the template"
    )
    marked = world.crd("dbs", "a.example", "Db", **{catalogue.DESCRIPTION: "of the CRD"})
    assert only(world.template("dbs", "a.example"), marked).description == "of the CRD"


def test_hostile_text_is_stripped_and_bounded() -> None:
    crd = world.crd(
        "dbs", "a.example", f"Db{world.HOSTILE}", world.version("v1", {"description": world.HOSTILE * 500})
    )
    found = only(world.template("dbs", "a.example"), crd)
    assert not set(found.description + found.kind) & set("\u202e\u202c\x1b")
    assert len(found.description) <= 2000


def test_claims_are_told_in_words() -> None:
    found = next(one for one in offers() if one.plural == "postgresinstances")
    assert [(claim.kind, claim.direction.value, claim.required) for claim in found.claims] == [
        ("secrets", "down", True),
        ("configmaps", "up", False),
    ]
    assert "ACME" in found.claims[0].way


def test_malformed_claims_are_left_out_and_trouble_is_told() -> None:
    crd = world.crd("dbs", "a.example", "Db")
    broken = only(world.template("dbs", "a.example", {"resource": 7}, world.claim("secrets")), crd)
    assert len(broken.claims) == 1
    assert "malformed" in broken.trouble
    dangerous = only(world.template("dbs", "a.example", world.claim("pods")), crd)
    assert "pods may never be claimed" in dangerous.trouble


def test_ambiguous_offers_say_so() -> None:
    crd = world.crd("dbs", "a.example", "Db")
    several = [world.template("dbs", "a.example", name=name) for name in ("a", "b")]
    (found,) = offers(several, {"dbs.a.example": crd})
    assert "ambiguous" in found.trouble
    # Deleting one settles it, also before it is gone.
    several[0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    (found,) = offers(several, {"dbs.a.example": crd})
    assert found.trouble == ""


def test_versions_that_are_not_served_are_trouble() -> None:
    """The bind would be refused: see `exports.draft`."""
    template = world.template("dbs", "a.example")
    template["spec"]["APIServiceSelector"]["version"] = "v2"
    crd = world.crd("dbs", "a.example", "Db")
    assert "v2" in only(template, crd).trouble
    template["spec"]["APIServiceSelector"]["version"] = "v1"
    assert only(template, crd).trouble == ""
    crd["spec"]["versions"][0]["served"] = False
    assert "not served" in only(template, crd).trouble
    template["spec"]["APIServiceSelector"]["version"] = None
    assert "no version" in only(template, crd).trouble


@pytest.mark.parametrize("version", [None, "v1", "v2"])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("served", [True, False])
@pytest.mark.parametrize("claimed", ["secrets", "pods"])
def test_what_is_shown_as_bindable_can_be_exported(
    version: str | None, several: bool, served: bool, claimed: str
) -> None:
    templates_ = [
        world.template("dbs", "a.example", world.claim(claimed), name=name)
        for name in (["a", "b"] if several else ["a"])
    ]
    for one in templates_:
        one["spec"]["APIServiceSelector"]["version"] = version
    crd = world.crd("dbs", "a.example", "Db")
    crd["spec"]["versions"][0]["served"] = served
    (found,) = offers(templates_, {"dbs.a.example": crd})
    draft = exports.draft(Kind("a.example", "dbs"), crd, templates.choose(templates_), Policy())
    assert bool(found.trouble) is isinstance(draft, exports.Problem), draft


def test_versions_that_are_offered() -> None:
    found, crds = world.catalogue()
    template = found[0]
    choice = templates.choose([template])
    assert choice is not None
    crd = crds[f"postgresinstances.{GROUP}"]
    shown = catalogue.versions(choice, crd)
    assert [(one.name, bool(one.deprecated)) for one in shown] == [("v1", False), ("v1alpha1", True)]
    assert shown[0].whole is not None
    assert shown[0].whole.children[0].name == "spec"
    assert shown[1].whole is None
    assert [one.whole is None for one in catalogue.versions(choice, crd, "v1alpha1")] == [True, False]
    assert catalogue.versions(choice, crd, "v3") == shown
    template["spec"]["APIServiceSelector"]["version"] = "v1alpha1"
    assert [one.name for one in catalogue.versions(choice, crd)] == ["v1alpha1"]
    crd["spec"]["versions"][0]["served"] = False
    crd["spec"]["versions"].append("nonsense")
    template["spec"]["APIServiceSelector"]["version"] = None
    assert [one.name for one in catalogue.versions(choice, crd)] == ["v1alpha1"]


@pytest.mark.parametrize(
    ("search", "plurals"),
    [
        ("", 5),
        ("POSTGRES", 1),
        ("zones rabbitmq", 1),
        ("northwind", 5),
        ("nothing", 0),
        ("<script>", 0),
    ],
)
def test_search(search: str, plurals: int) -> None:
    assert len(catalogue.matching(offers(), search)) == plurals


def test_search_text_is_bounded_and_inert() -> None:
    assert catalogue.search_text("a\u202e\n" + "x" * 500).startswith("a x")
    assert len(catalogue.search_text("x" * 500)) == 100
