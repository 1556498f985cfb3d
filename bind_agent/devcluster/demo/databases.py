"""The server, seen from its administrator: what is there, and the steps of a plan carried out."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from bind_agent.devcluster.demo.plan import Database, Role, Seen, Step

CONNECT_TIMEOUT = 5
_MAX_MESSAGE = 200
#: Nothing that a database user could have planted is found by name, and no statement hangs for ever.
_OPTIONS = "-c search_path=pg_catalog -c statement_timeout=30s -c lock_timeout=10s"

_ROLE = """
SELECT rolcanlogin, rolconnlimit, rolconfig, shobj_description(oid, 'pg_authid')
FROM pg_roles WHERE rolname = %s
"""
_MAY_SEE_PASSWORDS = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')"
_VERIFIER = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
_DATABASE = """
SELECT pg_get_userbyid(datdba), shobj_description(oid, 'pg_database'),
       has_database_privilege('public', oid, 'CONNECT') OR has_database_privilege('public', oid, 'TEMPORARY')
FROM pg_database WHERE datname = %s
"""
_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


class ServerError(Exception):
    """The server refused a statement or could not be reached; the text never holds a value that was sent.

    Attributes:
        reason: word for the condition.
        retry: seconds after which trying again makes sense.
    """

    def __init__(self, reason: str, message: str, *, retry: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry


def describe(error: psycopg.Error, *, doing: str) -> ServerError:
    """Turn an error of the driver into one that is safe to show.

    Only the primary message is taken: the rest may quote the statement.
    """
    if error.sqlstate is None:
        message = f"cannot {doing}: the PostgreSQL server does not answer or refuses the operator"
        return ServerError("ServerUnreachable", message, retry=3.0)
    text = "".join(c for c in error.diag.message_primary or "" if c.isprintable())[:_MAX_MESSAGE]
    # Class 22 and 42704: a value, or the name of a setting, that the server does not take.
    rejected = error.sqlstate.startswith("22") or error.sqlstate == "42704"
    return ServerError(
        "Rejected" if rejected else "ServerError",
        f"cannot {doing}: {text} (SQLSTATE {error.sqlstate})",
        retry=10.0 if rejected else 5.0,
    )


class Session:
    """One connection of the administrator."""

    def __init__(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        self._connection = connection

    @property
    def server_version(self) -> str:
        """Version of the server, for instance ``18.1``."""
        number = int(self._connection.info.server_version)
        return f"{number // 10000}.{number % 10000}"

    async def observe(self, name: str) -> Seen:
        """Read what the server has under a name.

        Raises:
            ServerError: it does not answer.
        """
        try:
            role = await self._row(_ROLE, name)
            database = await self._row(_DATABASE, name)
            administrator = await self._row(_IS_SUPERUSER)
            verifier: str | None = None
            if role is not None and ((await self._row(_MAY_SEE_PASSWORDS)) or (False,))[0]:
                verifier = ((await self._row(_VERIFIER, name)) or (None,))[0] or ""
        except psycopg.Error as error:
            raise describe(error, doing="read roles and databases") from None
        return Seen(
            by_superuser=administrator is not None and administrator[0],
            role=None
            if role is None
            else Role(
                can_login=role[0],
                connection_limit=role[1],
                parameters=_settings(role[2] or ()),
                mark=role[3] or "",
                verifier=verifier,
            ),
            database=None
            if database is None
            else Database(owner=database[0], comment=database[1] or "", is_open=database[2]),
        )

    async def execute(self, steps: Iterable[Step]) -> None:
        """Carry out steps, in order, each as a whole.

        Raises:
            ServerError: a step failed; the ones before it are done, so the next plan starts after them.
        """
        for step in steps:
            try:
                if len(step.statements) == 1:
                    await self._connection.execute(step.statements[0])
                    continue
                async with self._connection.transaction():
                    for statement in step.statements:
                        await self._connection.execute(statement)
            except psycopg.Error as error:
                raise describe(error, doing=step.what) from None

    async def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        cursor = await self._connection.execute(query, values)
        row: tuple[Any, ...] | None = await cursor.fetchone()
        return row


class Databases:
    """A PostgreSQL server through its administrator's account.

    Args:
        conninfo: parameters of libpq; may hold a password and is therefore never shown.
        connections: most connections at a time.
    """

    def __init__(self, conninfo: Mapping[str, Any], *, connections: int = 4) -> None:
        self._conninfo = dict(conninfo)
        self._slots = asyncio.Semaphore(connections)

    def __repr__(self) -> str:
        return "Databases()"

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Connect, and close afterwards.

        Raises:
            ServerError: the server cannot be reached.
        """
        async with self._slots:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    **{"connect_timeout": CONNECT_TIMEOUT} | self._conninfo | {"options": _OPTIONS},
                    autocommit=True,
                )
            except psycopg.Error as error:
                raise describe(error, doing="connect") from None
            try:
                yield Session(connection)
            finally:
                await connection.close()


def _settings(entries: Iterable[str]) -> Mapping[str, str]:
    """Settings of a role; the server stores some names in mixed case."""
    pairs = (entry.partition("=") for entry in entries)
    return {name.lower(): value for name, _, value in pairs}
