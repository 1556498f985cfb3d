"""Properties of the pure rules: naming, conditions, durations, claims, selectors, translation, text."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bind_agent.api import base62, claims, conditions, encoding, goduration, naming, selectors, translation
from bind_agent.api.claims import AcceptablePermissionClaim, ClaimSelector, PermissionClaim
from bind_agent.api.conditions import Condition
from bind_agent.api.consent import Consent, decide
from bind_agent.api.decoding import decode_part, problems
from bind_agent.api.shared import to_wire
from bind_agent.api.text import printable

pytestmark = pytest.mark.property

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# Few letters and short names, so that collisions of joined names really happen.
short_labels = st.from_regex(r"[ab]([ab-]{0,4}[ab])?", fullmatch=True)
labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
pairs = st.tuples(st.one_of(short_labels, labels), st.one_of(short_labels, labels))


@given(st.lists(pairs, unique=True, max_size=12))
def test_service_namespaces_of_different_pairs_differ(wanted: list[tuple[str, str]]) -> None:
    """Threats A30: whatever the order, no two pairs share a namespace, and each finds its own again."""
    records: dict[str, str] = {}
    chosen = {}
    for pair in wanted:
        name = naming.choose_service_namespace(*pair, records.get)
        assert name is not None
        assert naming.is_label(name)
        records[name] = naming.service_namespace_record(*pair)
        chosen[pair] = name

    assert len(set(chosen.values())) == len(chosen)
    for pair, name in chosen.items():
        assert naming.choose_service_namespace(*pair, records.get) == name


@given(pairs, pairs)
def test_alternatives_are_injective(one: tuple[str, str], other: tuple[str, str]) -> None:
    names = naming.service_namespace_alternative(*one), naming.service_namespace_alternative(*other)

    assert (names[0] == names[1]) is (one == other)
    assert all(naming.is_label(name) for name in names)


@given(st.text(max_size=80), st.text(max_size=80))
def test_export_request_names_are_labels(binding: str, template: str) -> None:
    assert naming.is_label(naming.export_request(binding, template))


@given(st.text(max_size=300))
def test_label_values_fit(text: str) -> None:
    assert naming.is_label_value(naming.label_value(text))


@given(labels, st.integers(20, 253))
def test_shortened_fits(name: str, limit: int) -> None:
    assert len(naming.shortened(name * 5, limit)) <= limit
    assert naming.is_subdomain(naming.shortened(name * 5, limit))


@given(st.integers(-(2**63), 2**63 - 1))
def test_durations_come_back(nanoseconds: int) -> None:
    text = goduration.format_nanoseconds(nanoseconds)

    assert goduration.parse_nanoseconds(text) == nanoseconds


@given(st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)))
def test_timedeltas_come_back(duration: timedelta) -> None:
    assert goduration.parse(goduration.format(duration)) == duration


@given(st.text(alphabet="0123456789.hmsnu\u00b5-+ x", max_size=20))
def test_durations_never_fail_otherwise(text: str) -> None:
    try:
        nanoseconds = goduration.parse_nanoseconds(text)
    except goduration.DurationError:
        return
    assert goduration.parse_nanoseconds(goduration.format_nanoseconds(nanoseconds)) == nanoseconds


@given(st.binary(max_size=40))
def test_base62_is_the_number(data: bytes) -> None:
    number = 0
    for digit in base62.encode(data):
        number = number * 62 + base62.DIGITS.index(digit)

    assert number == int.from_bytes(data, "big")


@given(st.binary(max_size=100), st.booleans(), st.booleans())
def test_base64_of_any_form_comes_back(data: bytes, urlsafe: bool, padded: bool) -> None:
    text = encoding.to_base64_urlsafe(data) if urlsafe else encoding.to_base64(data)

    assert encoding.from_base64(text if padded else text.rstrip("=")) == data


@given(st.text(max_size=200))
def test_base64_never_fails_otherwise(text: str) -> None:
    with contextlib.suppress(encoding.EncodingError):
        encoding.from_base64(text)


@given(st.text(), st.integers(2, 50))
def test_printable_is_one_short_clean_line(text: str, limit: int) -> None:
    shown = printable(text, limit)

    assert len(shown) <= limit
    assert shown.isprintable()
    if len(shown) < limit:
        assert printable(shown, limit) == shown


# --- conditions -----------------------------------------------------------------------------------

types = st.sampled_from(["Ready", "A", "B", "SecretValid", "z"])
condition = st.builds(
    Condition,
    type=types,
    status=st.sampled_from(["True", "False", "Unknown"]),
    severity=st.sampled_from(["", "Error", "Warning", "Info"]),
    reason=st.sampled_from(["", "R1", "R2"]),
    message=st.sampled_from(["", "m"]),
)
condition_lists = st.lists(condition, max_size=6)


@given(condition_lists, condition)
def test_setting_twice_changes_nothing(given_conditions: list[Condition], one: Condition) -> None:
    first = conditions.set_condition(given_conditions, one, NOW)

    assert conditions.set_condition(first, one, NOW + timedelta(hours=1)) == first


@given(condition_lists)
def test_summary_is_a_fixpoint(given_conditions: list[Condition]) -> None:
    first = conditions.set_summary(given_conditions, NOW)

    assert conditions.set_summary(first, NOW + timedelta(hours=1)) == first


@given(st.lists(condition, unique_by=lambda c: c.type, max_size=6).flatmap(st.permutations))
def test_order_of_setting_does_not_matter(in_some_order: list[Condition]) -> None:
    expected: list[Any] = []
    for one in sorted(in_some_order, key=lambda c: c.type):
        expected = conditions.set_condition(expected, one, NOW)
    result: list[Any] = []
    for one in in_some_order:
        result = conditions.set_condition(result, one, NOW)

    assert result == expected
    assert conditions.set_summary(result, NOW) == conditions.set_summary(expected, NOW)


@given(
    st.lists(st.dictionaries(st.sampled_from(["type", "status", "severity", "junk"]), st.none() | st.text()))
)
def test_conditions_of_anybody_never_fail(found: list[dict[str, Any]]) -> None:
    kept = conditions.of({"status": {"conditions": found}})

    result = conditions.set_all(kept, [conditions.true("A")], NOW)

    assert conditions.is_true(result, "A")
    assert conditions.get(result, "Ready") is not None


# --- claims ---------------------------------------------------------------------------------------

words = st.lists(st.sampled_from(["*", "a", "b", "c"]), max_size=4).map(tuple)
label_maps = st.lists(
    st.dictionaries(st.sampled_from("kl"), st.sampled_from("12"), max_size=2), max_size=3
).map(tuple)
claim_selectors = st.builds(
    ClaimSelector,
    names=words,
    namespaces=words,
    label_selectors=label_maps,
    owner=st.sampled_from(["", "Provider", "Consumer"]),
)
any_claim = st.builds(
    PermissionClaim,
    resource=st.sampled_from(["secrets", "configmaps"]),
    version=st.just("v1"),
    selector=claim_selectors,
    required=st.booleans(),
)
objects = st.tuples(
    st.sampled_from(["", "a", "b", "z"]),
    st.sampled_from(["a", "b", "z"]),
    st.dictionaries(st.sampled_from("klm"), st.sampled_from("12")),
)


@given(any_claim, st.randoms())
def test_hash_does_not_depend_on_order(claim: PermissionClaim, random: Any) -> None:
    selector = claim.selector
    shuffled = msgspec.structs.replace(
        claim,
        selector=msgspec.structs.replace(
            selector,
            names=tuple(random.sample(selector.names, len(selector.names))),
            namespaces=tuple(random.sample(selector.namespaces, len(selector.namespaces))),
            label_selectors=tuple(random.sample(selector.label_selectors, len(selector.label_selectors))),
        ),
    )

    assert claims.content_hash(shuffled) == claims.content_hash(claim)


@given(any_claim, objects)
def test_normal_form_selects_the_same(claim: PermissionClaim, obj: tuple[str, str, dict[str, str]]) -> None:
    assert claims.selects(claims.normalised(claim), *obj) is claims.selects(claim, *obj)


@given(any_claim)
def test_normal_form_is_a_fixpoint(claim: PermissionClaim) -> None:
    once = claims.normalised(claim)

    assert claims.normalised(once) == once


@given(any_claim, any_claim, objects)
def test_same_hash_selects_the_same(
    one: PermissionClaim, other: PermissionClaim, obj: tuple[str, str, dict[str, str]]
) -> None:
    if claims.content_hash(one) == claims.content_hash(other):
        assert claims.selects(one, *obj) is claims.selects(other, *obj)


@given(any_claim, any_claim, objects)
def test_covering_claim_selects_all_of_the_covered(
    wide: PermissionClaim, narrow: PermissionClaim, obj: tuple[str, str, dict[str, str]]
) -> None:
    if claims.covers(wide, narrow) and claims.selects(narrow, *obj):
        assert claims.selects(wide, *obj)


@given(any_claim)
def test_claims_come_back_from_the_wire(claim: PermissionClaim) -> None:
    assert decode_part(PermissionClaim, to_wire(claim)) == claim


@given(any_claim)
def test_descriptions_are_clean(claim: PermissionClaim) -> None:
    assert claims.describe(claim).isprintable()
    everything = claims.breadth(claim) is claims.Breadth.EVERYTHING
    assert claims.describe(claim).startswith("all ") is everything


@given(
    st.lists(any_claim, max_size=3),
    st.lists(st.tuples(any_claim, st.sampled_from(["Accepted", "Rejected"])), max_size=4),
    objects,
)
def test_nothing_crosses_that_was_not_accepted(
    offered: list[PermissionClaim],
    answers: list[tuple[PermissionClaim, str]],
    obj: tuple[str, str, dict[str, str]],
) -> None:
    """Invariant 2 of the threats: what is in effect selects only what some accepted claim selects."""
    decided: list[AcceptablePermissionClaim] = [claims.decided(claim, state) for claim, state in answers]

    for decision in decide(offered, decided):
        if decision.effective is None:
            assert decision.consent is not Consent.IN_FORCE
            continue
        if claims.selects(decision.effective, *obj):
            assert any(
                entry.accepted
                and entry.resource == decision.offered.resource
                and claims.selects(entry, *obj)
                and (not entry.selector.owner or entry.selector.owner == decision.effective.selector.owner)
                for entry in decided
            )


@given(label_maps, st.dictionaries(st.sampled_from("klm"), st.sampled_from("12")))
def test_server_side_query_is_the_whole_selection(
    maps: tuple[dict[str, str], ...], own: dict[str, str]
) -> None:
    query = selectors.server_side(maps)
    if query:
        wanted = dict(term.split("=") for term in query.split(","))
        assert selectors.matches(maps, own) is all(own.get(k) == v for k, v in wanted.items())


# --- translation ----------------------------------------------------------------------------------

plain_objects = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": labels},
            optional={
                "annotations": st.dictionaries(st.sampled_from("ab"), st.text(max_size=3), min_size=1),
                "ownerReferences": st.lists(
                    st.fixed_dictionaries({"kind": st.just("ConfigMap"), "uid": st.text(max_size=3)}),
                    min_size=1,
                ),
            },
        )
    },
    optional={"spec": st.dictionaries(st.text(max_size=3), st.integers())},
)


@given(plain_objects, labels, st.text(min_size=1, max_size=5))
def test_up_and_down_again(obj: dict[str, Any], cns: str, uid: str) -> None:
    up = translation.to_provider(obj, cns, uid)

    assert translation.to_consumer(up) == obj
    assert translation.down_name(up["metadata"]["name"], cns) == obj["metadata"]["name"]
    assert (
        translation.to_provider(
            up | {"metadata": {**up["metadata"], "name": obj["metadata"]["name"]}}, cns, uid
        )
        == up
    )


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
wire_words = st.sampled_from(
    [
        "kind",
        "apiVersion",
        "metadata",
        "spec",
        "status",
        "permissionClaims",
        "selector",
        "group",
        "resource",
        "versions",
    ]
)
hostile: Any = st.recursive(
    json_values,
    lambda inner: st.dictionaries(wire_words, inner, max_size=5) | st.lists(inner, max_size=2),
    max_leaves=15,
)


@given(
    st.dictionaries(wire_words, hostile),
    st.sampled_from(["APIServiceExport", "APIServiceBinding", "ClusterBinding"]),
)
def test_objects_of_anybody_are_refused_in_order(obj: dict[str, Any], kind: str) -> None:
    """Whatever arrives: a list of problems, never another exception."""
    for problem in problems({**obj, "kind": kind}):
        assert problem.message
