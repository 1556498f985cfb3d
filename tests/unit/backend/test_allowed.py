"""Who may bind what, and what is noted of a login: the pure rules."""

from typing import Any

import pytest

from bind_agent.backend import allowed, names
from bind_agent.backend.access import Kind
from bind_agent.backend.allowed import Requester, may_bind, may_request
from bind_agent.backend.person import Person
from bind_agent.backend.tenancy import record
from bind_agent.backend.tenancy.identity import Identity

pytestmark = pytest.mark.unit

ANNA = Person(
    "https://login.example.org",
    "0042",
    email="Anna@Example.org",
    email_verified=True,
    groups=("dba", "ops"),
)
UNVERIFIED = Person("https://login.example.org", "0043", email="anna@example.org")
KIND = Kind("example.org", "databases")


def template(rule: Any = ...) -> dict[str, Any]:
    return {"spec": {} if rule is ... else {"allowed": rule}}


@pytest.mark.parametrize(
    ("rule", "anna", "unverified"),
    [
        (..., True, True),
        (None, True, True),
        ({}, False, False),
        ({"users": [], "groups": []}, False, False),
        ({"users": ["0042"]}, True, False),
        ({"users": ["0043"]}, False, True),
        ({"users": ["00420"]}, False, False),
        ({"users": ["anna@example.org"]}, True, False),
        ({"users": ["ANNA@EXAMPLE.ORG"]}, True, False),
        ({"users": ["an\u212aa@example.org"]}, False, False),
        ({"groups": ["dba"]}, True, False),
        ({"groups": ["DBA"]}, False, False),
        ({"groups": ["other", "ops"], "users": []}, True, False),
        ({"users": ["nobody"], "groups": ["ops"]}, True, False),
        # A group is no user, and a user is no group.
        ({"users": ["dba"]}, False, False),
        ({"groups": ["0042"]}, False, False),
        # What cannot be read allows nobody.
        ("everybody", False, False),
        ({"users": "0042"}, False, False),
        ({"users": [42, None, "0042"]}, True, False),
    ],
)
def test_rules(rule: Any, anna: bool, unverified: bool) -> None:
    assert may_bind(template(rule), ANNA) is anna
    assert may_bind(template(rule), UNVERIFIED) is unverified


def test_letters_of_other_scripts_do_not_become_equal() -> None:
    kelvin = Person("https://i", "1", email="mar\u212a@example.org", email_verified=True)
    assert not may_bind(template({"users": ["mark@example.org"]}), kelvin)
    assert may_bind(template({"users": ["mar\u212a@EXAMPLE.org"]}), kelvin)


@pytest.mark.parametrize(
    ("requester", "open_", "restricted"),
    [
        (Requester(ANNA), True, True),
        (Requester(UNVERIFIED), True, False),
        (Requester(), True, False),
        (Requester(kinds=frozenset({"databases.example.org"})), True, True),
        (Requester(kinds=frozenset({"caches.example.org"})), False, False),
        (Requester(kinds=frozenset({"*"})), True, True),
        # What the command line says never widens what a person may.
        (Requester(UNVERIFIED, frozenset({"*"})), True, False),
    ],
    ids=["person", "other-person", "command-line", "named", "another-named", "everything", "person-first"],
)
def test_requests(requester: Requester, open_: bool, restricted: bool) -> None:
    assert may_request(template(), KIND, requester) is open_
    assert may_request(template({"groups": ["dba"]}), KIND, requester) is restricted


def test_who_is_told() -> None:
    said = allowed.not_allowed(KIND, "ns/t", Requester(ANNA))
    assert "0042" in said
    assert "template ns/t" in said
    assert "--allow databases.example.org" in allowed.not_allowed(KIND, "ns/t", Requester())
    assert allowed.is_open(template())
    assert not allowed.is_open(template({}))


WHO = Identity("0042", "c1", "https://login.example.org")


def binding(person: Person | None = None, **marks: str) -> dict[str, Any]:
    login = {names.LOGIN: record.note(person)} if person else {}
    return {"metadata": {"annotations": {**login, **marks}}}


def test_a_login_reads_back() -> None:
    found = record.person_of(WHO, binding(ANNA))
    assert found == Person(WHO.issuer, "0042", "", "Anna@Example.org", True, ("dba", "ops"))


def test_an_unverified_address_is_not_noted() -> None:
    assert "anna" not in record.note(UNVERIFIED)
    found = record.person_of(Identity("0043", "c1", WHO.issuer), binding(UNVERIFIED))
    assert found == Person(WHO.issuer, "0043")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"issuer":"https://evil","subject":"0042","groups":["dba"]}', '{"groups":1}'],
)
def test_a_note_of_another_account_counts_for_nothing(text: str) -> None:
    assert record.person_of(WHO, binding(**{names.LOGIN: text})) == Person(WHO.issuer, "0042")
    assert record.person_of(WHO, None) == Person(WHO.issuer, "0042")


def test_odd_values_in_a_note_are_left_out() -> None:
    text = f'{{"issuer":"{WHO.issuer}","subject":"0042","email":1,"groups":["a",2]}}'
    found = record.person_of(WHO, binding(**{names.LOGIN: text}))
    assert found == Person(WHO.issuer, "0042", groups=("a",))


def test_the_command_line_is_nobodys_login() -> None:
    who = Identity("0042", "c1")
    assert record.person_of(who, binding(ANNA)) is None
    assert record.requester_of(who, binding(ANNA)) == Requester()
    listed = binding(**{names.ALLOWED_KINDS: "a.b,c.d"})
    assert record.requester_of(who, listed).kinds == {"a.b", "c.d"}


def test_more_groups_than_can_be_kept() -> None:
    many = Person("https://i", "1", groups=tuple(f"group-{number:05}" for number in range(6000)))
    with pytest.raises(record.RecordTooLarge, match="groups claim"):
        record.note(many)
