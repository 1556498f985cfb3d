"""What a person reads about a claim, and what becomes of the answer. Excluded: rules of `bind_agent.api`."""

import io
from typing import Any

import pytest

from bind_agent.api.claims import ACCEPTED, REJECTED, AcceptablePermissionClaim, PermissionClaim, decided
from cli.binding.claims import (
    Answer,
    ClaimError,
    Decision,
    Question,
    claimed_kinds,
    describe,
    entries,
    parse_claim,
    parse_entries,
    refusals,
    same_entries,
    sort_out,
    wire,
)
from cli.binding.consent import Asker, Policy, check_offered, check_required, decide, open_questions
from cli.errors import CliError, ExitCode, UsageError
from cli.output import Progress

pytestmark = pytest.mark.unit
API = "dbs.example.com"


def claim(resource: str = "secrets", **fields: Any) -> PermissionClaim:
    return parse_claim({"resource": resource, "version": "v1", **fields}, "claim")


def told(one: PermissionClaim) -> str:
    return "\n".join(describe(one, api=API, provider="ACME"))


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ({"owner": "Provider"}, ["copied DOWN, from ACME", "EVERY object of secrets in every namespace"]),
        ({"owner": "Consumer"}, ["copied UP", "THEIR CONTENT LEAVES THIS CLUSTER", "EVERY object"]),
        ({}, ["BOTH WAYS", "LEAVES THIS CLUSTER", "EVERY object"]),
        ({"names": []}, ["EVERY object"]),
        ({"names": ["a", "*"]}, ["EVERY object"]),
        ({"labelSelectors": [{}]}, ["EVERY object"]),
        ({"labelSelectors": [{"a": "b"}, {}]}, ["EVERY object"]),
        ({"names": ["a", "b"]}, ["only those called a or b, in every namespace that holds objects of dbs"]),
        ({"labelSelectors": [{"a": "1", "b": "2"}]}, ["only those labelled a=1 and b=2"]),
        ({"labelSelectors": [{"a": "1"}, {"b": "2"}]}, ["labelled (a=1) or (b=2)"]),
        ({"names": ["a"], "labelSelectors": [{"b": "2"}]}, ["only those called a and labelled b=2"]),
        ({"namespaces": ["x", "y"]}, ["EVERY object", "in the namespaces x, y, where they hold"]),
        ({"namespaces": []}, ["outside of namespaces"]),
        ({"names": ["\x1b[2J"]}, ["\\x1b[2J"]),
    ],
)
def test_reach_and_direction_are_told_truly(selector: dict[str, Any], words: list[str]) -> None:
    text = told(claim(selector=selector))
    for word in words:
        assert word in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("fields", "word", "there"),
    [
        ({"required": True}, "REQUIRED", True),
        ({}, "Optional", True),
        ({"create": {"replaceExisting": True}}, "does not do that", True),
        ({"create": {"replaceExisting": False}}, "does not do that", False),
        ({"create": {"replaceExisting": True}, "selector": {"owner": "Consumer"}}, "does not do that", False),
        ({"autoAdopt": True, "update": {"alwaysRecreate": True}}, "carries update, autoAdopt", True),
        ({"onConflict": {"recreateWhenConsumerSideDeleted": False}}, "recreateWhenConsumerSideDeleted", True),
        ({"read": {"labels": [{"pattern": "*"}]}}, "carries read", True),
    ],
)
def test_the_rest_of_the_claim_is_told(fields: dict[str, Any], word: str, there: bool) -> None:
    assert (word in told(claim(**fields))) is there


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("text", "object"),
        ({"version": "v1"}, "resource"),
        ({"resource": "secrets"}, "version"),
        ({"resource": "secrets", "version": 1}, "version"),
        ({"resource": "secrets", "version": ""}, "version"),
        ({"resource": "Secrets", "version": "v1"}, "resource"),
        ({"resource": "secrets", "version": "v1", "group": "a..b"}, "group"),
        ({"resource": "secrets", "version": "v1", "selector": []}, "selector"),
        ({"resource": "secrets", "version": "v1", "selector": {"owner": "Nobody"}}, "owner"),
        ({"resource": "secrets", "version": "v1", "autoAdopt": True, "autoDonate": True}, "autoDonate"),
    ],
)
def test_malformed_claims_are_named(raw: Any, field: str) -> None:
    with pytest.raises(ClaimError, match=field):
        parse_claim(raw, "claims[0]")


def test_sound_claims_pass_with_nulls_of_go() -> None:
    parsed = parse_claim({"group": None, "resource": "secrets", "version": "v1", "selector": None}, "")
    assert parsed.group_resource == "secrets"


