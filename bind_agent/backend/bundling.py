"""A bundle for a tenant: ask for its APIs in its place, and list what its app cluster has to hold.

The requests are made with the tenant's own credential over the own way to the API server. So the backend needs no
right to create them, and a tenant gets in this way what it may have and nothing more.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bind_agent import claim_flag
from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api import conditions, consumer_side, guards, keys, meta
from bind_agent.api.acceptance import Acceptance, AcceptanceError, UnknownKindError, settle
from bind_agent.api.bundle import BoundApi, Credential, bundle
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.decoding import decode
from bind_agent.api.export import Export
from bind_agent.api.export_request import FAILED, SUCCEEDED
from bind_agent.api.meta import Object
from bind_agent.api.resource import EXPORT_REQUESTS, EXPORTS
from bind_agent.api.text import printable
from bind_agent.api.validation import InvalidObject
from bind_agent.backend.access import Kind
from bind_agent.backend.tenancy.provision import TenancyError
from bind_agent.kube import credentials
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.errors import AlreadyExists, Conflict, Forbidden, KubeError
from bind_agent.kube.intake import IntakeError, ProviderKubeconfig, accept_kubeconfig
from bind_agent.manifests import binding_crd, konnector_manifests

_POLL: Final = 0.5
_SETTLE: Final = 30.0
"""Seconds in which a refusal may pass: authorizers learn of a new tenant's rights a moment later."""

_FAREWELL: Final = 5.0
"""Seconds for withdrawing a request: whoever interrupts a command does not wait for long."""

_LOOKS: Final = 2
"""Looks in a row that have to find no export: at the time of one, somebody else may be asking anew."""


class BundleError(TenancyError):
    """There is no bundle; the message says why, and what to do."""


class AnswersError(BundleError):
    """What was said about the claims does not fit them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a bundle is to hold.

    Attributes:
        apis: the APIs to bind.
        acceptance: which claims are accepted; None is enough where there are none.
        conflict_policy: of the bindings; empty for none.
        image: of the konnector; empty leaves the konnector out.
        secret: name of the Secret with the kubeconfig; empty for one that follows from provider and tenant.
        with_secret: whether the Secret is in it, or only referred to.
        timeout: seconds until the exports have to be there.
        claimable: group resources that may be claimed; the konnector in it is told the same.
    """

    apis: tuple[Kind, ...]
    acceptance: Acceptance | None = None
    conflict_policy: str = ""
    image: str = ""
    secret: str = ""
    with_secret: bool = True
    timeout: float = 120.0
    claimable: frozenset[str] = guards.CLAIMABLE


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle.

    Attributes:
        objects: what is to be applied.
        apis: the APIs, with what was decided about their claims.
    """

    objects: list[Object]
    apis: tuple[BoundApi, ...]


async def make(config: ClusterConfig, kubeconfig: bytes, wish: Wish, *, clock: Clock = SYSTEM) -> Made:
    """Ask for the APIs and make the bundle.

    Args:
        config: the own way to the provider's API server.
        kubeconfig: the tenant's, as it was issued.
        wish: what the bundle is to hold.
        clock: for the wait.

    Raises:
        AnswersError: the acceptance lists what nothing claims.
        BundleError: an API was refused or not answered in time, or its claims are not settled. Exports that were
            made stay; asking again goes on from there.
        KubeError: a request failed.
    """
    try:
        tenant = accept_kubeconfig(kubeconfig, allow_loopback=True)
    except IntakeError as error:
        raise BundleError(f"the tenant's kubeconfig cannot be put into a bundle: {error}") from None
    own = replace(config, credential=credentials.Credential(token=tenant.token), namespace=tenant.namespace)
    async with Client.open(own, user_agent=user_agent("backend")) as client:
        asking = _Asking(client, tenant.namespace, clock, clock.monotonic() + wish.timeout)
        try:
            for kind in wish.apis:
                await asking.request(kind)
            offers = {kind: await asking.claims(kind) for kind in wish.apis}
            apis = settled(offers, wish)
        except BaseException:
            # Ctrl-C above all: a request that nobody waits for would be granted all the same.
            await asking.withdraw()
            raise
    return Made(objects(tenant, wish, apis), apis)


def objects(tenant: ProviderKubeconfig, wish: Wish, apis: Sequence[BoundApi]) -> list[Object]:
    """The bundle's objects, once the claims are settled (pure)."""
    credential = Credential(
        secret=wish.secret or consumer_side.secret_name(tenant.server, tenant.namespace),
        document=tenant.document() if wish.with_secret else None,
    )
    arguments = claim_flag.arguments(wish.claimable)
    konnector = [*konnector_manifests(wish.image, arguments), binding_crd()] if wish.image else []
    return bundle(apis, credential, konnector=konnector)


