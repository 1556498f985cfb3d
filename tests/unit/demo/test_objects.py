"""Secret and ConfigMap: content, ownership, and the smallest patch."""

import base64
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from bind_agent.devcluster.demo import objects
from bind_agent.devcluster.demo.model import read_instance
from bind_agent.devcluster.demo.objects import Access, Address

pytestmark = pytest.mark.unit

INSTANCE = read_instance({"metadata": {"name": "orders", "namespace": "shop", "uid": "u-1"}})
ADDRESS = Address("db.example.com", 5432, "verify-full")
ACCESS = Access(ADDRESS, "db_x", "p:a/s?s@w%rd")


def stored(obj: dict[str, Any]) -> dict[str, Any]:
    return obj | {"metadata": obj["metadata"] | {"uid": "s-1", "resourceVersion": "7"}}


@pytest.mark.parametrize("host", ["db.example.com", "10.0.0.1", "2001:db8::1"])
def test_libpq_reads_the_uri_back(host: str) -> None:
    parts = conninfo_to_dict(Access(Address(host, 5433, "require"), "db_x", "p:a/s?s@w%rd").uri)
    assert parts == {
        "host": host,
        "port": "5433",
        "dbname": "db_x",
        "user": "db_x",
        "password": "p:a/s?s@w%rd",
        "sslmode": "require",
    }


def test_the_secret_belongs_to_the_object_and_can_be_claimed() -> None:
    secret = objects.secret(INSTANCE, ACCESS)
    meta = secret["metadata"]
    assert (meta["name"], meta["namespace"], secret["type"]) == ("orders-credentials", "shop", "Opaque")
    assert meta["labels"]["databases.example.com/claim"] == "credentials"
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "databases.example.com/v1",
            "kind": "PostgreSQL",
            "name": "orders",
            "uid": "u-1",
            "controller": True,
        }
    ]
    values = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    assert values["uri"] == ACCESS.uri
    assert {key: values[key] for key in ("host", "port", "database", "username", "password")} == {
        "host": "db.example.com",
        "port": "5432",
        "database": "db_x",
        "username": "db_x",
        "password": "p:a/s?s@w%rd",
    }
    assert objects.read_password(secret) == "p:a/s?s@w%rd"


def test_the_config_map_holds_no_password_and_is_not_claimed_as_credentials() -> None:
    config = objects.config_map(INSTANCE, ADDRESS)
    assert config["data"] == {
        "host": "db.example.com",
        "port": "5432",
        "database": INSTANCE.database,
        "sslmode": "verify-full",
    }
    assert "databases.example.com/claim" not in config["metadata"]["labels"]


@pytest.mark.parametrize(
    "secret",
    [
        {},
        {"data": None},
        {"data": "x"},
        {"data": {"password": 5}},
        {"data": {"password": "%%"}},
        {"data": {"password": base64.b64encode(b"\xff").decode()}},
        {"data": {"password": base64.b64encode(b"a\nb").decode()}},
        {"data": {"password": base64.b64encode(b"a" * 257).decode()}},
    ],
)
def test_a_damaged_secret_has_no_password(secret: dict[str, Any]) -> None:
    assert objects.read_password(secret) == ""


def test_an_equal_object_needs_no_patch_whatever_others_added() -> None:
    wanted = objects.secret(INSTANCE, ACCESS)
    present = stored(wanted)
    present["data"] = present["data"] | {"more": "eA=="}
    present["metadata"]["labels"] = present["metadata"]["labels"] | {"team": "a"}
    assert objects.difference(present, wanted) == {}


def test_a_patch_holds_what_differs_and_is_locked_to_what_was_seen() -> None:
    wanted = objects.config_map(INSTANCE, ADDRESS)
    present = stored(objects.config_map(INSTANCE, Address("old", 5432, "verify-full")))
    present["metadata"]["labels"] = {"app.kubernetes.io/name": "postgresql"}
    assert objects.difference(present, wanted) == {
        "metadata": {
            "labels": {"app.kubernetes.io/managed-by": "postgresql-operator"},
            "uid": "s-1",
            "resourceVersion": "7",
        },
        "data": {"host": "db.example.com"},
    }
    assert objects.difference(stored(wanted) | {"data": None}, wanted)["data"] == wanted["data"]


def test_no_repr_shows_a_password() -> None:
    assert "p:a" not in repr(ACCESS)