@pytest.mark.parametrize(
    ("one", "fatal", "rejected"),
    [
        (claim(), 0, 0),
        (claim("configmaps"), 0, 0),
        (claim("clusterroles", group="rbac.authorization.k8s.io"), 1, 0),
        (claim("pods"), 1, 0),
        (claim("deployments", group="apps"), 1, 0),
        (claim("apiservicebindings", group="klutch.anynines.com"), 1, 0),
        (claim("things", group="example.com"), 0, 1),
        (claim("things", group="example.com", required=True), 1, 0),
        (claim(selector={"fieldSelectors": ["type=Opaque"]}), 0, 1),
    ],
    ids=lambda value: value.group_resource if isinstance(value, PermissionClaim) else str(value),
)
def test_what_nobody_is_asked_about(one: PermissionClaim, fatal: int, rejected: int) -> None:
    sentences, left_out = refusals([one])
    assert (len(sentences), len(left_out)) == (fatal, rejected)
    if fatal:
        with pytest.raises(CliError, match="may not be granted"):
            check_offered([one], api=API, progress=Progress(io.StringIO()))
    else:
        stream = io.StringIO()
        check_offered([one], api=API, progress=Progress(stream))
        assert ("left out" in stream.getvalue()) is bool(rejected)


THINGS = "things.example.com"


@pytest.mark.parametrize("required", [True, False])
def test_a_kind_that_is_allowed_is_asked_about_like_others(required: bool) -> None:
    one = claim("things", group="example.com", required=required)
    assert refusals([one], {THINGS}) == ([], [])
    stream = io.StringIO()
    check_offered([one], api=API, progress=Progress(stream), allowed={THINGS})
    assert stream.getvalue() == ""
    assert [question.claim for question in sort_out([one], (), {THINGS})[1]] == [one]


def test_a_kind_that_nobody_allowed_is_refused_with_the_flag_that_allows_it() -> None:
    stream = io.StringIO()
    check_offered([claim("things", group="example.com")], api=API, progress=Progress(stream))
    assert f"--allow-claim={THINGS} allows it" in stream.getvalue()
    with pytest.raises(CliError, match=f"--allow-claim={THINGS} allows it"):
        check_offered(
            [claim("things", group="example.com", required=True)], api=API, progress=Progress(stream)
        )


def test_no_flag_is_named_for_power_over_a_cluster_and_none_allows_it() -> None:
    assert "--allow-claim" not in refusals([claim("pods")])[0][0]
    assert len(refusals([claim("pods")], {"pods"})[0]) == 1


NARROW = claim(selector={"owner": "Provider", "labelSelectors": [{"a": "b"}]})
WIDE = claim(selector={"owner": "Provider"})
MAPS = claim("configmaps")


@pytest.mark.parametrize(
    ("offered", "earlier", "standing", "asked"),
    [
        ([WIDE], [], [], [(WIDE, None)]),
        ([WIDE], [decided(WIDE, ACCEPTED)], [True], []),
        ([WIDE], [decided(WIDE, REJECTED)], [False], []),
        ([NARROW], [decided(WIDE, ACCEPTED)], [True], []),
        ([WIDE], [decided(NARROW, ACCEPTED)], [], [(WIDE, NARROW)]),
        ([WIDE, MAPS], [decided(WIDE, ACCEPTED)], [True], [(MAPS, None)]),
        ([claim("things", group="example.com")], [], [False], []),
    ],
)
def test_only_what_is_new_or_wider_is_asked(
    offered: list[PermissionClaim],
    earlier: list[AcceptablePermissionClaim],
    standing: list[bool],
    asked: list[tuple[PermissionClaim, PermissionClaim | None]],
) -> None:
    decisions, questions = sort_out(offered, earlier)
    assert [decision.accepted for decision in decisions] == standing
    assert [question.claim for question in questions] == [one for one, _ in asked]
    assert [question.kept is None for question in questions] == [kept is None for _, kept in asked]


def test_entries_follow_the_decisions_in_order() -> None:
    result = entries([WIDE, MAPS], [Decision(MAPS, True, Answer.ASKED), Decision(WIDE, False, Answer.ASKED)])
    assert [(entry.resource, entry.state) for entry in result] == [
        ("secrets", "Rejected"),
        ("configmaps", "Accepted"),
    ]


def test_no_to_a_wider_claim_is_recorded_and_keeps_the_narrower_one() -> None:
    result = entries([WIDE], [Decision(WIDE, False, Answer.ASKED, kept=NARROW)])
    assert result == [decided(WIDE, REJECTED), decided(NARROW, ACCEPTED)]
    # So it is not asked again, and saying the same again changes nothing.
    decisions, questions = sort_out([WIDE], result)
    assert questions == []
    assert entries([WIDE], decisions) == result
    accepted = entries([WIDE], [Decision(WIDE, True, Answer.ASKED, kept=NARROW)])
    assert accepted == [decided(WIDE, ACCEPTED)]


def test_no_to_more_that_is_required_is_no_answer() -> None:
    """The API does not work as the provider means it, so the question stays open."""
    required = claim(selector={"owner": "Provider"}, required=True)
    result = entries([required], [Decision(required, False, Answer.ASKED, kept=NARROW)])
    assert result == [decided(NARROW, ACCEPTED)]
    assert [question.kept for question in sort_out([required], result)[1]] == result


