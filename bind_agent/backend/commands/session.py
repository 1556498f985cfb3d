"""One short-lived connection to the provider for a command, and its errors as sentences."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import click

from bind_agent.backend.grants import NameTaken
from bind_agent.backend.options.connection import Connection
from bind_agent.backend.options.tenancy import Tenancy
from bind_agent.backend.retiring import RetiringError
from bind_agent.backend.rights import Rights
from bind_agent.backend.serve import endpoint_of
from bind_agent.backend.tenancy.address import AddressError, Endpoint
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.identity import IdentityError
from bind_agent.backend.tenancy.provision import TenancyError, Tenants
from bind_agent.handout import HandoutError
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import load
from bind_agent.kube.errors import Forbidden, KubeError, NotFound, Unauthorized
from bind_agent.obs import logging

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """What a command works with.

    Attributes:
        client: of the provider cluster.
        tenants: its tenants.
        endpoint: what new kubeconfigs say, or why that is not known.
    """

    client: Client
    tenants: Tenants
    endpoint: Endpoint | AddressError


def run(connection: Connection, tenancy: Tenancy, work: Callable[[Session], Awaitable[T]]) -> T:
    """Connect, work, disconnect.

    Args:
        connection: how to connect.
        tenancy: flags about tenants.
        work: what to do.

    Raises:
        click.ClickException: it failed; the message says what to do next.
    """
    logging.setup(_quiet(connection.log_level), form="auto")
    try:
        return asyncio.run(_run(connection, tenancy, work))
    except (TenancyError, IdentityError, AddressError, HandoutError, NameTaken, RetiringError) as error:
        raise click.ClickException(str(error)) from None
    except KubeError as error:
        raise click.ClickException(_sentence(error)) from None


async def _run(connection: Connection, tenancy: Tenancy, work: Callable[[Session], Awaitable[T]]) -> T:
    config = load(connection.kubeconfig)
    endpoint = endpoint_of(config, tenancy)
    async with Client.open(config, user_agent=user_agent("backend")) as client:
        credentials = Credentials(
            client, ttl=tenancy.token_ttl, endpoint=endpoint, demanded=bool(tenancy.external.address)
        )
        tenants = Tenants(client, Rights(client), credentials, legacy_issuer=tenancy.legacy_issuer)
        return await work(Session(client, tenants, endpoint))


def _quiet(level: str) -> str:
    """A command's output is for people; progress of the log shows only when asked for."""
    return "warning" if level == "info" else level


def _sentence(error: KubeError) -> str:
    match error:
        case Unauthorized():
            return f"the provider does not accept this credential ({error.message}): use another --kubeconfig"
        case Forbidden():
            return (
                f"the provider refuses: {error.message}; use a kubeconfig with the rights of"
                " manifests/backend, or run"
                " this in the backend's pod"
            )
        case NotFound():
            return f"{error.message}; are the CRDs installed? `kubectl apply -k manifests/crds`"
    return str(error)
