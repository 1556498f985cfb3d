"""The operator's way to its cluster: one configuration for our client and for kopf."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import kopf

from bind_agent.devcluster.demo import names
from bind_agent.kube.client import Client
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import resolve

#: After this time kopf asks again, so that a rotated token is taken up before the old one ends.
_LIFETIME: Final = timedelta(minutes=10)


def login(client: Client, load: Callable[[], ClusterConfig]) -> Callable[..., Awaitable[kopf.ConnectionInfo]]:
    """Make the handler by which kopf gets its connection.

    Each login reads the configuration again and passes it to our client too.

    Args:
        client: takes over a credential that has changed.
        load: reads the configuration.
    """

    async def handler(**_: Any) -> kopf.ConnectionInfo:
        config = await asyncio.to_thread(load)
        client.update_credential(config)
        material = await resolve(config.credential, server=config.server, ca_pem=config.ca_pem)
        return kopf.ConnectionInfo(
            server=config.server,
            ca_data=config.ca_pem,
            insecure=config.insecure_skip_tls_verify,
            proxy_url=config.proxy or None,
            token=material.token or None,
            certificate_data=material.certificate or None,
            private_key_data=material.key or None,
            expiration=datetime.now(UTC) + _LIFETIME,
        )

    return handler


async def wait_for_api(
    client: Client, *, poll: float = 2.0, waiting: Callable[[], None] = lambda: None
) -> None:
    """Wait until the cluster serves the API; kopf would overlook one that comes later.

    Args:
        client: of the cluster.
        poll: seconds between two looks.
        waiting: called once when there is something to wait for.
    """
    first = True
    while await client.discovery.find(names.GROUP, names.PLURAL, names.VERSION) is None:
        if first:
            waiting()
        first = False
        await asyncio.sleep(poll)
        client.discovery.invalidate(names.GROUP)
