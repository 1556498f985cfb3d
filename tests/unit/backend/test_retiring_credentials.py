"""Tokens that end: recorded, unless the Secret with the record is known to be gone."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bind_agent.backend.tenancy.address import AddressError
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.rotation import Credential, Retiring
from bind_agent.kube.errors import AbsenceUnproven, NotFound
from tests.fakes.parts import CannedClient

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = Retiring(1, NOW)
STATE = Credential(None, 2, NOW + timedelta(days=1), NOW + timedelta(hours=12), (OLD,))
SECRET = {"metadata": {"name": "kubeconfig", "namespace": "cns", "resourceVersion": "5"}}


async def retire(client: CannedClient) -> Credential:
    kept = Credentials(cast("Any", client), endpoint=AddressError("x"))
    return await kept._retire("cns", "kubeconfig", SECRET, STATE, (1,))


@pytest.mark.parametrize("answer", [SECRET, NotFound("gone", code=404)], ids=["recorded", "gone"])
async def test_an_ended_token_is_forgotten(answer: Any) -> None:
    client = CannedClient(delete=None, replace=answer)
    assert (await retire(client)).retiring == ()
    assert client.verbs == ["delete", "replace"]


@pytest.mark.parametrize("verb", ["delete", "replace"])
async def test_a_404_that_says_nothing_of_it_ends_nothing(verb: str) -> None:
    unproven = AbsenceUnproven("no API server", code=404)
    client = CannedClient(**({"delete": None, "replace": SECRET} | {verb: unproven}))
    with pytest.raises(AbsenceUnproven):
        await retire(client)