def test_a_claim_the_other_way_is_a_new_question() -> None:
    up = claim(selector={"owner": "Consumer"})
    decisions, [question] = sort_out([up], [decided(WIDE, ACCEPTED)])
    assert (decisions, question) == ([], Question(up))
    assert entries([up], [Decision(up, False, Answer.ASKED)]) == [decided(up, REJECTED)]


def test_a_claim_offered_twice_gives_one_entry() -> None:
    assert len(entries([WIDE, WIDE], [Decision(WIDE, True, Answer.ASKED)])) == 1


def test_entries_survive_the_wire_and_servers_defaults() -> None:
    mine = [decided(NARROW, ACCEPTED), decided(MAPS, REJECTED)]
    stored = wire(mine)
    stored[1]["selector"] = {"names": ["*"], "namespaces": ["*"]}
    stored[1]["onConflict"] = {"recreateWhenConsumerSideDeleted": True}
    read = parse_entries([*stored, {"resource": "broken"}, "text"])
    assert same_entries(read, mine)
    assert not same_entries(read, mine[:1])
    assert parse_entries(None) == []


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("all", {"secrets", "configmaps", "things.example.com"}),
        ("none", set()),
        ("secrets", {"secrets"}),
        ("secrets, things.example.com", {"secrets", "things.example.com"}),
    ],
)
def test_policy(text: str, accepted: set[str]) -> None:
    policy = Policy.parse(text)
    offered = [claim(), MAPS, claim("things", group="example.com")]
    assert {one.group_resource for one in offered if policy.accepts(one)} == accepted


@pytest.mark.parametrize("text", ["", "secrets,", "all,secrets", "none,all"])
def test_policies_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not understood"):
        Policy.parse(text)


def ask(
    questions: list[Question], answers: str, policy: Policy | None = None
) -> tuple[list[Decision], str, str]:
    prompts, stream = io.StringIO(), io.StringIO()
    decisions = decide(
        questions,
        api=API,
        provider="ACME",
        policy=policy,
        asker=Asker(io.StringIO(answers), prompts.write),
        progress=Progress(stream),
    )
    return decisions, prompts.getvalue(), stream.getvalue()


def test_each_question_gets_its_answer() -> None:
    decisions, prompts, _ = ask([Question(WIDE), Question(MAPS)], "maybe\nY\n no \n")
    assert [decision.accepted for decision in decisions] == [True, False]
    assert prompts.count("Please answer y or n.") == 1
    assert "(2 of 2)" in prompts
    assert "Allow EVERYTHING described?" in prompts
    assert "Never copied" in prompts


def test_a_wider_claim_says_that_the_old_one_stays() -> None:
    [decision], prompts, _ = ask([Question(WIDE, kept=NARROW)], "n\n")
    assert decision.kept is NARROW
    assert "narrower form" in prompts


def test_a_claim_that_only_handles_objects_differently_is_not_called_wider() -> None:
    other = claim(selector={"owner": "Provider"}, create={"replaceExisting": True})
    _, prompts, _ = ask([Question(other, kept=WIDE)], "n\n")
    assert "You accepted another form of this claim before; that stays if you say no now." in prompts
    assert "narrower" not in prompts


def test_end_of_input_is_no_answer() -> None:
    with pytest.raises(CliError, match="no answer") as caught:
        ask([Question(WIDE)], "")
    assert caught.value.code == ExitCode.REFUSED


def test_the_policy_answers_and_tells_the_same_words() -> None:
    decisions, prompts, told_ = ask([Question(WIDE), Question(MAPS)], "", Policy.parse("secrets"))
    assert [decision.accepted for decision in decisions] == [True, False]
    assert prompts == ""
    assert "accepted by --accept-claims: secrets: copied DOWN" in told_
    assert "rejected by --accept-claims: configmaps" in told_


def test_the_policy_states_the_whole_outcome() -> None:
    earlier = [decided(WIDE, ACCEPTED)]
    decisions, questions = open_questions(Policy.parse("none"), [WIDE], earlier)
    assert (decisions, [question.claim for question in questions]) == ([], [WIDE])
    decisions, questions = open_questions(None, [WIDE], earlier)
    assert (len(decisions), questions) == (1, [])


def test_required_claims() -> None:
    required = claim(required=True)
    check_required([Decision(required, True, Answer.ASKED), Decision(MAPS, False, Answer.ASKED)], api=API)
    check_required([Decision(required, False, Answer.ASKED, kept=NARROW)], api=API)
    with pytest.raises(CliError, match="requires: secrets") as caught:
        check_required([Decision(required, False, Answer.FLAG)], api=API)
    assert caught.value.code == ExitCode.REFUSED


def test_the_kinds_of_a_binding() -> None:
    claims = wire([decided(WIDE, ACCEPTED), decided(NARROW, ACCEPTED), decided(MAPS, REJECTED)])
    assert claimed_kinds({"spec": {"permissionClaims": claims}}) == ["configmaps", "secrets"]
    assert claimed_kinds({}) == claimed_kinds({"spec": {}}) == []
