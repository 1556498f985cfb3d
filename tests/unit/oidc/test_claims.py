"""A person from claims of any size and type."""

from typing import Any

import pytest
from joserfc.jwk import RSAKey

from bind_agent.backend.oidc import claims, idtoken
from bind_agent.backend.oidc.errors import LoginRefused
from bind_agent.backend.oidc.exchange import Tokens
from bind_agent.backend.oidc.fetch import Answer
from bind_agent.backend.oidc.keys import Keys, SigningKey
from bind_agent.backend.person import Person

pytestmark = pytest.mark.unit

BASE = {"iss": "https://issuer.example.com", "sub": "alice"}


def person(groups_claim: str = "groups", **more: Any) -> Person:
    return claims.person({**BASE, **more}, groups_claim=groups_claim)


def test_a_subject_is_all_that_is_needed() -> None:
    assert person() == Person("https://issuer.example.com", "alice")


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ({"name": "Alice"}, "Alice"),
        ({"preferred_username": "al"}, "al"),
        ({"name": "", "nickname": "ally"}, "ally"),
        ({"name": ["Alice"]}, ""),
        ({"name": "A\x1b[31mlice\u202e"}, "A [31mlice"),
        ({"name": "\u200b\n"}, ""),
    ],
)
def test_names_are_fit_to_be_shown(found: dict[str, Any], name: str) -> None:
    assert person(**found).name == name


def test_long_names_are_cut() -> None:
    assert len(person(name="n" * 10_000).name) == claims.LONGEST_NAME


@pytest.mark.parametrize(
    ("email", "verified", "expected"),
    [
        ("a@example.com", True, ("a@example.com", True)),
        ("a@example.com", "true", ("a@example.com", True)),
        ("a@example.com", 1, ("a@example.com", False)),
        ("a@example.com", "yes", ("a@example.com", False)),
        ("a@example.com", None, ("a@example.com", False)),
        ("", True, ("", False)),
        ("a", True, ("", False)),
        ("@example.com", True, ("", False)),
        ("a@", True, ("", False)),
        ("a@b@example.com", True, ("", False)),
        ("a b@example.com", True, ("", False)),
        ("a\n@example.com", True, ("", False)),
        ("a" * 250 + "@example.com", True, ("", False)),
        (["a@example.com"], True, ("", False)),
    ],
)
def test_addresses_are_addresses_or_left_out(email: Any, verified: Any, expected: tuple[str, bool]) -> None:
    found = person(email=email, email_verified=verified)
    assert (found.email, found.email_verified) == expected


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["b", "a", "b"], ("a", "b")),
        ("admins", ("admins",)),
        (
            ["a", 7, None, ["b"], {"c": 1}, "", " d", "e\n", "g" * 257, "/path/of group"],
            ("/path/of group", "a"),
        ),
        ({"a": True}, ()),
        (7, ()),
        (None, ()),
    ],
)
def test_groups_are_texts_or_left_out(groups: Any, expected: tuple[str, ...]) -> None:
    assert person(groups=groups).groups == expected


def test_there_are_only_so_many_groups() -> None:
    assert len(person(groups=[str(number) for number in range(10_000)]).groups) == claims.MOST_GROUPS


def test_groups_may_stand_in_another_claim() -> None:
    assert person(
        "https://example.com/roles", **{"https://example.com/roles": ["a"], "groups": ["b"]}
    ).groups == ("a",)


@pytest.mark.parametrize("subject", ["auth0|62a", "alice@example.com", "248289761001", "ä", "a#b", "s" * 255])
def test_subjects_are_kept_as_they_are(subject: str) -> None:
    assert claims.subject(subject) == subject


@pytest.mark.parametrize("subject", [None, 7, "", " ", " a", "a ", "a\x00", "a\u202eb", "s" * 256, ["a"]])
def test_subjects_that_no_identity_can_be_built_on(subject: Any) -> None:
    with pytest.raises(LoginRefused):
        claims.subject(subject)


def test_what_may_be_missing() -> None:
    assert claims.lacks({"email": "a"}, groups_claim="groups")
    assert claims.lacks({"groups": []}, groups_claim="groups")
    assert not claims.lacks({"groups": [], "email": ""}, groups_claim="groups")


def test_the_left_half_of_a_hash() -> None:
    """The example of OpenID Connect Core, appendix A.4: an access token and its `at_hash`."""
    assert (
        idtoken.hash_half("RS256", "", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y")
        == "77QmUPtjPfzWtF2AnpK9RQ"
    )
    assert len(idtoken.hash_half("ES384", "P-384", "x")) == 32
    assert len(idtoken.hash_half("EdDSA", "Ed25519", "x")) == 43
    assert len(idtoken.hash_half("EdDSA", "Ed448", "x")) == 76


TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJzdWIiOiJhbGljZSJ9.AAAA"


def test_tokens_do_not_show_their_content() -> None:
    assert repr(idtoken.read(TOKEN)) == "Token(algorithm='RS256', key_id='a')"
    assert "eyJ" not in repr(Tokens("eyJ", "eyJ"))
    assert "eyJ" not in repr(Answer(200, b"eyJ"))


def test_a_key_that_fails_has_signed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    key = RSAKey.generate_key(2048)
    keys = Keys((SigningKey("a", ("RS256",), key),))

    def fails(*_: object) -> None:
        raise ValueError("not on the curve")

    monkeypatch.setattr(key, "get_op_key", fails)
    with pytest.raises(LoginRefused) as refused:
        idtoken.verify(idtoken.read(TOKEN), keys, idtoken.Expected("i", "c", "n", 0), access_token=None)
    assert refused.value.reason == "SignatureWrong"
