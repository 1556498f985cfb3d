"""PostgreSQL as the demonstration uses it: as a user with the credentials, and as its administrator.

No text that leaves this module holds a password: errors go through `databases.describe`.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, LiteralString, Self

import psycopg

from bind_agent.devcluster.demo import scratch, server
from bind_agent.devcluster.demo.databases import CONNECT_TIMEOUT, describe
from bind_agent.devcluster.errors import DevClusterError

WRITE: Final[tuple[LiteralString, ...]] = (
    "CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, item text)",
    "INSERT INTO orders (item) VALUES ('lamp'), ('chair')",
)
READ: Final[LiteralString] = "SELECT id, item FROM orders ORDER BY id"
WRITTEN: Final = [(1, "lamp"), (2, "chair")]
LIMIT: Final[LiteralString] = "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user"
LEFT_DATABASES: Final[LiteralString] = "SELECT datname FROM pg_database WHERE datname = %s"
LEFT_ROLES: Final[LiteralString] = "SELECT rolname FROM pg_roles WHERE rolname = %s"
_TOO_MANY: Final = "too many connections for role"
#: Seconds that the server needs at most to notice that a session is over.
_SETTLE: Final = 10.0
_POLL: Final = 0.1


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the credentials Secret of the app cluster says.

    Attributes:
        uri: connection string of libpq; holds the password and is never shown.
    """

    host: str
    port: int
    database: str
    username: str
    uri: str = field(repr=False)

    @classmethod
    def read(cls, secret: Mapping[str, Any]) -> Self:
        """Take them from a Secret.

        Raises:
            DevClusterError: a key is missing or is not what it should be; the text names it, never its value.
        """
        data = secret.get("data")
        data = data if isinstance(data, Mapping) else {}
        port = _value(data, "port")
        if not port.isdecimal():
            raise DevClusterError("the key 'port' of the Secret is not a number")
        return cls(
            host=_value(data, "host"),
            port=int(port),
            database=_value(data, "database"),
            username=_value(data, "username"),
            uri=_value(data, "uri"),
        )


def _value(data: Mapping[str, Any], key: str) -> str:
    try:
        return base64.b64decode(str(data[key]), validate=True).decode()
    except KeyError:
        raise DevClusterError(f"the Secret has no key {key!r}") from None
    except (binascii.Error, UnicodeDecodeError):
        raise DevClusterError(f"the key {key!r} of the Secret is not base64 of text") from None


class TooManySessions(DevClusterError):  # noqa: N818 - named by meaning
    """The server refuses one more session of the role; the text is the server's."""


async def _connect(credentials: Credentials) -> "psycopg.AsyncConnection[Any]":
    """Log in as the user.

    Raises:
        TooManySessions: the limit of the role is reached.
        DevClusterError: the server refuses for another reason or does not answer.
    """
    try:
        return await psycopg.AsyncConnection.connect(
            credentials.uri, connect_timeout=CONNECT_TIMEOUT, autocommit=True
        )
    except psycopg.Error as error:
        # A refused connection has no SQLSTATE. Only the server's own words are taken: libpq's may quote more.
        _, refused, words = str(error).rpartition("FATAL:")
    if _TOO_MANY in words:
        raise TooManySessions(words.strip())
    reason = words.strip() if refused else "the server does not answer"
    raise DevClusterError(f"cannot log in with the credentials of the app cluster: {reason}")


@asynccontextmanager
async def session(credentials: Credentials) -> AsyncIterator["psycopg.AsyncConnection[Any]"]:
    """A connection of the user, closed afterwards.

    Raises:
        DevClusterError: the server cannot be reached or refuses the user.
        ServerError: it refuses a statement.
    """
    deadline = time.monotonic() + _SETTLE
    while True:
        try:
            connection = await _connect(credentials)
            break
        except TooManySessions:  # sessions of before, which the server has not ended yet
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_POLL)
    try:
        yield connection
    except psycopg.Error as error:
        raise describe(error, doing="use the database") from None
    finally:
        await connection.close()


async def round_trip(credentials: Credentials) -> list[tuple[Any, ...]]:
    """Make a table, write rows, and read them on another connection."""
    async with session(credentials) as connection:
        for statement in WRITE:
            await connection.execute(statement)
    return await rows(credentials)


async def rows(credentials: Credentials) -> list[tuple[Any, ...]]:
    """The rows that `round_trip` wrote."""
    async with session(credentials) as connection:
        found: list[tuple[Any, ...]] = await (await connection.execute(READ)).fetchall()
    return found


async def connection_limit(credentials: Credentials) -> int:
    """The limit that the server has for this user (``pg_roles``)."""
    async with session(credentials) as connection:
        row = await (await connection.execute(LIMIT)).fetchone()
    assert row is not None  # noqa: S101 - the user exists: it is connected
    return int(row[0])


async def sessions_until_refused(credentials: Credentials, *, wanted: int) -> tuple[int, str]:
    """Open sessions until the server refuses one, and close them all.

    Args:
        credentials: of the user.
        wanted: how many there should be; fewer are tried again for a while, because the server may not have
            ended the sessions of before.

    Returns:
        How many there were, and the server's words; no words when there was one more than wanted.

    Raises:
        DevClusterError: the server cannot be reached or refuses the user.
    """
    deadline = time.monotonic() + _SETTLE
    while True:
        found = await _count_sessions(credentials, most=wanted + 1)
        if found[0] >= wanted or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_POLL)


async def _count_sessions(credentials: Credentials, *, most: int) -> tuple[int, str]:
    async with AsyncExitStack() as stack:
        for count in range(most):
            try:
                connection = await _connect(credentials)
            except TooManySessions as error:
                return count, str(error)
            stack.push_async_callback(connection.close)
    return most, ""


@dataclass(frozen=True, slots=True)
class Administrator:
    """The way of the server's administrator in: a socket that only the operator's user may use.

    Attributes:
        socket: folder of the socket.
        port: of the server; part of the socket's name.
    """

    socket: Path
    port: int

    @classmethod
    def of(cls, port: int, *, root: Path = scratch.ROOT) -> Self:
        """Find the socket of the operator's own server.

        Args:
            port: where users find the server, which no other server of this machine has.
            root: where operators make their folders.

        Raises:
            DevClusterError: there is none.
        """
        for path in sorted(root.glob(f"{server.PREFIX}*/socket/.s.PGSQL.{port}")):
            return cls(path.parent, port)
        raise DevClusterError(f"no PostgreSQL server of the operator has a socket for port {port}")

    @property
    def words(self) -> tuple[str, ...]:
        """What a person would type to get in."""
        return ("psql", "-h", str(self.socket), "-p", str(self.port), "-U", server.ADMINISTRATOR, "postgres")

    async def left(self, name: str) -> tuple[int, int]:
        """How many databases and roles have this name.

        Raises:
            ServerError: the server does not answer.
        """
        try:
            async with await psycopg.AsyncConnection.connect(
                host=str(self.socket),
                port=self.port,
                user=server.ADMINISTRATOR,
                dbname="postgres",
                connect_timeout=CONNECT_TIMEOUT,
                autocommit=True,
            ) as connection:
                databases = await (await connection.execute(LEFT_DATABASES, (name,))).fetchall()
                roles = await (await connection.execute(LEFT_ROLES, (name,))).fetchall()
        except psycopg.Error as error:
            raise describe(error, doing="look at databases and roles") from None
        return len(databases), len(roles)