def settled(offers: Mapping[Kind, Sequence[PermissionClaim]], wish: Wish) -> tuple[BoundApi, ...]:
    """The APIs with their claims decided (pure).

    Raises:
        BundleError: they cannot be settled as asked.
    """
    claimed = {claim.group_resource for claims in offers.values() for claim in claims}
    try:
        return tuple(
            BoundApi(
                kind.group,
                kind.plural,
                settle(offered, wish.acceptance, api=str(kind), allowed=wish.claimable, elsewhere=claimed),
                wish.conflict_policy,
            )
            for kind, offered in offers.items()
        )
    except UnknownKindError as error:
        raise AnswersError(str(error)) from None
    except AcceptanceError as error:
        raise BundleError(str(error)) from None


class _Asking:
    """Requests of one tenant, and their answers."""

    def __init__(self, client: Client, namespace: str, clock: Clock, deadline: float) -> None:
        self._client = client
        self._namespace = namespace
        self._clock = clock
        self._deadline = deadline
        self._started = clock.monotonic()
        self._created: dict[str, str] = {}

    async def request(self, kind: Kind) -> None:
        """Ask for an API, or take up an unanswered or answered request for it."""
        wanted = {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_EXPORT_REQUEST,
            "metadata": {"name": str(kind), "namespace": self._namespace},
            "spec": {"resources": [{"group": kind.group, "resource": kind.plural}]},
        }
        while True:
            try:
                created = await self._client.create(EXPORT_REQUESTS, wanted, namespace=self._namespace)
            except AlreadyExists:
                if await self._taken_up(kind):
                    return
            except Forbidden:
                if self._clock.monotonic() - self._started > _SETTLE:
                    raise
            else:
                self._created[str(kind)] = meta.uid(created)
                return
            await self._pause(f"{kind}: the request cannot be made")

    async def withdraw(self) -> None:
        """Remove the requests that were made here, as far as the provider can be reached."""
        for name, uid in self._created.items():
            with contextlib.suppress(KubeError, TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    await self._client.delete(EXPORT_REQUESTS, name, namespace=self._namespace, uid=uid)

    async def _taken_up(self, kind: Kind) -> bool:
        """Whether a request of that name is one to wait for; a failed one is removed, so that it is asked anew."""
        found = await self._client.get_or_none(EXPORT_REQUESTS, str(kind), namespace=self._namespace)
        if found is None:
            return False
        if _phase(found) != FAILED and not meta.is_deleting(found):
            return True
        with contextlib.suppress(Conflict):
            await self._client.delete(
                EXPORT_REQUESTS, str(kind), namespace=self._namespace, uid=meta.uid(found)
            )
        return False

    async def claims(self, kind: Kind) -> tuple[PermissionClaim, ...]:
        """Wait for the answer to the request for an API, and return the claims of its export.

        Raises:
            BundleError: it was refused, or there is no export in time, or there is none that could come.
        """
        said = "no backend has answered; is one running?"
        missing = 0
        while True:
            request = await self._client.get_or_none(EXPORT_REQUESTS, str(kind), namespace=self._namespace)
            if request is not None and _phase(request) == FAILED:
                raise BundleError(f"{kind} is refused: {_terminal(request)}")
            if request is None or _phase(request) == SUCCEEDED:
                export = await self._export(kind)
                if export is not None:
                    return export.spec.permission_claims
                # The export stands before the answer does, so what is not there now will not come.
                missing += 1
                if missing >= _LOOKS:
                    raise BundleError(f"{kind}: {self._gone(kind, request)}")
                said = "the request was answered, and there is no export"
            else:
                missing = 0
                said = _waiting_for(request) or said
            await self._pause(f"{kind}: {said}")

    async def _export(self, kind: Kind) -> Export | None:
        found = await self._client.get_or_none(EXPORTS, str(kind), namespace=self._namespace)
        if found is None:
            return None
        try:
            export = decode(Export, found)
        except InvalidObject as error:
            raise BundleError(str(error)) from None
        if meta.is_deleting(found):
            raise BundleError(
                f"{kind}: its export is being deleted, and so is what a bundle of it would bind: wait until it is"
                " gone, or see which finalizer holds it, then repeat this"
            )
        return export

    def _gone(self, kind: Kind, request: Object | None) -> str:
        """Why an export that is missing cannot come, and what to do."""
        if request is None:
            return "its request was removed, and there is no export: repeat this, which asks anew"
        return (
            "the request was answered earlier, and its export has been removed since: remove the request as well"
            f" (kubectl delete {EXPORT_REQUESTS.group_resource} -n {self._namespace} {kind}) and repeat this; an"
            f" export that was retired also takes `bind-backend export restore {kind}`"
        )

    async def _pause(self, why: str) -> None:
        if self._clock.monotonic() > self._deadline:
            raise BundleError(f"{why}; repeat this when the cause is gone")
        await self._clock.sleep(_POLL)


def _phase(request: Object) -> str:
    return str((request.get("status") or {}).get("phase") or "")


def _terminal(request: Object) -> str:
    return printable((request.get("status") or {}).get("terminalMessage") or "no reason given", 400)


def _waiting_for(request: Object) -> str:
    """What a pending request says about itself."""
    said = [one.get("message") for one in conditions.of(request) if one.get("status") == "False"]
    return next((printable(message, 300) for message in said if message), "")
