"""What a real API server says when it refuses: a missing right and a policy are told apart, content is not quoted."""

import base64
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
import pytest_asyncio
import yaml

from bind_agent.api.resource import CONFIGMAPS, SECRETS, SERVICEACCOUNTS, Resource
from bind_agent.devcluster import Cluster
from bind_agent.kube import errors
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.runtime.faults import describe
from tests.fakes.quoting_policy import quoting_policy

pytestmark = pytest.mark.integration

CANARY = "hunter2-canary"
VALUE = base64.b64encode(CANARY.encode()).decode()
REASONS = {
    "Forbidden": errors.Forbidden,
    "Invalid": errors.Invalid,
    "RequestEntityTooLarge": errors.PayloadTooLarge,
}


def thing(resource: Resource, name: str, data: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name},
        "data": data,
    }


@pytest_asyncio.fixture(loop_scope="session")
async def quoting(client: Client, namespace: str) -> AsyncIterator[None]:
    """A policy in the namespace that quotes what it refuses: the key `data` names the reason to give."""
    async with quoting_policy(
        client, namespace, [CONFIGMAPS, SECRETS], {reason: reason for reason in REASONS}
    ):
        yield


@pytest_asyncio.fixture(loop_scope="session")
async def nobody(client: Client, provider: Cluster, namespace: str) -> AsyncIterator[Client]:
    """A client of an account without rights."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}
    await client.create(SERVICEACCOUNTS, account, namespace=namespace)
    answer = await client.create_token(namespace, "nobody", expiration_seconds=600)
    text = provider.kubeconfig_for(token=answer["status"]["token"], namespace=namespace, user="nobody")
    async with Client.open(from_kubeconfig(yaml.safe_load(text)), user_agent="test") as other:
        yield other


def everything(error: errors.ApiError) -> str:
    return f"{error} {error!r} {error.message} {error.reason} {error.details} {error.args} {describe(error)}"


@pytest.mark.usefixtures("quoting")
@pytest.mark.parametrize("reason", REASONS)
async def test_a_policy_that_quotes_a_secret_is_not_quoted(
    client: Client, namespace: str, reason: str
) -> None:
    weak = thing(SECRETS, "weak", {reason: VALUE})
    with pytest.raises(REASONS[reason]) as caught:
        await client.create(SECRETS, weak, namespace=namespace)
    error = caught.value
    assert error.code in {403, 413, 422}
    assert CANARY not in everything(error)
    assert VALUE not in everything(error)
    if isinstance(error, errors.Forbidden):
        assert not error.missing_right
        assert f'refuses to create secrets in namespace "{namespace}"' in error.message
        assert "audit log and admission policies" in error.message
    # What the policy allows passes, also as a change of what is there.
    made = await client.create(
        SECRETS, thing(SECRETS, f"fine-{reason.lower()}", {"a": VALUE}), namespace=namespace
    )
    with pytest.raises(REASONS[reason]) as caught:
        await client.replace(SECRETS, {**made, "data": {reason: VALUE}})
    assert VALUE not in everything(caught.value)
    assert (await client.replace(SECRETS, {**made, "data": {"b": VALUE}}))["data"] == {"b": VALUE}


@pytest.mark.usefixtures("quoting")
async def test_words_about_other_kinds_are_kept_and_are_no_missing_right(
    client: Client, namespace: str
) -> None:
    with pytest.raises(errors.Forbidden, match="weak password: short") as caught:
        await client.create(CONFIGMAPS, thing(CONFIGMAPS, "a", {"Forbidden": "short"}), namespace=namespace)
    assert not caught.value.missing_right


async def test_a_missing_right_is_told_by_what_was_asked(nobody: Client, namespace: str) -> None:
    secret = thing(SECRETS, "db", {"password": VALUE})
    there = {**secret, "metadata": {"name": "db", "namespace": namespace, "resourceVersion": "1"}}
    calls: dict[str, Awaitable[Any]] = {
        "get": nobody.get(SECRETS, "db", namespace=namespace),
        "list": nobody.list(SECRETS, namespace=namespace),
        "watch": anext(nobody.watch(SECRETS, namespace=namespace)),
        "create": nobody.create(SECRETS, secret, namespace=namespace),
        "update": nobody.replace(SECRETS, there),
        "patch": nobody.merge_patch(SECRETS, "db", {"data": {"password": VALUE}}, namespace=namespace),
        "apply": nobody.apply(SECRETS, secret, namespace=namespace, field_manager="test"),
        "delete": nobody.delete(SECRETS, "db", namespace=namespace),
    }
    for verb, call in calls.items():
        with pytest.raises(errors.Forbidden) as caught:
            await call
        assert caught.value.missing_right, verb
        wanted = f'cannot {verb} secrets in namespace "{namespace}": no role allows it'
        assert (caught.value.message, caught.value.reason) == (wanted, "Forbidden")
        assert VALUE not in everything(caught.value)
    with pytest.raises(errors.Forbidden) as caught:
        await nobody.list(SECRETS)
    assert caught.value.message == "cannot list secrets: no role allows it"
    with pytest.raises(errors.Forbidden) as caught:
        await nobody.create_token(namespace, "nobody", expiration_seconds=600)
    assert caught.value.missing_right
    assert "cannot create serviceaccounts/token" in caught.value.message


async def test_a_missing_right_on_other_kinds_keeps_the_servers_words(
    nobody: Client, widgets: Resource, namespace: str
) -> None:
    for resource in (CONFIGMAPS, widgets):
        for call in (
            nobody.get(resource, "a", namespace=namespace),
            nobody.get(resource, "a", namespace=namespace, subresource="status"),
            nobody.list(resource),
        ):
            with pytest.raises(errors.Forbidden, match=r'nobody" cannot (get|list) resource') as caught:
                await call
            assert caught.value.missing_right
