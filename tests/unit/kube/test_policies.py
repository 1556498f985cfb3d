"""Pure decisions: addresses, repetition, errors out of a Status, text of the other side."""

from typing import Any

import pytest

from bind_agent.kube import errors
from bind_agent.kube.addresses import AddressPolicy, is_loopback
from bind_agent.kube.throttle import ATTEMPTS, retry_delay

pytestmark = pytest.mark.unit

STRICT = AddressPolicy(private=False, loopback=False)
USUAL = AddressPolicy()
PLAYGROUND = AddressPolicy(loopback=True)


@pytest.mark.parametrize(
    ("host", "strict", "usual", "playground"),
    [
        ("93.184.216.34", True, True, True),
        ("provider.example.org", True, True, True),
        ("2606:4700::1", True, True, True),
        ("10.0.0.1", False, True, True),
        ("172.16.9.9", False, True, True),
        ("192.168.0.1", False, True, True),
        ("100.64.0.1", False, True, True),
        ("fd00::1", False, True, True),
        ("::ffff:10.0.0.1", False, True, True),
        ("kubernetes.default.svc", False, True, True),
        ("kubernetes.default", False, True, True),
        ("db.prod.svc.cluster.local", False, True, True),
        ("intranet", False, True, True),
        ("127.0.0.1", False, False, True),
        ("127.8.8.8", False, False, True),
        ("::1", False, False, True),
        ("::ffff:127.0.0.1", False, False, True),
        ("localhost", False, False, True),
        ("a.localhost.", False, False, True),
        ("169.254.169.254", False, False, False),
        ("::ffff:169.254.169.254", False, False, False),
        ("fe80::1", False, False, False),
        ("fe80::1%eth0", False, False, False),
        ("2002:a9fe:a9fe::1", False, False, False),
        ("metadata.google.internal", False, False, False),
        ("0.0.0.0", False, False, False),
        ("0.1.2.3", False, False, False),
        ("::", False, False, False),
        ("224.0.0.1", False, False, False),
        ("ff02::1", False, False, False),
        ("255.255.255.255", False, False, False),
    ],
)
def test_addresses(host: str, strict: bool, usual: bool, playground: bool) -> None:
    assert [not policy.refusal(host) for policy in (STRICT, USUAL, PLAYGROUND)] == [strict, usual, playground]


def test_own_machine() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "10.0.0.1", "example.org")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def throttled(after: float | None = None) -> errors.TooManyRequests:
    return errors.TooManyRequests("x", code=429, retry_after=after)


BROKEN = errors.ConnectionFailed("x", broken=True)
REFUSED = errors.ConnectionFailed("x")
UNAVAILABLE = errors.Unavailable("x", code=503)


@pytest.mark.parametrize(
    ("error", "reading", "again"),
    [
        (throttled(), True, True),
        (throttled(), False, True),
        (UNAVAILABLE, True, True),
        (UNAVAILABLE, False, False),
        (BROKEN, True, True),
        (BROKEN, False, False),
        (REFUSED, True, False),
        (errors.ServerError("x", code=500), True, False),
        (errors.NotFound("x", code=404), True, False),
        (errors.MalformedAnswer("x"), True, False),
    ],
)
def test_what_is_sent_again(error: errors.KubeError, reading: bool, again: bool) -> None:
    assert (retry_delay(error, reading=reading, attempt=1, waited=0) is not None) is again
    assert retry_delay(error, reading=reading, attempt=ATTEMPTS, waited=0) is None


def test_delays_grow_and_honour_the_server() -> None:
    delays = [retry_delay(UNAVAILABLE, reading=True, attempt=n, waited=0, rand=lambda: 0) for n in (1, 2, 3)]
    assert delays == pytest.approx([0.11, 0.41, 1.61])
    earliest = retry_delay(throttled(5), reading=False, attempt=1, waited=0, rand=lambda: 0.0)
    latest = retry_delay(throttled(5), reading=False, attempt=1, waited=0, rand=lambda: 0.999)
    assert earliest is not None
    assert latest is not None
    assert 5 <= earliest < latest <= 6.3
    assert retry_delay(throttled(20), reading=False, attempt=1, waited=15) is None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ({"code": 404, "reason": "NotFound"}, 0, errors.NotFound),
        ({"reason": "AlreadyExists"}, 409, errors.AlreadyExists),
        ({"reason": "Conflict"}, 409, errors.Conflict),
        ({"reason": "Timeout"}, 500, errors.ServerTimeout),
        ({"reason": "Expired"}, 410, errors.Gone),
        ({"reason": 7, "message": [], "details": "x"}, 403, errors.Forbidden),
        ({"code": "410"}, 0, errors.ServerError),
        ({"code": 200}, 0, errors.ServerError),
        ({"code": 10**12}, 0, errors.ServerError),
        ({"details": {"causes": [{"field": "metadata.uid"}]}}, 422, errors.Conflict),
        ({"details": {"causes": [{"field": "metadata.uid"}, {"field": "spec"}]}}, 422, errors.Invalid),
        ({"details": {"causes": ["x", 7, {}]}}, 422, errors.Invalid),
    ],
)
def test_status_becomes_a_typed_error(status: dict[str, Any], code: int, kind: type[errors.ApiError]) -> None:
    error = errors.error_from_status(status, code=code)
    assert type(error) is kind
    assert error.message
    assert str(error)


def test_delay_of_a_status() -> None:
    def delay(seconds: object) -> float | None:
        return errors.error_from_status({"details": {"retryAfterSeconds": seconds}}, code=429).retry_after

    assert [delay(value) for value in (3, 10**9, 0, -1, "3", None)] == [3, 30, None, None, None, None]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain text", "plain text"),
        ("  two\n\nlines\t", "two lines"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("safe\u202egnp.exe", "safe gnp.exe"),
        ("a\0b\x9bc\ufeff", "a b c"),
        ("ünïcode 名前", "ünïcode 名前"),
        ("", ""),
    ],
)
def test_text_of_the_other_side(text: str, cleaned: str) -> None:
    assert errors.clean(text) == cleaned


def test_text_is_cut() -> None:
    assert errors.clean("x" * 10_000_000) == "x" * 255 + "…"
    assert len(errors.clean("x " * 1000, 10)) == 10


def test_tree_of_errors() -> None:
    assert issubclass(errors.AlreadyExists, errors.Conflict)
    assert issubclass(errors.Unavailable, errors.ServerError)
    assert issubclass(errors.AbsenceUnproven, errors.NotFound)
    retriable = {
        kind.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.KubeError) and kind.retriable
    }
    assert retriable == {
        "AbsenceUnproven",
        "AnswerTooLarge",
        "ConnectionFailed",
        "CredentialError",
        "MalformedAnswer",
        "ServerError",
        "ServerTimeout",
        "TooManyRequests",
        "Unavailable",
    }
