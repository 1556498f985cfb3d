"""Which answers of an API server are worth another try, and which end in a condition."""

import pytest

from bind_agent.backend.controllers.context import refusal
from bind_agent.kube.errors import (
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    PayloadTooLarge,
    ServerError,
    TooManyRequests,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("kind", "code", "message", "final"),
    [
        (Invalid, 422, "spec.names is wrong", True),
        (PayloadTooLarge, 413, "too much", True),
        (BadRequest, 400, "no", True),
        (Forbidden, 403, "being terminated", True),
        (ServerError, 500, "etcdserver: request is too large", True),
        (ServerError, 500, "etcdserver: leader changed", False),
        (Conflict, 409, "modified", False),
        (TooManyRequests, 429, "later", False),
    ],
)
def test_refusals(kind: type[ApiError], code: int, message: str, final: bool) -> None:
    problem = refusal(kind(message, code=code))
    assert (problem is not None) is final
    if problem is not None:
        assert problem.reason == "ExportWriteFailed"
        assert message in problem.message
