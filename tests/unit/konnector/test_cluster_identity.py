"""Which namespace says who an app cluster is, also where there is none of Kubernetes' own."""

from typing import Any, cast

import pytest

from bind_agent.api.meta import Object
from bind_agent.kube.errors import ConnectionFailed, Forbidden, KubeError, NotFound
from konnector.guard import UnidentifiedError, cluster_identity
from tests.fakes.parts import CannedClient

pytestmark = pytest.mark.unit

MISSING = NotFound("not found", code=404, reason="NotFound")


def _answers(*there: str, otherwise: KubeError = MISSING) -> CannedClient:
    def get(_: Any, name: str) -> Object:
        if name not in there:
            raise otherwise
        return {"metadata": {"name": name, "uid": f"uid of {name}"}}

    return CannedClient(get=get)


@pytest.mark.parametrize(
    ("there", "identity", "asked"),
    [
        (("kube-system", "default", "klutch-bind"), "uid of kube-system", 1),
        (("kube-system",), "uid of kube-system", 1),
        (("default", "klutch-bind"), "uid of default", 2),
        (("klutch-bind",), "uid of klutch-bind", 3),
    ],
    ids=["usual", "only-kube-system", "workspace", "bare-workspace"],
)
async def test_the_first_namespace_that_is_there_says_who_it_is(
    there: tuple[str, ...], identity: str, asked: int
) -> None:
    client = _answers(*there)
    assert await cluster_identity(cast("Any", client)) == identity
    assert len(client.calls) == asked


async def test_a_cluster_without_any_is_told_what_to_do() -> None:
    with pytest.raises(UnidentifiedError, match="kubectl create namespace default"):
        await cluster_identity(cast("Any", _answers()))


@pytest.mark.parametrize(
    "error",
    [Forbidden("no", code=403, reason="Forbidden"), ConnectionFailed("refused")],
    ids=["denied", "away"],
)
async def test_what_is_not_an_absence_leads_to_no_other_identity(error: KubeError) -> None:
    client = _answers("default", "klutch-bind", otherwise=error)
    with pytest.raises(type(error)):
        await cluster_identity(cast("Any", client))
    assert len(client.calls) == 1
