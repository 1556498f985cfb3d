"""Credentials and the administrator's way in; what needs a server is in tests/e2e."""

import base64
from pathlib import Path

import pytest

from bind_agent.api.meta import Object
from bind_agent.devcluster.demo import objects, tour_sql
from bind_agent.devcluster.demo.model import read_instance
from bind_agent.devcluster.demo.tour_sql import Administrator, Credentials
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.ports import LOOPBACK, free_port

pytestmark = pytest.mark.unit

_WORD = "pass word"


def secret(**changes: str | None) -> Object:
    """The operator's own Secret, changed."""
    instance = read_instance({"metadata": {"name": "orders", "namespace": "default", "uid": "u"}})
    access = objects.Access(objects.Address(LOOPBACK, 5432, "disable"), instance.database, _WORD)
    made = objects.secret(instance, access)
    for key, value in changes.items():
        made["data"][key] = value
    return made


def test_credentials_are_those_of_the_operators_secret() -> None:
    found = Credentials.read(secret())
    assert (found.host, found.port) == (LOOPBACK, 5432)
    assert found.database == found.username
    assert found.uri.startswith(f"postgresql://{found.username}:pass%20word@{LOOPBACK}:5432/{found.database}")


def test_the_connection_string_is_never_shown() -> None:
    shown = repr(Credentials.read(secret()))
    assert "uri" not in shown
    assert "pass" not in shown


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"uri": "???"}, "'uri' of the Secret is not base64"),
        ({"host": base64.b64encode(b"\xff").decode()}, "'host' of the Secret is not base64 of text"),
        ({"port": base64.b64encode(b"no").decode()}, "'port' of the Secret is not a number"),
    ],
    ids=["not-base64", "not-text", "no-number"],
)
def test_a_secret_that_is_not_the_operators_is_refused(changes: dict[str, str], text: str) -> None:
    with pytest.raises(DevClusterError, match=text):
        Credentials.read(secret(**changes))


def test_a_missing_key_is_named() -> None:
    made = secret()
    del made["data"]["uri"]
    with pytest.raises(DevClusterError, match="has no key 'uri'"):
        Credentials.read(made)
    with pytest.raises(DevClusterError, match="has no key 'port'"):
        Credentials.read({"data": None})


def test_the_administrators_socket_is_found_by_the_port(tmp_path: Path) -> None:
    for name, port in (("bind-agent-pg-a", 1234), ("bind-agent-pg-b", 1235), ("other", 1236)):
        (tmp_path / name / "socket").mkdir(parents=True)
        (tmp_path / name / "socket" / f".s.PGSQL.{port}").touch()
    found = Administrator.of(1235, root=tmp_path)
    assert found.socket == tmp_path / "bind-agent-pg-b" / "socket"
    assert found.words[:5] == ("psql", "-h", str(found.socket), "-p", "1235")
    with pytest.raises(
        DevClusterError, match="no PostgreSQL server of the operator has a socket for port 1236"
    ):
        Administrator.of(1236, root=tmp_path)


async def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    port = free_port()
    made = Credentials(LOOPBACK, port, "db", "db", f"postgresql://db:{_WORD}@{LOOPBACK}:{port}/db")
    with pytest.raises(DevClusterError, match="the server does not answer") as caught:
        await tour_sql.rows(made)
    assert _WORD not in str(caught.value)
