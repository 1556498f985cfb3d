"""Plans as text: what is sent for which difference, and that nothing foreign is ever touched."""

from dataclasses import replace
from typing import Any

import pytest

from bind_agent.devcluster.demo import plan
from bind_agent.devcluster.demo.model import Instance, read_instance
from bind_agent.devcluster.demo.plan import Conflict, Database, Role, Seen, Step

pytestmark = pytest.mark.unit


def instance(**spec: Any) -> Instance:
    return read_instance({"metadata": {"name": "orders", "namespace": "shop", "uid": "u-1"}, "spec": spec})


NAME = instance().database
ROLE = Role(
    mark=plan.mark("u-1"), can_login=True, connection_limit=5, parameters={}, verifier="SCRAM-SHA-256$..."
)
DATABASE = Database(owner=NAME, comment="", is_open=False)
FOREIGN = replace(ROLE, mark=plan.mark("u-2"))
ABSENT = Seen(role=None, database=None)
PRESENT = Seen(role=ROLE, database=DATABASE)


def texts(steps: tuple[Step, ...]) -> list[list[str]]:
    return [[statement.as_string(None).replace(NAME, "N") for statement in step.statements] for step in steps]


def test_a_new_object() -> None:
    steps = plan.ensure(instance(parameters={"work_mem": "8MB"}, comment="it's"), ABSENT, "V")
    assert texts(steps) == [
        [
            "CREATE ROLE \"N\" LOGIN CONNECTION LIMIT 5 PASSWORD 'V'",
            "COMMENT ON ROLE \"N\" IS 'postgresqls.databases.example.com uid=u-1'",
            'ALTER ROLE "N" SET "work_mem" = \'8MB\'',
        ],
        ['CREATE DATABASE "N" OWNER "N" TEMPLATE template0'],
        [
            'REVOKE CONNECT, TEMPORARY ON DATABASE "N" FROM PUBLIC',
            "COMMENT ON DATABASE \"N\" IS 'it''s'",
        ],
    ]


def test_an_administrator_who_is_no_superuser_joins_the_role_with_its_creation() -> None:
    steps = plan.ensure(instance(), replace(ABSENT, by_superuser=False), "V")
    assert texts(steps)[0][-1] == 'GRANT "N" TO CURRENT_USER'
    assert all("GRANT" not in text for step in texts(plan.ensure(instance(), ABSENT, "V")) for text in step)


@pytest.mark.parametrize(
    ("spec", "seen", "verifier", "expected"),
    [
        ({}, PRESENT, None, []),
        ({}, PRESENT, "V", [["ALTER ROLE \"N\" PASSWORD 'V'"]]),
        ({"connectionLimit": 7}, PRESENT, None, [['ALTER ROLE "N" CONNECTION LIMIT 7']]),
        ({}, Seen(replace(ROLE, can_login=False), DATABASE), None, [['ALTER ROLE "N" LOGIN']]),
        (
            {"parameters": {"timezone": "UTC", "work_mem": "1MB"}},
            Seen(
                replace(ROLE, parameters={"lock_timeout": "1s", "search_path": "own", "work_mem": "1MB"}),
                DATABASE,
            ),
            None,
            [['ALTER ROLE "N" RESET "lock_timeout"', 'ALTER ROLE "N" SET "timezone" = \'UTC\'']],
        ),
        (
            {},
            Seen(ROLE, replace(DATABASE, is_open=True)),
            None,
            [['REVOKE CONNECT, TEMPORARY ON DATABASE "N" FROM PUBLIC']],
        ),
        ({}, Seen(ROLE, replace(DATABASE, comment="old")), None, [['COMMENT ON DATABASE "N" IS NULL']]),
        (
            {},
            Seen(ROLE, None),
            None,
            [
                ['CREATE DATABASE "N" OWNER "N" TEMPLATE template0'],
                ['REVOKE CONNECT, TEMPORARY ON DATABASE "N" FROM PUBLIC'],
            ],
        ),
    ],
    ids=["equal", "password", "limit", "login", "parameters", "open", "comment", "lost-database"],
)
def test_differences(
    spec: dict[str, Any], seen: Seen, verifier: str | None, expected: list[list[str]]
) -> None:
    plan.check_ownership(instance(**spec), seen)
    assert texts(plan.ensure(instance(**spec), seen, verifier)) == expected


def test_removal_locks_out_before_it_drops_and_drops_the_proof_last() -> None:
    assert texts(plan.remove(instance(), PRESENT)) == [
        ['ALTER ROLE "N" NOLOGIN'],
        ["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'N'"],
        ['DROP DATABASE IF EXISTS "N" WITH (FORCE)'],
        ['DROP ROLE IF EXISTS "N"'],
    ]


@pytest.mark.parametrize(
    ("seen", "drops"),
    [
        (ABSENT, []),
        (Seen(ROLE, None), ['DROP ROLE IF EXISTS "N"']),
        (Seen(ROLE, replace(DATABASE, owner="somebody")), ['DROP ROLE IF EXISTS "N"']),
        (Seen(FOREIGN, DATABASE), []),
        (Seen(replace(ROLE, mark=""), DATABASE), []),
        (Seen(None, DATABASE), []),
    ],
    ids=["nothing", "role-only", "foreign-database", "foreign-role", "unmarked-role", "database-only"],
)
def test_removal_drops_only_what_is_proven_ours(seen: Seen, drops: list[str]) -> None:
    found = [text for step in texts(plan.remove(instance(), seen)) for text in step if "DROP" in text]
    assert found == drops


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Seen(FOREIGN, None), "RoleConflict"),
        (Seen(replace(ROLE, mark=""), None), "RoleConflict"),
        (Seen(None, DATABASE), "DatabaseConflict"),
        (Seen(ROLE, replace(DATABASE, owner="somebody")), "DatabaseConflict"),
    ],
)
def test_a_name_that_is_taken_is_refused(seen: Seen, reason: str) -> None:
    with pytest.raises(Conflict, match="is not this object's; rename or drop it") as caught:
        plan.check_ownership(instance(), seen)
    assert caught.value.reason == reason


@pytest.mark.parametrize("seen", [ABSENT, PRESENT, Seen(ROLE, None)])
def test_a_name_that_is_free_or_ours_is_not(seen: Seen) -> None:
    plan.check_ownership(instance(), seen)


def test_no_repr_shows_a_verifier() -> None:
    assert "SCRAM" not in repr(PRESENT)
