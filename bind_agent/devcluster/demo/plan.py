"""Which statements bring a server to what an object asks for. Pure: `psycopg.sql` only quotes.

Ownership: a role is ours when its comment carries the object's UID, and a database is ours when that role
owns it. The comment is written in the same transaction as the role, a database is born with its owner, and
neither a role's comment nor the ownership of a database can be changed by the role itself. So there is no
moment without a proof, and no proof that the object's user could forge or lose. What is not proven ours is
never touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from psycopg import sql

from bind_agent.devcluster.demo import names
from bind_agent.devcluster.demo.model import PARAMETERS, Instance

Composed: TypeAlias = Any  # sql.Composed


class Conflict(Exception):  # noqa: N818 - named by meaning
    """Something of the needed name exists and is not this object's.

    Attributes:
        reason: word for the condition.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Role:
    """A role as the server has it.

    Attributes:
        mark: its comment.
        parameters: its settings, names in lower case.
        verifier: stored form of its password, empty when it has none, None when the operator may not see it.
    """

    mark: str
    can_login: bool
    connection_limit: int
    parameters: Mapping[str, str]
    verifier: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Database:
    """A database as the server has it.

    Attributes:
        is_open: whether every role of the server may connect to it or use its temporary space.
    """

    owner: str
    comment: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server has under the name of an object; None for what is absent.

    Attributes:
        by_superuser: whether the operator's account is a superuser.
    """

    role: Role | None
    database: Database | None
    by_superuser: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """Statements that take effect together; a single one runs outside of a transaction block."""

    what: str
    statements: tuple[Composed, ...]


def mark(uid: str) -> str:
    """The comment that makes a role the role of the object with this UID."""
    return f"{names.PLURAL}.{names.GROUP} uid={uid}"


def owns_role(instance: Instance, seen: Seen) -> bool:
    """Whether the role exists and is the object's."""
    return seen.role is not None and seen.role.mark == mark(instance.uid)


def owns_database(instance: Instance, seen: Seen) -> bool:
    """Whether the database exists and is the object's."""
    owned_by_role = seen.database is not None and seen.database.owner == instance.database
    return owned_by_role and owns_role(instance, seen)


def check_ownership(instance: Instance, seen: Seen) -> None:
    """Refuse to go on where the name is taken.

    Raises:
        Conflict: a role or database of the name exists and is not the object's.
    """
    if seen.role is not None and not owns_role(instance, seen):
        raise Conflict(
            "RoleConflict",
            f"a role {instance.database!r} exists on the server and is not this object's; rename or drop it",
        )
    if seen.database is not None and not owns_database(instance, seen):
        raise Conflict(
            "DatabaseConflict",
            f"a database {instance.database!r} exists on the server and is not this object's; "
            "rename or drop it",
        )


def ensure(instance: Instance, seen: Seen, verifier: str | None) -> tuple[Step, ...]:
    """Steps from what is there to what is asked for; none when they are equal.

    Args:
        instance: the object.
        seen: what the server has; its ownership was checked.
        verifier: stored form of a password to set, None to leave the password alone.
            Never None for a role that is absent.
    """
    return (*_role_steps(instance, seen, verifier), *_database_steps(instance, seen.database))


def remove(instance: Instance, seen: Seen) -> tuple[Step, ...]:
    """Steps that leave nothing of the object; none when nothing of it is there.

    The role goes last, because its comment is the proof that the database is ours.
    """
    if not owns_role(instance, seen):
        return ()
    name = sql.Identifier(instance.database)
    terminate = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}")
    steps = [
        Step("lock the role out", (sql.SQL("ALTER ROLE {} NOLOGIN").format(name),)),
        # Also those in databases other than its own, which DROP DATABASE does not end. Committed lock first,
        # so that nobody comes back.
        Step("end the sessions of the role", (terminate.format(sql.Literal(instance.database)),)),
    ]
    if owns_database(instance, seen):
        steps.append(
            Step("drop the database", (sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name),))
        )
    steps.append(Step("drop the role", (sql.SQL("DROP ROLE IF EXISTS {}").format(name),)))
    return tuple(steps)


def _role_steps(instance: Instance, seen: Seen, verifier: str | None) -> tuple[Step, ...]:
    role, name = seen.role, sql.Identifier(instance.database)
    limit = sql.Literal(instance.connection_limit)
    settings = _setting_statements(instance, role.parameters if role is not None else {})
    if role is None:
        create = sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT {} PASSWORD {}")
        comment = sql.SQL("COMMENT ON ROLE {} IS {}")
        # Giving a database to a role, and dropping it, takes membership where superuser rights are missing.
        join = () if seen.by_superuser else (sql.SQL("GRANT {} TO CURRENT_USER").format(name),)
        return (
            Step(
                "create the role",
                (
                    create.format(name, limit, sql.Literal(verifier)),
                    comment.format(name, sql.Literal(mark(instance.uid))),
                    *join,
                    *settings,
                ),
            ),
        )
    changes: list[Composed] = []
    if not role.can_login:
        changes.append(sql.SQL("ALTER ROLE {} LOGIN").format(name))
    if role.connection_limit != instance.connection_limit:
        changes.append(sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(name, limit))
    if verifier is not None:
        changes.append(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(verifier)))
    changes.extend(settings)
    return (Step("change the role", tuple(changes)),) if changes else ()


def _setting_statements(instance: Instance, present: Mapping[str, str]) -> list[Composed]:
    """Settings outside of `PARAMETERS` are the user's own and stay."""
    name = sql.Identifier(instance.database)
    reset, assign = sql.SQL("ALTER ROLE {} RESET {}"), sql.SQL("ALTER ROLE {} SET {} = {}")
    return [
        *(
            reset.format(name, sql.Identifier(parameter))
            for parameter in sorted(present)
            if parameter in PARAMETERS and parameter not in instance.parameters
        ),
        *(
            assign.format(name, sql.Identifier(parameter), sql.Literal(value))
            for parameter, value in sorted(instance.parameters.items())
            if present.get(parameter) != value
        ),
    ]


def _database_steps(instance: Instance, database: Database | None) -> tuple[Step, ...]:
    name = sql.Identifier(instance.database)
    steps: list[Step] = []
    if database is None:
        # template0, because a session on template1 would make the copy fail.
        create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(name, name)
        steps.append(Step("create the database", (create,)))
    changes: list[Composed] = []
    if database is None or database.is_open:
        changes.append(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(name))
    if instance.comment != (database.comment if database is not None else ""):
        text = sql.Literal(instance.comment or None)
        changes.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, text))
    if changes:
        steps.append(Step("change the database", tuple(changes)))
    return tuple(steps)
