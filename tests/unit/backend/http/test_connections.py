"""How many connections may be open, and of whom: pure counting."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bind_agent.backend.http.connections import Bounds, Connections, bounds_of, within
from tests.unit.backend.http.test_redirects_and_hosts import OPTIONS

pytestmark = pytest.mark.unit


def test_one_address_does_not_take_what_others_need() -> None:
    connections = Connections(Bounds(total=10, each=2))
    assert [connections.take("192.0.2.1") for _ in range(4)] == [None, None, "address", "address"]
    assert connections.take("192.0.2.2") is None
    assert len(connections) == 3
    connections.free("192.0.2.1")
    assert connections.take("192.0.2.1") is None
    assert connections.take("192.0.2.1") == "address"


def test_all_together_are_bounded_as_well() -> None:
    connections = Connections(Bounds(total=3, each=2))
    assert [connections.take(f"192.0.2.{n}") for n in range(4)] == [None, None, None, "total"]
    connections.free("192.0.2.0")
    assert connections.take("192.0.2.3") is None


def test_without_a_bound_for_one_address_it_may_have_them_all() -> None:
    connections = Connections(Bounds(total=5, each=0))
    assert [connections.take("192.0.2.1") for _ in range(6)] == [None] * 5 + ["total"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_a_host_with_many_addresses_is_one_client(one: str, other: str, same: bool) -> None:
    connections = Connections(Bounds(each=1))
    assert connections.take(one) is None
    assert connections.take(other) == ("address" if same else None)


@given(st.lists(st.integers(0, 5), max_size=200))
def test_nobody_is_remembered_who_is_gone(clients: list[int]) -> None:
    connections = Connections(Bounds(total=20, each=3))
    taken = [str(client) for client in clients if connections.take(f"192.0.2.{client}") is None]
    assert len(connections) == len(taken) <= 18
    for client in taken:
        connections.free(f"192.0.2.{client}")
    assert len(connections) == 0
    assert not connections._open


def test_addresses_of_own_proxies_say_nothing_about_clients() -> None:
    options = replace(OPTIONS, max_connections=50, max_connections_per_address=5)
    assert bounds_of(options) == Bounds(50, 5)
    assert bounds_of(replace(options, trusted_proxies=1)) == Bounds(50, 0)
    assert bounds_of(OPTIONS) == Bounds(1000, 100)


@pytest.mark.parametrize(
    ("descriptors", "total"), [(1024, 824), (100_000, 1000), (1200, 1000), (256, 128), (-1, 1000)]
)
def test_the_rest_of_the_process_keeps_file_descriptors(descriptors: int, total: int) -> None:
    assert within(Bounds(), descriptors) == Bounds(total=total)
