"""Whether the app cluster behind a kubeconfig is still the one whose identity copies are marked with.

A konnector in control plane mode sees its app cluster from afar. Behind the same address and CA there can be another
cluster one day: built anew, or restored from somewhere else. To the old identity all objects of that cluster look
deleted, and its namespaces too; what the konnector would do about that destroys data. So nothing that follows from the
app cluster is written to the provider while there is a doubt, and a cluster that turns out to be another one ends the
session: the next one marks with the new identity, to which the old copies are foreign and stay as they are.
"""

import asyncio

import structlog

from bind_agent.aio.backoff import Backoff, Policy
from bind_agent.api import identity as identities
from bind_agent.api import meta
from bind_agent.api.resource import NAMESPACES
from bind_agent.kube.client import Client
from bind_agent.kube.errors import KubeError, NotFound

log = structlog.get_logger(__name__)


class DoubtfulError(KubeError):
    """Nothing is written, because it is not certain which app cluster it would be for; that passes."""


class UnidentifiedError(KubeError):
    """The app cluster has nothing that says who it is; the message says what to do."""


class ExchangedError(Exception):
    """The app cluster is another one than before."""


class Guard:
    """Certainty about one app cluster; without any at first."""

    def __init__(self) -> None:
        """Begin in doubt."""
        self._sure = False
        self._doubted = asyncio.Event()
        self._again = asyncio.Event()

    @property
    def sure(self) -> bool:
        """Whether there is no doubt at this moment."""
        return self._sure

    def check(self) -> None:
        """To be called before each write that follows from what the app cluster holds.

        Raises:
            DoubtfulError: there is a doubt.
        """
        if not self._sure:
            raise DoubtfulError("the app cluster has to be asked again who it is, before anything is written")

    def doubt(self) -> None:
        """The connection was lost, or the credential is a new one: it may be another cluster from now on."""
        self._sure = False
        self._doubted.set()
        self._again.set()

    async def watch(self, client: Client, identity: str) -> None:
        """Resolve each doubt, until cancelled.

        Args:
            client: of the app cluster.
            identity: that it had at first.

        Raises:
            ExchangedError: it has another one now.
        """
        self._sure = not self._doubted.is_set()
        while True:
            await self._doubted.wait()
            self._doubted.clear()
            await self._ask(client, identity)
            # A doubt that came while asking is one about the answer.
            self._sure = not self._doubted.is_set()

    async def _ask(self, client: Client, identity: str) -> None:
        backoff = Backoff(Policy(first=0.5, cap=5.0))
        while True:
            self._again.clear()
            try:
                found = await cluster_identity(client)
            except KubeError as error:
                log.debug("cannot ask the app cluster again who it is", error=str(error))
                wait = backoff.next()
            else:
                if found == identity:
                    return
                raise ExchangedError(
                    f"behind {client.config.server} is another cluster than before: {found} instead of "
                    f"{identity}"
                )
            try:
                async with asyncio.timeout(wait):
                    await self._again.wait()
            except TimeoutError:
                continue


async def cluster_identity(client: Client) -> str:
    """Who the app cluster is: the UID of the first namespace that can tell (``bind_agent.api.identity``).

    Only what the server says is absent is passed over: another failure must not lead to another identity.

    Raises:
        UnidentifiedError: there is no such namespace.
        KubeError: one cannot be read.
    """
    for name in identities.IDENTITY_NAMESPACES:
        try:
            return meta.uid(await client.get(NAMESPACES, name))
        except NotFound:
            continue
    raise UnidentifiedError(f"{identities.MISSING}; {identities.REMEDY}")
