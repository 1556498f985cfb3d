"""What is watched for single AppClusterBindings: their kubeconfig Secret, and what stands in their root namespace.

Each watch is as narrow as the API allows: one Secret, by its name; one namespace. So the backend never sees another
Secret, and needs no right on Secrets, roles or Deployments in all namespaces. A watch lives as long as its
AppClusterBinding.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import DEPLOYMENTS, NETWORKPOLICIES, ROLES, SECRETS, SERVICEACCOUNTS, Resource
from bind_agent.backend.controlplane import working_plan
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.kube.errors import ConnectionFailed, Forbidden, KubeError
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.store import Entry
from bind_agent.runtime.transform import strip

_FOLLOWED: Final = (SECRETS, SERVICEACCOUNTS, ROLES, NETWORKPOLICIES, DEPLOYMENTS)
_PATIENCE: Final = 10.0
_POLL: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Held:
    """One informer and the handler on it."""

    informer: Informer
    remove: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Root:
    """What stands in a root namespace, complete.

    Attributes:
        mirror: the mirrored Secret.
        account: the konnector's ServiceAccount.
        role: Role `control-plane-connector`.
        network_policy: NetworkPolicy `konnector`.
        deployment: the konnector's Deployment.
    """

    mirror: Object | None
    account: Object | None
    role: Object | None
    network_policy: Object | None
    deployment: Object | None


class Watches:
    """The watches of all AppClusterBindings, by their keys."""

    def __init__(self, pool: InformerPool, enqueue: Callable[[str, int], None]) -> None:
        """Nothing is watched yet.

        Args:
            pool: entered.
            enqueue: called with key and priority when something changed.
        """
        self._pool = pool
        self._enqueue = enqueue
        self._sources: dict[str, tuple[tuple[str, str], _Held]] = {}
        self._roots: dict[str, tuple[tuple[str, ...], tuple[_Held, ...]]] = {}

    async def source(self, wanted: Wanted) -> Object | None:
        """The kubeconfig Secret; None when it does not exist.

        Raises:
            Forbidden: the backend may not read it.
            KubeError: it could not be read in time.
        """
        place = (wanted.secret_namespace, wanted.secret)
        known = self._sources.get(wanted.key)
        if known is None or known[0] != place:
            # Another place: the AppClusterBinding was deleted and created again with another reference.
            self.leave_source(wanted.key)
            known = self._sources[wanted.key] = (place, self._follow(wanted.key, SECRETS, *place))
        informer = known[1].informer
        await _complete(informer)
        if isinstance(informer.last_error, Forbidden):
            # The right was withdrawn: what is known may be old.
            raise informer.last_error
        return _object(informer, f"{place[0]}/{place[1]}")

    async def root(self, wanted: Wanted) -> Root:
        """What stands in the root namespace; the backend has to have its rights there.

        Raises:
            KubeError: it could not be read in time.
        """
        names = (
            wanted.secret,
            keys.BINDER,
            keys.CONTROL_PLANE_CONNECTOR,
            keys.KONNECTOR,
            wanted.deployment,
        )
        known = self._roots.get(wanted.key)
        if known is None or known[0] != names:
            self.leave_root(wanted.key)
            followed = tuple(
                self._follow(wanted.key, resource, wanted.root, name)
                for resource, name in zip(_FOLLOWED, names, strict=True)
            )
            known = self._roots[wanted.key] = (names, followed)
        held = known[1]
        for one in held:
            await _complete(one.informer)
        found = [
            _object(one.informer, f"{wanted.root}/{name}") for one, name in zip(held, names, strict=True)
        ]
        return Root(*found)

    def leave_root(self, key: str) -> None:
        """Stop watching a root namespace: it is going, and the rights there with it."""
        known = self._roots.pop(key, None)
        for held in known[1] if known is not None else ():
            self._release(held)

    def leave_source(self, key: str) -> None:
        """Stop watching the kubeconfig Secret."""
        known = self._sources.pop(key, None)
        if known is not None:
            self._release(known[1])

    def forget(self, key: str) -> None:
        """Stop all watches of an AppClusterBinding."""
        self.leave_root(key)
        self.leave_source(key)

    def close(self) -> None:
        """Stop all watches."""
        for key in {*self._sources, *self._roots}:
            self.forget(key)

    def follows_source(self, wanted: Wanted) -> bool:
        """Whether the kubeconfig Secret of an AppClusterBinding is watched already."""
        known = self._sources.get(wanted.key)
        return known is not None and known[0] == (wanted.secret_namespace, wanted.secret)

    def _follow(self, key: str, resource: Resource, namespace: str, name: str) -> _Held:
        informer = self._pool.acquire(
            resource, namespace=namespace, field_selector=f"metadata.name={name}", transform=_kept
        )

        def handle(event: Event, old: Entry | None, new: Entry | None) -> None:
            if old is None or new is None or old.digest != new.digest:
                self._enqueue(key, informer.priority)

        return _Held(informer, informer.add_handler(handle))

    def _release(self, held: _Held) -> None:
        held.remove()
        self._pool.release(held.informer)


def _kept(obj: Object) -> Object:
    """What is kept: of the status only whether a Deployment is available, not how many of its pods."""
    kept = {field: value for field, value in strip(obj).items() if field != "status"}
    return kept | ({"status": working_plan.availability(obj)} if obj.get("kind") == DEPLOYMENTS.kind else {})


async def _complete(informer: Informer) -> None:
    """Wait for the first list, or for the reason why there is none."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE
    while not informer.has_synced:
        error = informer.last_error
        if isinstance(error, Forbidden):
            raise error
        if loop.time() > end:
            raise error if isinstance(error, KubeError) else ConnectionFailed("no list arrived in time")
        await asyncio.sleep(_POLL)


def _object(informer: Informer, key: str) -> Object | None:
    entry = informer.store.get(key)
    return None if entry is None else entry.object()
