"""Bindings to provider sessions (design section 5).

The hub looks at all bindings and the Secrets that they name, groups the bindings by provider, and keeps one session
per provider running: started, told of changed bindings and rotated credentials, restarted with back-off when it
fails, stopped when its last binding or its Secret is gone. A provider that fails never slows another one.
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from bind_agent.aio.backoff import Backoff, Policy
from bind_agent.api import conditions, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import NAMESPACES, SECRETS
from bind_agent.kube.errors import Forbidden
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.kube.intake_fields import IntakeError
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.store import Entry
from konnector.appcluster import AppCluster
from konnector.controllers.binding_status import BindingStatus, secret_ref
from konnector.controllers.heartbeat import kubeconfig_of
from konnector.session import ProviderSession
from konnector.sync import remedies

log = structlog.get_logger(__name__)

_KEY = "all"
_SETTLE_SECONDS = 0.02
_STEADY_SECONDS = 120.0
"""A session that ran so long begins with short pauses again when it fails."""
_PATIENCE_SECONDS = 5.0


@dataclass(slots=True)
class Wanted:
    """What one provider session should serve.

    Attributes:
        kubeconfig: how to reach the provider.
        bindings: keys of the bindings.
        secrets: the Secrets (``namespace/name``) that hold the kubeconfig.
    """

    kubeconfig: ProviderKubeconfig
    bindings: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)


class Hub:
    """All provider sessions of one konnector."""

    def __init__(self, app: AppCluster) -> None:
        """Acquire the informers that the hub reads.

        Args:
            app: the app cluster.
        """
        self._app = app
        self._bindings: Informer = app.pool.acquire(app.bindings)
        self._secrets: Informer = app.pool.acquire(SECRETS, namespace=app.options.secret_namespace)
        self._namespaces: Informer = app.pool.acquire(NAMESPACES)
        self.status = BindingStatus(app, self._bindings)
        self._sessions: dict[str, tuple[ProviderSession, asyncio.Task[None]]] = {}
        self._controller = Controller("hub", self._reconcile, workers=1)

    @property
    def has_synced(self) -> bool:
        """Whether the hub knows all bindings and Secrets."""
        return self._bindings.has_synced and self._secrets.has_synced and self._namespaces.has_synced

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
                for informer in (self._bindings, self._secrets, self._namespaces):
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
                    message = (
                        f"the konnector lacks a right on the app cluster: {informer.last_error.message}; "
                        f"{remedies.BASE_ROLES}"
                    )
                    log.error("cannot start", error=message)  # noqa: TRY400
                    lacking = _invalid(Reason.PERMISSION_DENIED, message)
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
                self._app,
                want.kubeconfig,
                bindings=self._bindings,
                secrets=self._secrets,
                namespaces=self._namespaces,
                status=self.status,
            )
            session.update(want.kubeconfig, frozenset(want.bindings), frozenset(want.secrets))
            task = self._group.create_task(_supervise(session), name=f"session-{identity[:8]}")
            self._sessions[identity] = (session, task)

    def _wanted(self) -> dict[str, Wanted]:
        wanted: dict[str, Wanted] = {}
        for entry in self._bindings.store.entries():
            binding = entry.object()
            if meta.is_deleting(binding):
                continue
            secret_key, verdict = self._intake(binding)
            if isinstance(verdict, Condition):
                self.status.state([entry.key], verdict)
                continue
            self.status.state([entry.key], conditions.true(ConditionType.SECRET_VALID))
            want = wanted.setdefault(verdict.identity, Wanted(verdict))
            want.bindings.add(entry.key)
            want.secrets.add(secret_key)
        return wanted

    def _intake(self, binding: Object) -> tuple[str, ProviderKubeconfig | Condition]:
        secret_key, _ = secret_ref(binding)
        namespace, name = meta.split_key(secret_key)
        if namespace != self._app.options.secret_namespace:
            return secret_key, _invalid(
                Reason.KUBECONFIG_SECRET_INVALID,
                f"the Secret must be in namespace {self._app.options.secret_namespace}, not in {namespace!r}: "
                "whoever may create a binding must not be able to point the konnector at other Secrets",
            )
        entry = self._secrets.store.get(secret_key)
        if entry is None:
            return secret_key, _invalid(
                Reason.KUBECONFIG_SECRET_NOT_FOUND,
                f"Secret {name} is missing in namespace {namespace}; bind again",
            )
        try:
            kubeconfig = self._app.accept(kubeconfig_of(entry.object()))
        except IntakeError as error:
            return secret_key, _invalid(Reason.KUBECONFIG_SECRET_INVALID, str(error))
        return secret_key, kubeconfig


async def _supervise(session: ProviderSession) -> None:
    """Run a session, again with back-off when it fails: a bug or a broken provider stays its own problem."""
    backoff = Backoff(Policy(first=1.0, cap=60.0))
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await session.run()
        except* Exception as failures:
            log.exception(
                "provider session failed, starting it again",
                errors=[f"{type(e).__name__}: {e}" for e in failures.exceptions],
            )
        if loop.time() - started > _STEADY_SECONDS:
            backoff.reset()
        await asyncio.sleep(backoff.next())


def _invalid(reason: str, message: str) -> Condition:
    return conditions.false(ConditionType.SECRET_VALID, reason, Severity.ERROR, message)
