"""Reading an object: bounds, defaults, and names that are safe on a server."""

from typing import Any

import pytest

from bind_agent.devcluster.demo.model import PARAMETERS, InvalidSpec, read_instance

pytestmark = pytest.mark.unit


def obj(
    spec: Any = None, *, name: str = "orders", uid: str = "u-1", namespace: str = "shop"
) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "uid": uid, "generation": 3}, "spec": spec}


@pytest.mark.parametrize(
    "spec", [None, {}, {"parameters": None, "comment": None}], ids=["none", "empty", "nulls"]
)
def test_defaults(spec: Any) -> None:
    instance = read_instance(obj(spec))
    assert (instance.connection_limit, instance.parameters, instance.comment) == (5, {}, "")
    assert (instance.namespace, instance.name, instance.generation) == ("shop", "orders", 3)


def test_everything_chosen() -> None:
    parameters = dict.fromkeys(PARAMETERS, "1")
    instance = read_instance(obj({"connectionLimit": 100, "parameters": parameters, "comment": "é" * 256}))
    assert (instance.connection_limit, instance.parameters, len(instance.comment)) == (100, parameters, 256)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("text", "spec: must be a mapping"),
        ({"connectionLimit": 0}, "from 1 to 100"),
        ({"connectionLimit": 101}, "from 1 to 100"),
        ({"connectionLimit": True}, "whole number"),
        ({"connectionLimit": "5"}, "whole number"),
        ({"connectionLimit": None}, "whole number"),
        ({"parameters": ["x"]}, "spec.parameters: must be a mapping"),
        ({"parameters": {"search_path": "x"}}, "'search_path' cannot be set; possible are default_trans"),
        ({"parameters": {"work_mem": 5}}, "spec.parameters.work_mem: must be one line"),
        ({"parameters": {"work_mem": "1" * 65}}, "at most 64 characters"),
        ({"parameters": {"work_mem": "1\n"}}, "must be one line"),
        ({"comment": "x" * 257}, "at most 256 characters"),
        ({"comment": "a\x00b"}, "must be one line"),
        ({"comment": ["x"]}, "must be one line"),
    ],
)
def test_refusals(spec: Any, complaint: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_instance(obj(spec))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "name", ["orders", "a" * 200, "pg-x", "9.x", "UPPER", '"; DROP DATABASE x; --', "--", ""]
)
def test_names_fit_and_need_no_quoting(name: str) -> None:
    database = read_instance(obj(name=name)).database
    assert len(database) <= 63
    assert database.startswith("db_")
    assert database.replace("_", "").isalnum()
    assert database == database.lower()


def test_names_differ_by_uid_and_not_by_namespace_or_spec() -> None:
    first = read_instance(obj()).database
    assert first != read_instance(obj(uid="u-2")).database
    assert first == read_instance(obj({"connectionLimit": 9}, namespace="other")).database
    assert first.startswith("db_orders_")


def test_names_of_the_objects_beside_it() -> None:
    instance = read_instance(obj())
    assert (instance.secret, instance.config_map) == ("orders-credentials", "orders-connection")


def test_a_malformed_status_reads_as_empty() -> None:
    assert read_instance(obj() | {"status": "x"}).status == {}
