"""What becomes of the driver's errors and of options: nothing that was sent may show."""

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from bind_agent.devcluster.demo.app import InvalidOption, Options, read_dsn
from bind_agent.devcluster.demo.databases import Databases, describe

pytestmark = pytest.mark.unit


def error(sqlstate: str | None, primary: str | None = None, text: str = "") -> Any:
    return SimpleNamespace(
        sqlstate=sqlstate, diag=SimpleNamespace(message_primary=primary), __str__=lambda _: text
    )


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [(None, "ServerUnreachable"), ("22023", "Rejected"), ("42704", "Rejected"), ("53300", "ServerError")],
)
def test_reasons(sqlstate: str | None, reason: str) -> None:
    described = describe(error(sqlstate, "primary"), doing="create the role")
    assert described.reason == reason
    assert str(described).startswith("cannot create the role: ")
    assert ("primary" in str(described)) is (sqlstate is not None)
    assert described.retry > 0


def test_only_the_primary_message_is_shown_cleaned_and_cut() -> None:
    real = psycopg.errors.SyntaxError("LINE 1: ALTER ROLE x PASSWORD 'hidden'")
    assert "hidden" not in str(describe(real, doing="change the role"))
    assert str(describe(error("42601", "a\x1b[31m" + "b" * 500), doing="x")) == (
        "cannot x: a[31m" + "b" * 195 + " (SQLSTATE 42601)"
    )
    assert str(describe(error("42601"), doing="x")) == "cannot x:  (SQLSTATE 42601)"


def test_no_repr_shows_connection_parameters() -> None:
    assert "hidden" not in repr(Databases({"password": "hidden"}))
    assert "hidden" not in repr(Options(dsn="password=hidden"))


@pytest.mark.parametrize(
    ("dsn", "advertise", "sslmode", "expected"),
    [
        ("postgresql://a:b@db:6000/x", "", "", ("db", 6000, "prefer")),
        ("host=db", "", "", ("db", 5432, "prefer")),
        ("host=db sslmode=verify-full", "", "", ("db", 5432, "verify-full")),
        ("host=db sslmode=verify-full", "", "require", ("db", 5432, "require")),
        ("host=/run/pg", "public", "", ("public", 5432, "prefer")),
        ("host=/run/pg port=7", "public:8", "", ("public", 8, "prefer")),
        ("host=db", "[2001:db8::1]", "", ("2001:db8::1", 5432, "prefer")),
        ("host=db", "[2001:db8::1]:9", "", ("2001:db8::1", 9, "prefer")),
    ],
)
def test_where_users_find_the_server(
    dsn: str, advertise: str, sslmode: str, expected: tuple[str, int, str]
) -> None:
    _, address = read_dsn(Options(dsn=dsn, advertise=advertise, sslmode=sslmode))
    assert (address.host, address.port, address.sslmode) == expected


@pytest.mark.parametrize(
    ("dsn", "advertise"),
    [
        ("host=x hidden", ""),
        ("postgresql://a:hidden@[::1", ""),
        ("host=/run/pg password=hidden", ""),
        ("host=a,b password=hidden", ""),
        ("password=hidden", ""),
        ("host=a password=hidden", "h:x"),
        ("host=a password=hidden", "h:65536"),
    ],
)
def test_options_that_cannot_be_used(dsn: str, advertise: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_dsn(Options(dsn=dsn, advertise=advertise))
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
