"""Who the backend is, and what it may do: asked of the API server, never assumed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cachetools import LRUCache

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.aio.singleflight import SingleFlight
from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.backend.access import HeldRights
from bind_agent.backend.tenancy.rotation import parse_time
from bind_agent.kube.client import Client

_SELF: Final = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", namespaced=False, kind="SelfSubjectReview"
)
_RULES: Final = Resource(
    "authorization.k8s.io", "v1", "selfsubjectrulesreviews", namespaced=False, kind="SelfSubjectRulesReview"
)
_NOWHERE: Final = "klutch-bind-no-such-namespace"
"""A rules review is about one namespace. In one that does not exist, no RoleBinding adds to what is held."""

_FRESH: Final = 2.0
"""Seconds for which an answer is used again: a burst of exports asks once."""

_REMEMBERED: Final = 16_384
"""Tenants in whose namespaces our access was seen to work."""

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Account:
    """Who the API server takes us for.

    Attributes:
        username: as in its logs.
    """

    username: str

    @property
    def service_account(self) -> tuple[str, str] | None:
        """Namespace and name, when it is a service account."""
        if not self.username.startswith(_SERVICE_ACCOUNT):
            return None
        namespace, _, name = self.username.removeprefix(_SERVICE_ACCOUNT).partition(":")
        return (namespace, name) if namespace and name else None


class Rights:
    """What the backend may do, with a short memory.

    Attributes:
        reached: by namespace of a tenant, UID of our own binding there that has come into force; logins and
            controllers share it.
        edition: counts how often it was said that rights may have changed.
    """

    def __init__(self, client: Client, *, clock: Clock = SYSTEM) -> None:
        """Nothing is asked before it is needed."""
        self._client = client
        self._clock = clock
        self._flight: SingleFlight[str, HeldRights] = SingleFlight()
        self._held: HeldRights | None = None
        self._asked = 0.0
        self._account: Account | None = None
        self.reached: LRUCache[str, str] = LRUCache(maxsize=_REMEMBERED)
        self.edition = 0
        self._naming: SingleFlight[str, Account] = SingleFlight()

    async def account(self) -> Account:
        """Who we are; asked once.

        Raises:
            KubeError: the server could not be asked.
        """
        if self._account is None:
            self._account = await self._naming.do("account", self._who)
        return self._account

    async def held(self) -> HeldRights:
        """What we may do in every namespace; at most two seconds old.

        Raises:
            KubeError: the server could not be asked.
        """
        if self._held is not None and self._clock.monotonic() - self._asked < _FRESH:
            return self._held
        return await self._flight.do("held", self._ask)

    def forget(self) -> None:
        """The server refused something that the memory allows."""
        self._held = None

    def changed(self) -> None:
        """Somebody changed roles: whoever waits for rights looks often again."""
        self.edition += 1
        self.forget()

    async def may(self, verb: str, resource: Resource, *, namespace: str = "", name: str = "") -> bool:
        """Whether one request would pass.

        Raises:
            KubeError: the server could not be asked.
        """
        review = await self._client.can_i(
            verb=verb, group=resource.group, resource=resource.plural, namespace=namespace, name=name
        )
        return review.allowed

    async def server_time(self) -> datetime | None:
        """What time it is for the API server, in whole seconds; None when its answer does not say.

        Raises:
            KubeError: the server could not be asked.
        """
        return parse_time(meta.creation_timestamp(await self._review()))

    async def _review(self) -> Object:
        return await self._client.create(_SELF, {"apiVersion": _SELF.api_version, "kind": _SELF.kind})

    async def _who(self) -> Account:
        answer = await self._review()
        username = _at(answer, "status", "userInfo", "username")
        return Account(username if isinstance(username, str) else "")

    async def _ask(self) -> HeldRights:
        question = {"apiVersion": _RULES.api_version, "kind": _RULES.kind, "spec": {"namespace": _NOWHERE}}
        answer = await self._client.create(_RULES, question)
        rules = _at(answer, "status", "resourceRules")
        self._held = HeldRights(
            rules=tuple(rule for rule in rules if isinstance(rule, dict)) if isinstance(rules, list) else (),
            complete=_at(answer, "status", "incomplete") is not True,
        )
        self._asked = self._clock.monotonic()
        return self._held


def _at(answer: object, *path: str) -> Any:
    for part in path:
        answer = answer.get(part) if isinstance(answer, dict) else None
    return answer
