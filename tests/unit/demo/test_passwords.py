"""When a password stays, and when it is replaced."""

from dataclasses import replace

import pytest

from bind_agent.devcluster.demo import scram
from bind_agent.devcluster.demo.passwords import Origin, choose
from bind_agent.devcluster.demo.plan import Role

pytestmark = pytest.mark.unit

SALT = b"0123456789abcdef"
ROLE = Role(
    mark="", can_login=True, connection_limit=5, parameters={}, verifier=scram.verifier("known", salt=SALT)
)


@pytest.mark.parametrize(
    ("in_secret", "role", "announced", "origin", "is_set"),
    [
        ("known", ROLE, True, Origin.KEPT, False),
        ("known", replace(ROLE, verifier=None), True, Origin.KEPT, False),
        ("known", None, True, Origin.KEPT, True),
        ("other", ROLE, True, Origin.ROTATED, True),
        ("known", replace(ROLE, verifier=""), True, Origin.ROTATED, True),
        ("", ROLE, True, Origin.ROTATED, True),
        (None, ROLE, True, Origin.ROTATED, True),
        (None, ROLE, False, Origin.CREATED, True),
        (None, None, False, Origin.CREATED, True),
    ],
    ids=[
        "works",
        "cannot-be-checked",
        "new-role",
        "does-not-match",
        "role-without",
        "damaged",
        "secret-gone",
        "interrupted",
        "new-object",
    ],
)
def test_choices(
    in_secret: str | None, role: Role | None, announced: bool, origin: Origin, is_set: bool
) -> None:
    choice = choose(in_secret, role, announced=announced)
    assert choice.origin is origin
    assert (choice.password == in_secret) is (origin is Origin.KEPT)
    assert (choice.verifier is not None) is is_set
    if choice.verifier is not None:
        assert scram.matches(choice.verifier, choice.password)


def test_new_passwords_are_long_random_and_need_no_quoting() -> None:
    made = {choose(None, None, announced=False).password for _ in range(20)}
    assert len(made) == 20
    assert all(
        len(password) == 32 and password.replace("-", "").replace("_", "").isalnum() for password in made
    )


def test_no_repr_shows_a_password() -> None:
    choice = choose("known", None, announced=True)
    assert "known" not in repr(choice)
    assert "SCRAM" not in repr(choice)
