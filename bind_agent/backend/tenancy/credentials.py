"""Issuing, rotating and retiring the credential of a tenant: the shell around `rotation`.

Everything happens inside the tenant's namespace, with rights that the backend has there and nowhere else
(ClusterRole `klutch-bind-backend-tenant`). No token is ever logged; the objects that carry one are never put
into a message.
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api import conditions, keys, meta
from bind_agent.api.encoding import to_base64
from bind_agent.api.meta import Object
from bind_agent.api.resource import SECRETS, SERVICEACCOUNTS
from bind_agent.backend.tenancy import kubeconfig, rotation
from bind_agent.backend.tenancy.address import AddressError, Endpoint
from bind_agent.backend.tenancy.directory import TenancyError
from bind_agent.backend.tenancy.rotation import Credential
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AbsenceUnproven, AlreadyExists, Conflict, MalformedAnswer, NotFound

log = structlog.get_logger(__name__)

DEFAULT_TTL: Final = timedelta(days=7)
"""Renewed at half of it, so an app cluster that was off for a long weekend still comes back by itself."""

SHORTEST_TTL: Final = timedelta(minutes=10)
LONGEST_TTL: Final = timedelta(days=365)

REVOKED_WITHIN: Final = timedelta(seconds=10)
"""How long a token that has been ended is still honoured at most: API servers remember the verdict on a token
for ten seconds, and nobody can make them forget. Watches that are open are a matter of their own, see
docs/backend.md."""

_ATTEMPTS: Final = 4


class TooManyCredentials(TenancyError):  # noqa: N818 - says what is the case
    """Too many earlier credentials still work for another one to be added.

    Attributes:
        again: when rotating is possible again.
    """

    def __init__(self, namespace: str, again: datetime) -> None:
        super().__init__(
            f"{rotation.MOST_RETIRING} earlier credentials of {namespace} still work: rotate again after"
            f" {conditions.timestamp(again)}, or with --now, which ends all of them"
        )
        self.again = again


@dataclass(frozen=True, slots=True)
class Kept:
    """A tenant's credential after it was looked after.

    Attributes:
        state: what is in force.
        written: whether a new one was issued.
        after: when to look again.
    """

    state: Credential
    written: bool
    after: timedelta


class Credentials:
    """Keeps the Secret `kubeconfig` of tenants."""

    def __init__(
        self,
        client: Client,
        *,
        ttl: timedelta = DEFAULT_TTL,
        endpoint: Endpoint | AddressError,
        demanded: bool = False,
        clock: Clock = SYSTEM,
    ) -> None:
        """Set up.

        Args:
            client: of the provider cluster.
            ttl: wished life of tokens.
            endpoint: what a new kubeconfig says, or why that is not known. A tenant that has a kubeconfig
                keeps its endpoint then.
            demanded: the endpoint was given by flags, so kubeconfigs with another one are replaced.
            clock: for wall-clock times.
        """
        self._client = client
        self._ttl = ttl
        self._endpoint = endpoint
        self._demanded = endpoint if demanded and isinstance(endpoint, Endpoint) else None
        self._clock = clock
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def look(self, namespace: str, secret: str) -> Credential:
        """What the Secret says; nothing is issued or retired.

        Raises:
            KubeError: the request failed.
        """
        return rotation.read(await self._client.get_or_none(SECRETS, secret, namespace=namespace))

    async def keep(self, namespace: str, secret: str) -> Kept:
        """Issue when due, retire when due; otherwise one GET.

        A login and the controllers want the same of a new tenant at the same time; they take turns, so that one
        token is issued. Other replicas are met by the API server (Conflict).

        Args:
            namespace: the tenant's.
            secret: name of the Secret in the ClusterBinding.

        Raises:
            AddressError: there is no kubeconfig yet, and what it should say is not known.
            KubeError: a request failed; Conflict when somebody else was faster.
        """
        async with self._turns.setdefault(namespace, asyncio.Lock()):
            return await self._keep(namespace, secret)

    async def _keep(self, namespace: str, secret: str) -> Kept:
        present = await self._client.get_or_none(SECRETS, secret, namespace=namespace)
        state = rotation.read(present)
        plan = rotation.plan(state, namespace=namespace, wanted=self._demanded, now=self._clock.now())
        if plan.issue:
            log.info("issuing a credential", namespace=namespace, why=plan.issue)
            state = await self._issue(namespace, secret, present, state, old_until=None)
            return Kept(state, written=True, after=timedelta(0))
        if plan.retire:
            state = await self._retire(namespace, secret, present or {}, state, plan.retire)
        return Kept(state, written=False, after=plan.after)

    async def rotate(self, namespace: str, secret: str, *, overlap: timedelta) -> Credential:
        """Issue a new one now.

        Args:
            namespace: the tenant's.
            secret: name of the Secret in the ClusterBinding.
            overlap: how long the old one goes on working; zero ends it before this returns.

        Raises:
            TooManyCredentials: with the old one, too many would work; never without overlap.
            AddressError: there is no kubeconfig yet, and what it should say is not known.
            KubeError: a request failed.
        """
        for attempt in range(_ATTEMPTS):
            present = await self._client.get_or_none(SECRETS, secret, namespace=namespace)
            state = rotation.read(present)
            now = self._clock.now()
            if overlap > timedelta(0) and (again := rotation.rotation_possible(state, now)) is not None:
                raise TooManyCredentials(namespace, again)
            until = now + overlap
            try:
                state = await self._issue(namespace, secret, present, state, old_until=until)
                if overlap > timedelta(0):
                    return state
                fresh = await self._client.get(SECRETS, secret, namespace=namespace)
                doomed = tuple(old.generation for old in state.retiring)
                state = await self._retire(namespace, secret, fresh, rotation.read(fresh), doomed)
            except Conflict:
                if attempt + 1 == _ATTEMPTS:
                    raise
            else:
                return state
        raise AssertionError("unreachable")

    async def destroy(self, namespace: str, secret: str, *, only_if: Callable[[], Awaitable[bool]]) -> bool:
        """End every credential that was ever issued for the tenant, and remove what carries one.

        Tokens name the UID of their service account, so all of them end with it, whoever holds them. It takes turns
        with `keep`: what a login issues after it was let in again is not met.

        Args:
            namespace: the tenant's.
            secret: name of the Secret in the ClusterBinding.
            only_if: asked when the turn has come; nothing is done when it says no.

        Returns:
            Whether it was done.

        Raises:
            KubeError: a request failed; what is left ends by calling this again.
        """
        async with self._turns.setdefault(namespace, asyncio.Lock()):
            if not await only_if():
                return False
            await self._destroy(namespace, secret)
            return True

    async def _destroy(self, namespace: str, secret: str) -> None:
        await self._client.delete(SERVICEACCOUNTS, keys.BINDER, namespace=namespace)
        state = rotation.read(await self._client.get_or_none(SECRETS, secret, namespace=namespace))
        for generation in sorted({state.generation, *(old.generation for old in state.retiring)} - {0}):
            await self._client.delete(SECRETS, rotation.token_secret(generation), namespace=namespace)
        await self._client.delete(SECRETS, keys.BINDER, namespace=namespace)
        await self._client.delete(SECRETS, secret, namespace=namespace)

    async def _issue(
        self,
        namespace: str,
        secret: str,
        present: Mapping[str, Any] | None,
        state: Credential,
        *,
        old_until: datetime | None,
    ) -> Credential:
        endpoint = self._endpoint_for(state)
        fresh = await self._account(namespace)
        generation = state.generation + 1
        anchor = await self._anchor(namespace, rotation.token_secret(generation))
        now = self._clock.now()
        answer = await self._client.create_token(
            namespace,
            keys.BINDER,
            expiration_seconds=int(self._ttl.total_seconds()),
            bound_object={
                "apiVersion": SECRETS.api_version,
                "kind": SECRETS.kind,
                "name": meta.name(anchor),
                "uid": meta.uid(anchor),
            },
        )
        expires = rotation.parse_time(str(answer["status"]["expirationTimestamp"]))
        if expires is None or expires <= now:
            raise MalformedAnswer("the API server issued a token without a usable expiry")
        issued = kubeconfig.Issued(endpoint, namespace, str(answer["status"]["token"]))
        following = rotation.succeed(
            state,
            issued,
            expires=expires,
            renew=rotation.renew_at(now, expires, namespace),
            old_until=old_until,
            # A token of a Go backend ends with its account, so beside a new account there is none.
            go_token=not fresh
            and await self._client.get_or_none(SECRETS, keys.BINDER, namespace=namespace) is not None,
        )
        await self._write(namespace, secret, present, following)
        log.info("credential issued", namespace=namespace, generation=generation, expires=expires.isoformat())
        return following

    def _endpoint_for(self, state: Credential) -> Endpoint:
        if self._demanded is None and state.issued is not None:
            return state.issued.endpoint
        if isinstance(self._endpoint, AddressError):
            raise self._endpoint
        return self._endpoint

    async def _account(self, namespace: str) -> bool:
        """See to the service account; whether it is new."""
        account = {
            "apiVersion": SERVICEACCOUNTS.api_version,
            "kind": SERVICEACCOUNTS.kind,
            "metadata": {"name": keys.BINDER, "namespace": namespace},
            # Nothing runs under this account.
            "automountServiceAccountToken": False,
        }
        try:
            await self._client.create(SERVICEACCOUNTS, account, namespace=namespace)
        except AlreadyExists:
            return False
        return True

    async def _anchor(self, namespace: str, name: str) -> Object:
        """The Secret that a token is bound to; one that a broken attempt left is used again."""
        wanted = _secret(namespace, name, labels={keys.MANAGED_BY: keys.MANAGER})
        try:
            return await self._client.create(SECRETS, wanted, namespace=namespace)
        except AlreadyExists:
            return await self._client.get(SECRETS, name, namespace=namespace)

    async def _write(
        self, namespace: str, secret: str, present: Mapping[str, Any] | None, state: Credential
    ) -> None:
        if state.issued is None:
            raise AssertionError("only an issued credential is written")
        data = {keys.KUBECONFIG: to_base64(kubeconfig.render(state.issued))}
        marks = rotation.annotations(state)
        if present is None:
            wanted = _secret(namespace, secret, annotations=marks, data=data)
            await self._client.create(SECRETS, wanted, namespace=namespace)
            return
        metadata = {**meta.metadata(present), "annotations": {**meta.annotations(present), **marks}}
        await self._client.replace(
            SECRETS, {**present, "metadata": metadata, "data": data}, namespace=namespace
        )

    async def _retire(
        self,
        namespace: str,
        secret: str,
        present: Mapping[str, Any],
        state: Credential,
        generations: tuple[int, ...],
    ) -> Credential:
        # The Secrets first: a record without its Secret is harmless, a forgotten token is not.
        for generation in generations:
            await self._client.delete(SECRETS, rotation.token_secret(generation), namespace=namespace)
            log.info("credential retired", namespace=namespace, generation=generation)
        following = rotation.forget(state, generations)
        metadata = {
            **meta.metadata(present),
            "annotations": {**meta.annotations(present), **rotation.annotations(following)},
        }
        try:
            await self._client.replace(SECRETS, {**present, "metadata": metadata}, namespace=namespace)
        except AbsenceUnproven:
            raise
        except NotFound:
            log.info("the kubeconfig Secret was deleted meanwhile", namespace=namespace, secret_name=secret)
        return following


def _secret(
    namespace: str,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
) -> Object:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    found: Object = {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": metadata,
        "type": "Opaque",
    }
    return {**found, "data": dict(data)} if data else found
