"""How much one client may ask, and which client it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bind_agent.backend.http import limits
from bind_agent.backend.http.limits import Limiter, bucket_key, client_address

pytestmark = pytest.mark.unit


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_passes_then_the_rate_holds() -> None:
    time = Time()
    limiter = Limiter(2, monotonic=time)
    assert [limiter.take("a") for _ in range(10)] == [0] * 10
    assert limiter.take("a") == 1
    time.seconds = 0.5
    assert limiter.take("a") == 0
    assert limiter.take("a") > 0
    assert limiter.take("b") == 0, "another client is not held up"
    time.seconds = 100.0
    assert [limiter.take("a") for _ in range(10)] == [0] * 10, "no more than a burst is saved up"
    assert limiter.take("a") > 0


def test_costly_steps_cost_more() -> None:
    limiter = Limiter(1, monotonic=Time())
    assert limiter.take("a", limits.cost("/authorize")) == 0
    assert limiter.take("a", limits.cost("/authorize")) == 3
    assert limiter.take("a", limits.cost("/resources")) == 0
    assert limits.cost("/healthz") == 0


def test_what_costs_more_than_a_burst_is_still_possible() -> None:
    limiter = Limiter(0.5, monotonic=Time())
    assert limiter.take("a", 4) == 0
    assert limiter.take("a", 4) == 5


def test_probes_and_no_limit() -> None:
    limiter = Limiter(0, monotonic=Time())
    assert all(limiter.take("a") == 0 for _ in range(1000))
    assert len(limiter) == 0


@given(st.lists(st.integers(0, 500), max_size=300))
def test_memory_is_bounded(clients: list[int]) -> None:
    limiter = Limiter(1, monotonic=Time(), clients=20)
    for client in clients:
        limiter.take(str(client))
        assert len(limiter) <= 20


@pytest.mark.parametrize(
    ("forwarded", "trusted", "found"),
    [
        ("", 0, "peer"),
        ("6.6.6.6", 0, "peer"),
        ("1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6,1.1.1.1, 2.2.2.2", 2, "1.1.1.1"),
        ("1.1.1.1", 2, "1.1.1.1"),
        ("", 1, "peer"),
        (" , ", 1, "peer"),
    ],
)
def test_only_what_own_proxies_wrote_counts(forwarded: str, trusted: int, found: str) -> None:
    assert client_address("peer", forwarded, trusted) == found


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:567", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("x" * 5000, "unknown"),
        ("x" * 5000 + "...:1", "unknown"),
        ("1.2.3.4:x", "unknown"),
        ("", "unknown"),
    ],
)
def test_one_client_has_one_bucket(address: str, key: str) -> None:
    assert bucket_key(address) == key
