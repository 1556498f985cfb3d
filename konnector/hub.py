"""Bindings to sessions (design section 5).

The hub looks at all bindings and the Secrets with kubeconfigs, groups the bindings by the far cluster that they lead
to (a provider; in control plane mode the app cluster), and keeps one session per far cluster running: started, told of
changed bindings and rotated credentials, restarted with back-off when it fails, stopped when its last binding or its
Secret is gone. A cluster that fails never slows another one.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from bind_agent.aio.backoff import Backoff, Policy
from bind_agent.api import conditions, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.kube.errors import Forbidden
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.faults import describe
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.store import Entry
from konnector.clusters import Collection
from konnector.controllers.binding_status import BindingStatus
from konnector.mode import Place, invalid_secret
from konnector.secrets import Secrets
from konnector.session import ProviderSession
from konnector.sync import remedies

log = structlog.get_logger(__name__)

_KEY = "all"
_CONNECTING: Final = conditions.false(
    ConditionType.CONNECTED, Reason.PENDING, Severity.INFO, "the konnector is about to ask the provider"
)
_SETTLE_SECONDS = 0.02
_STEADY_SECONDS = 120.0
"""A session that ran so long begins with short pauses again when it fails."""
_PATIENCE_SECONDS = 5.0


@dataclass(slots=True)
class Wanted:
    """What one session should serve.

    Attributes:
        kubeconfig: how to reach the far cluster.
        bindings: keys of the bindings.
        secrets: the Secrets (``namespace/name``) that hold the kubeconfig.
    """

    kubeconfig: ProviderKubeconfig
    bindings: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)


class Hub:
    """All sessions of one konnector."""

    def __init__(self, place: Place) -> None:
        """Acquire the informers that the hub reads.

        Args:
            place: where the konnector runs.
        """
        self._place = place
        self._home = place.home
        self._bindings = self._follow(self._home.bindings)
        followed = {one: self._follow(one) for one in self._home.needed}
        self._needed = tuple(followed.values())
        self._secrets = Secrets(followed[one] for one in self._home.secrets)
        self.status = BindingStatus(self._home, self._bindings)
        self._sessions: dict[str, tuple[ProviderSession, asyncio.Task[None]]] = {}
        self._refused = 0
        self._controller = Controller("hub", self._reconcile, workers=1)

    def _follow(self, one: Collection) -> Informer:
        return self._home.pool.acquire(
            one.resource, namespace=one.namespace, field_selector=one.field_selector
        )

    @property
    def has_synced(self) -> bool:
        """Whether the hub knows all bindings, Secrets and what else is needed."""
        return all(informer.has_synced for informer in (self._bindings, *self._needed))

    @property
    def connected(self) -> bool:
        """Whether far clusters are reached, where nothing can be done without them."""
        if not self._place.far_is_needed:
            return True
        sessions = [session for session, _ in self._sessions.values()]
        return all(session.connected for session in sessions) and bool(sessions or not self._refused)

    async def run(self) -> None:
        """Serve until cancelled; all sessions end before this returns."""
        removers = [
            self._bindings.add_handler(self._on_event),
            self._secrets.add_handler(self._on_event),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self.status.controller.run(), name="binding-status")
                for informer in (self._bindings, *self._needed):
                    await self._know(informer)
                group.create_task(self._controller.run(), name="hub")
                self._controller.enqueue(_KEY)
        finally:
            self._sessions.clear()
            for remove in removers:
                remove()

    async def _know(self, informer: Informer) -> None:
        """Wait for a first complete list, and say meanwhile why there is none."""
        while not informer.has_synced:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await informer.wait_synced()
            except TimeoutError:
                if isinstance(informer.last_error, Forbidden):
                    message = remedies.lacking(
                        informer.last_error.message, self._home.roles, self._home.title
                    )
                    log.error("cannot start", error=message)  # noqa: TRY400
                    lacking = invalid_secret(Reason.PERMISSION_DENIED, message)
                    self.status.state(list(self._bindings.store), lacking)

    def _on_event(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        # A short pause lets a burst (start, rotation) end in one pass.
        self._controller.enqueue(_KEY, after=_SETTLE_SECONDS)

    async def _reconcile(self, _: str) -> None:
        wanted = self._wanted()
        for identity in [i for i in self._sessions if i not in wanted or self._sessions[i][1].done()]:
            ended = self._sessions.pop(identity)[1]
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
        for identity, want in wanted.items():
            if identity in self._sessions:
                self._sessions[identity][0].update(
                    want.kubeconfig, frozenset(want.bindings), frozenset(want.secrets)
                )
                continue
            session = ProviderSession(
                self._place,
                want.kubeconfig,
                bindings=self._bindings,
                secrets=self._secrets,
                status=self.status,
            )
            session.update(want.kubeconfig, frozenset(want.bindings), frozenset(want.secrets))
            task = self._group.create_task(_supervise(session), name=f"session-{identity[:8]}")
            self._sessions[identity] = (session, task)

    def _wanted(self) -> dict[str, Wanted]:
        wanted: dict[str, Wanted] = {}
        self._refused = 0
        for entry in self._bindings.store.entries():
            binding = entry.object()
            if meta.is_deleting(binding):
                continue
            found = self._place.destination(binding, self._secrets)
            if isinstance(found, Condition):
                self._refused += 1
                self.status.state([entry.key], found)
                continue
            self.status.state([entry.key], conditions.true(ConditionType.SECRET_VALID))
            if self.status.stated(entry.key, ConditionType.CONNECTED) is None:
                # A valid Secret alone would make the summary True before anything was looked at.
                self.status.state([entry.key], _CONNECTING)
            want = wanted.setdefault(found.kubeconfig.identity, Wanted(found.kubeconfig))
            want.bindings.add(entry.key)
            want.secrets.add(found.secret)
        return wanted


async def _supervise(session: ProviderSession) -> None:
    """Run a session, again with back-off when it fails: a bug or a broken provider stays its own problem."""
    backoff = Backoff(Policy(first=1.0, cap=60.0))
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await session.run()
        except* Exception as failures:
            # Not `exception`: the text in a traceback may quote content.
            log.error("session failed, starting it again", error=describe(failures))  # noqa: TRY400
        if loop.time() - started > _STEADY_SECONDS:
            backoff.reset()
        await asyncio.sleep(backoff.next())
