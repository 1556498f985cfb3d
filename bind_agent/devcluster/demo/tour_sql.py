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
_TOO_MANY: Final = "53300"
#: What the server needs at most to notice that a session is over.
_SETTLE: Final = 5.0


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


@asynccontextmanager
async def session(credentials: Credentials) -> AsyncIterator["psycopg.AsyncConnection[Any]"]:
    """A connection of the user, closed afterwards.

    Raises:
        ServerError: the server cannot be reached, refuses the user or refuses a statement.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            credentials.uri, connect_timeout=CONNECT_TIMEOUT, autocommit=True
        )
    except psycopg.Error as error:
        raise describe(error, doing="connect with the credentials of the app cluster") from None
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


async def sessions_until_refused(credentials: Credentials, *, most: int) -> tuple[int, str]:
    """Open sessions until the server refuses one, and close them all.

    Args:
        credentials: of the user.
        most: sessions after which to give up.

    Returns:
        How many there were, and the server's words; no words when it refused none.

    Raises:
        ServerError: a session was refused for another reason than their number.
    """
    async with AsyncExitStack() as stack:
        for count in range(most):
            try:
                connection = await psycopg.AsyncConnection.connect(
                    credentials.uri, connect_timeout=CONNECT_TIMEOUT, autocommit=True
                )
            except psycopg.Error as error:
                # A connection that is refused has no result, hence no SQLSTATE; the words are the server's.
                words = str(error)
                if error.sqlstate == _TOO_MANY or "too many connections for role" in words:
                    return count, words.rpartition("FATAL:")[2].strip()
                raise describe(error, doing="connect with the credentials of the app cluster") from None
            stack.push_async_callback(connection.close)
    return most, ""


async def settled_limit(credentials: Credentials, *, wanted: int) -> tuple[int, str]:
    """As `sessions_until_refused`, tried again while sessions of before have not ended on the server yet."""
    deadline = time.monotonic() + _SETTLE
    while True:
        found = await sessions_until_refused(credentials, most=wanted + 1)
        if found[0] == wanted or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.1)


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
