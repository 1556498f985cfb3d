"""What is said of refusals that may quote content: nothing of the server's words, for no code."""

from typing import Any

import orjson
import pytest

from bind_agent.api.refusals import REASONS, known_reason
from bind_agent.api.resource import NAMESPACES, SECRETS, Resource
from bind_agent.kube import errors
from bind_agent.kube.asked import Asked
from bind_agent.kube.withheld import is_missing_right

pytestmark = pytest.mark.unit

CANARY = "aHVudGVyMg=="
ASKED = Asked("create", SECRETS, "shop", "db")
THINGS = Resource("g.example", "v1", "things", kind="Thing")
CODES = (400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504)
ACCOUNT = "system:serviceaccount:klutch-bind:konnector"


def right(
    verb: str = "create",
    resource: str = "secrets",
    group: str = "",
    where: str = 'in the namespace "shop"',
    user: str = ACCOUNT,
    head: str = 'secrets "db" is forbidden: ',
    tail: str = "",
) -> str:
    """The words of an API server for a missing right."""
    return f'{head}User "{user}" cannot {verb} resource "{resource}" in API group "{group}" {where}{tail}'


def refused(
    code: int, message: str, reason: str = "", asked: Asked | None = ASKED, **details: Any
) -> errors.ApiError:
    status = {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    return errors.error_from_answer(code, orjson.dumps(status), sensitive=True, asked=asked)


@pytest.mark.parametrize("asked", [ASKED, None], ids=["asked", "unknown"])
@pytest.mark.parametrize("code", CODES)
def test_no_code_lets_words_of_the_server_through(code: int, asked: Asked | None) -> None:
    causes = [{"field": CANARY, "message": CANARY}, {"field": f"data[{CANARY}]", "reason": CANARY}]
    for reason in ("Forbidden", "NotFound", "AlreadyExists", "Invalid", CANARY):
        for said in (CANARY, f"exceeded quota {CANARY}", right(user=CANARY), right(tail=f": {CANARY}")):
            error = refused(code, said, reason, asked, name=CANARY, causes=causes, kind=CANARY)
            told = f"{error} {error!r} {error.message} {error.reason} {error.details} {error.args}"
            assert CANARY not in told
            assert "hunter" not in told
            assert error.code == code
            assert error.message


def test_what_is_known_is_still_said() -> None:
    assert str(refused(403, right(), "Forbidden")) == (
        '403 Forbidden: cannot create secrets in namespace "shop": no role allows it'
    )
    assert str(refused(409, "x", "AlreadyExists")) == '409 AlreadyExists: secrets "db" already exists'
    assert str(refused(409, "x", "Conflict")) == (
        '409 Conflict: secrets "db" was changed or replaced meanwhile'
    )
    assert "the server does not accept the credential" in str(refused(401, "x", "Unauthorized"))
    assert "a quota there is used up" in str(refused(403, "exceeded quota: q, requested: secrets=1"))
    assert "the namespace is being deleted" in str(refused(403, "because it is being terminated"))
    assert "too large" in str(refused(500, "etcdserver: request is too large"))
    webhook = refused(500, "failed calling webhook", "InternalError")
    assert str(webhook).startswith("500 InternalError: the server fails to create secrets")
    policy = refused(403, "denied", "Forbidden")
    assert "refuses to create secrets" in policy.message
    assert "audit log and admission policies" in policy.message
    fields = refused(422, "x", "Invalid", causes=[{"field": "data[x]"}, {"field": "metadata.labels"}])
    assert "Invalid: data[x], metadata.labels" in fields.message


@pytest.mark.parametrize(
    ("field", "kept"),
    [
        ("data[tls.crt]", True),
        ("metadata.annotations[a.b/c]", True),
        ("type", True),
        ("hunter2", False),
        ("data.hunter2", False),
        ("data[a][b]", False),
        ("data[a b]", False),
        ("data[" + "x" * 200 + "]", False),
    ],
)
def test_fields_of_the_usual_form_are_named(field: str, kept: bool) -> None:
    assert (field in refused(422, "x", "Invalid", causes=[{"field": field}]).message) is kept


def test_other_kinds_keep_the_servers_words() -> None:
    status = {"kind": "Status", "code": 403, "reason": "Odd", "message": "no size above 9"}
    asked = Asked("apply", THINGS, "shop", "db")
    error = errors.error_from_answer(403, orjson.dumps(status), asked=asked)
    assert (error.message, error.reason) == ("no size above 9", "Odd")


@pytest.mark.parametrize(
    ("said", "asked", "found"),
    [
        (right(), ASKED, True),
        (right(head=""), ASKED, True),
        (right(head="secrets is forbidden: "), ASKED, True),
        (right(tail=': RBAC: role.rbac.authorization.k8s.io "x" not found'), ASKED, True),
        (right("patch"), Asked("apply", SECRETS, "shop", "db"), True),
        (right("create"), Asked("apply", SECRETS, "shop", "db"), True),
        (right("create"), Asked("update", SECRETS, "shop", "db"), True),
        (right("list", where="at the cluster scope"), Asked("list", SECRETS), True),
        (
            right("patch", "things/status", "g.example"),
            Asked("patch", THINGS, "shop", "db", "status"),
            True,
        ),
        (right("get", "namespaces", where='in the namespace "n"'), Asked("get", NAMESPACES, "", "n"), True),
        (right("list", "namespaces", where="at the cluster scope"), Asked("list", NAMESPACES), True),
        (right("delete"), ASKED, False),
        (right("create"), Asked("patch", SECRETS, "shop", "db"), False),
        (right(resource="configmaps"), ASKED, False),
        (right(group="g.example"), ASKED, False),
        (right(where='in the namespace "other"'), ASKED, False),
        (right(where="at the cluster scope"), ASKED, False),
        (right(head="admission webhook: "), ASKED, False),
        (right(user='x" said "y'), ASKED, False),
        ("secrets is forbidden", ASKED, False),
        ("", ASKED, False),
    ],
)
def test_a_missing_right_is_known_by_its_words_and_by_what_was_asked(
    said: str, asked: Asked, found: bool
) -> None:
    assert is_missing_right(said, asked) is found
    error = refused(403, said, "Forbidden", asked)
    assert isinstance(error, errors.Forbidden)
    assert error.missing_right is found
    assert ("no role allows it" in error.message) is found


def test_long_hostile_words_cost_little() -> None:
    for said in (right(user="a" * 1_000_000), 'x" is forbidden: ' * 50_000, right() * 5_000, '"' * 500_000):
        is_missing_right(said, ASKED)


def test_reasons() -> None:
    assert known_reason("Forbidden") == "Forbidden"
    assert known_reason("hunter2") == ""
    assert len(REASONS) == 19


def test_what_was_asked_in_words() -> None:
    asked = Asked("patch", THINGS, "shop", "db", "status")
    assert (asked.what, asked.object) == (
        'patch things/status.g.example in namespace "shop"',
        'things.g.example "db"',
    )
    assert (Asked("list", SECRETS).what, Asked("list", SECRETS).object) == ("list secrets", "secrets")
