"""What a credential is worth, and when it is worth nothing any more: stated times, measured on a real API server."""

import base64
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.api.encoding import from_base64
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS, NAMESPACES, SECRETS, SERVICEACCOUNTS
from bind_agent.backend import names
from bind_agent.backend.tenancy import kubeconfig, rotation
from bind_agent.backend.tenancy.address import Endpoint
from bind_agent.backend.tenancy.credentials import DEFAULT_TTL, REVOKED_WITHIN
from tests.fakes.backend_lab import Lab, Party, eventually, works

pytestmark = pytest.mark.integration

SLACK = 5.0
"""Seconds for a slow machine, on top of what is stated."""


def claims(token: str) -> dict[str, Any]:
    """What a token says about itself."""
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def token_in(secret: Object) -> str:
    issued = kubeconfig.parse(from_base64(secret["data"][keys.KUBECONFIG]))
    assert issued is not None
    return issued.token


async def wake(backend: Lab, party: Party) -> None:
    mark = {"metadata": {"annotations": {names.CREDENTIAL_CHANGED: str(time.monotonic_ns())}}}
    await backend.admin.merge_patch(CLUSTER_BINDINGS, "cluster", mark, namespace=party.namespace)


async def revoke(backend: Lab, party: Party) -> None:
    await backend.tenants.revoke(await backend.tenants.find(party.namespace), delete=False)


async def rotate_now(backend: Lab, party: Party) -> None:
    await backend.tenants.rotate(await backend.tenants.find(party.namespace), overlap=timedelta(0))


class TestRevocation:
    @pytest.mark.parametrize("end", [revoke, rotate_now])
    async def test_it_takes_effect_within_the_stated_time(
        self, backend: Lab, unique: Callable[[str], str], end: Callable[[Lab, Party], Awaitable[None]]
    ) -> None:
        party, other = await backend.join(unique("ending")), await backend.join(unique("staying"))
        # The API server has the token in its memory: the worst case.
        assert await works(party.added.kubeconfig, party.namespace)
        await end(backend, party)
        began = time.monotonic()

        async def refused() -> bool:
            return not await works(party.added.kubeconfig, party.namespace)

        await eventually(refused, timeout=60)
        assert time.monotonic() - began <= REVOKED_WITHIN.total_seconds() + SLACK
        assert await works(other.added.kubeconfig, other.namespace)

    async def test_a_token_that_nobody_used_lately_ends_at_once(
        self, backend: Lab, unique: Callable[[str], str]
    ) -> None:
        """The memory of the API server is the whole delay."""
        party = await backend.join(unique("unused"))
        fresh = await backend.tenants.rotate(
            await backend.tenants.find(party.namespace), overlap=timedelta(hours=1)
        )
        assert fresh.issued is not None
        await revoke(backend, party)
        assert not await works(kubeconfig.render(fresh.issued), party.namespace)


class TestNothingLastsForEver:
    async def test_every_secret_of_a_tenant(self, backend: Lab, unique: Callable[[str], str]) -> None:
        party = await backend.join(unique("all"))
        await backend.tenants.rotate(await backend.tenants.find(party.namespace), overlap=timedelta(hours=1))
        await backend.mapping(party, "team")
        found = []
        for namespace in (party.namespace, f"{party.namespace}-team"):
            found += (await backend.admin.list(SECRETS, namespace=namespace)).items
        assert {one["type"] for one in found} == {"Opaque"}
        filled = [one for one in found if one.get("data")]
        assert [one["metadata"]["name"] for one in filled] == [keys.KUBECONFIG]
        said = claims(token_in(filled[0]))
        assert said["sub"] == f"system:serviceaccount:{party.namespace}:{keys.BINDER}"
        life = timedelta(seconds=said["exp"] - said["iat"])
        assert timedelta(0) < life <= DEFAULT_TTL
        # It ends with a Secret, so it can be ended before its time.
        bound = said["kubernetes.io"]["secret"]["name"]
        assert bound == rotation.token_secret(2)
        account = await backend.admin.get(SERVICEACCOUNTS, keys.BINDER, namespace=party.namespace)
        assert account["automountServiceAccountToken"] is False
        assert not account.get("secrets")


class TestGoTenants:
    @pytest.fixture
    async def left(self, backend: Lab, unique: Callable[[str], str]) -> tuple[str, bytes]:
        """What a Go backend leaves of a tenant: name and kubeconfig with a token that never expires."""
        name = unique("gopher")
        namespace = f"cluster-{name[-12:].strip('-')}"
        admin = backend.admin
        marks = {keys.IDENTITY: f"{name}#c1"}
        await admin.create(
            NAMESPACES,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "annotations": marks}},
        )
        await admin.create(SERVICEACCOUNTS, {"metadata": {"name": keys.BINDER}}, namespace=namespace)
        await admin.create(
            SECRETS,
            {
                "metadata": {
                    "name": keys.BINDER,
                    "annotations": {keys.SERVICE_ACCOUNT_NAME: keys.BINDER},
                },
                "type": "kubernetes.io/service-account-token",
            },
            namespace=namespace,
        )

        async def filled() -> str:
            found = await admin.get(SECRETS, keys.BINDER, namespace=namespace)
            return str(found.get("data", {}).get("token", ""))

        token = from_base64(await eventually(filled)).decode()
        assert "exp" not in claims(token)
        assert isinstance(backend.endpoint, Endpoint)
        data = kubeconfig.render(kubeconfig.Issued(backend.endpoint, namespace, token))
        content = {keys.KUBECONFIG: base64.b64encode(data).decode()}
        await admin.create(
            SECRETS, {"metadata": {"name": keys.KUBECONFIG}, "data": content}, namespace=namespace
        )
        return name, data

    async def test_its_token_ends_after_the_overlap(self, backend: Lab, left: tuple[str, bytes]) -> None:
        name, data = left
        party = await backend.join(name)
        assert await works(party.added.kubeconfig, party.namespace)
        stored = await backend.admin.get(SECRETS, keys.KUBECONFIG, namespace=party.namespace)
        state = rotation.read(stored)
        assert "exp" in claims(token_in(stored))
        ((ending),) = state.retiring
        assert ending.generation == rotation.GO
        assert ending.at <= datetime.now(UTC) + DEFAULT_TTL
        # Until then a konnector that was away finds its way back.
        assert await works(data, party.namespace)
        marks = stored["metadata"]["annotations"]
        due = {names.TOKENS_RETIRING: marks[names.TOKENS_RETIRING].replace("@2", "@1")}
        await backend.admin.merge_patch(
            SECRETS, keys.KUBECONFIG, {"metadata": {"annotations": due}}, namespace=party.namespace
        )
        await wake(backend, party)
        await backend.gone(SECRETS, keys.BINDER, party.namespace)

        async def refused() -> bool:
            return not await works(data, party.namespace)

        await eventually(refused, timeout=30)
        assert await works(party.added.kubeconfig, party.namespace)

    @pytest.mark.parametrize("end", [revoke, rotate_now])
    async def test_it_ends_at_once_on_demand(
        self, backend: Lab, left: tuple[str, bytes], end: Callable[[Lab, Party], Awaitable[None]]
    ) -> None:
        name, data = left
        party = await backend.join(name)
        await end(backend, party)
        assert await backend.admin.get_or_none(SECRETS, keys.BINDER, namespace=party.namespace) is None

        async def refused() -> bool:
            return not await works(data, party.namespace)

        await eventually(refused, timeout=30)
