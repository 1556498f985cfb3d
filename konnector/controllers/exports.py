"""Starts and stops the sync of each exported resource, and reports on the export (spec 6.6.4).

A resource is synced while its export, its established CRD and its binding exist. A changed version, scope or status
subresource replaces the running sync by a new one on the same informers; changed claims replace only the claims.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import structlog

from bind_agent.api import keys, meta
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.meta import Object
from bind_agent.api.resource import EXPORTS, NAMESPACES
from bind_agent.kube.errors import Conflict
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.faults import describe
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.status import write_status
from bind_agent.runtime.store import Entry
from konnector.clusters import AppCluster, Provider
from konnector.controllers import access, retirement
from konnector.controllers.binding_status import BindingStatus
from konnector.controllers.brakes import Brakes
from konnector.controllers.claims import Claims
from konnector.controllers.crds import CrdWatches
from konnector.controllers.export_status import export_status
from konnector.controllers.shape import Shape, choose_binding, shape_of
from konnector.controllers.troubles import Followed, Trouble
from konnector.sync.model import Policy
from konnector.sync.namespaces import ServiceNamespaces
from konnector.sync.objects import ObjectSync, Tenant
from konnector.sync.pacing import Pacing
from konnector.sync.recent import RecentWrites
from konnector.sync.reports import Reports

log = structlog.get_logger(__name__)

_MIRRORED: Final = {
    ConditionType.RETIRING: retirement.mirrored,
    ConditionType.ACCESS_GRANTED: access.mirrored,
}


class Exports:
    """The running syncs of one provider session. A context manager that gives its informers back."""

    def __init__(
        self,
        app: AppCluster,
        provider: Provider,
        exports: Informer,
        bindings: Informer,
        mapping: ServiceNamespaces,
        *,
        served: Callable[[], frozenset[str]],
        status: BindingStatus,
    ) -> None:
        """Follow exports, bindings and CRDs.

        Args:
            app: the app cluster.
            provider: the provider.
            exports: informer of the tenant's exports.
            bindings: informer of all bindings.
            mapping: consumer namespaces to service namespaces.
            served: keys of the bindings of this session.
            status: where conditions of bindings are stated.
        """
        self._app = app
        self._provider = provider
        self._exports = exports
        self._bindings = bindings
        self._mapping = mapping
        self._served = served
        self._status = status
        self._recent = RecentWrites()
        self._crds = CrdWatches(app.pool, lambda name, _: self.controller.enqueue(name))
        self._removers: list[Callable[[], None]] = []
        self._running: dict[str, tuple[Shape, ObjectSync, asyncio.Task[None]]] = {}
        self._namespace_uid = ""
        self._brakes = Brakes(status)
        self._generations: dict[str, tuple[int, int]] = {}
        self._pacing = Pacing()
        self.claims = Claims(
            app,
            provider,
            mapping,
            status,
            bindings=self._served_bindings,
            alone=self._is_alone,
            pacing=self._pacing,
        )
        self.controller = Controller("exports", self._reconcile, workers=1)

    def __enter__(self) -> "Exports":
        """Start following."""
        self._removers = [
            self._exports.add_handler(self._on_export),
            self._bindings.add_handler(self._on_binding),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop following."""
        for remove in self._removers:
            remove()
        self._crds.close()

    async def run(self) -> None:
        """Serve until cancelled; the syncs end with it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self.claims.run(), name="claims")
            group.create_task(self.controller.run(), name="exports")

    def followed(self, name: str) -> Iterator[Followed]:
        """The watches that the sync of one export depends on, those of its claims included."""
        if name in self._running:
            yield from (Followed(*pair) for pair in self._running[name][1].followed())
        yield from self.claims.followed(name)

    def hindrances(self, name: str) -> Iterator[Trouble]:
        """What holds up the objects of one export as a whole, those of its claims included."""
        if name in self._running and (found := self._running[name][1].reports.hindrance):
            yield Trouble(*found)
        yield from self.claims.hindrances(name)

    def recheck(self) -> None:
        """Look again at what is refused, because its cause may be gone."""
        for _, sync, _ in self._running.values():
            sync.recheck(sync.reports.refused)
        self.claims.recheck()

    def _on_export(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        if entry is not None:
            self.controller.enqueue(meta.split_key(entry.key)[1])

    def _on_binding(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        if entry is not None and entry.key in self._served():
            self.controller.enqueue(meta.split_key(entry.key)[1])

    def _bindings_of(self, name: str) -> dict[str, Object]:
        """The served bindings of that name by key: where bindings are namespaced there can be several."""
        return {meta.key(found): found for found in self._served_bindings() if meta.name(found) == name}

    def _served_bindings(self) -> list[Object]:
        entries = (self._bindings.store.get(key) for key in self._served())
        return [entry.object() for entry in entries if entry is not None]

    def _is_alone(self) -> bool:
        """Whether all bindings of the app cluster lead to this provider.

        In control plane mode there may be others, which are bound elsewhere: that is never known.
        """
        return not self._app.control_plane and self._served().issuperset(self._bindings.store)

    async def _reconcile(self, name: str) -> None:
        export_key = meta.join_key(self._provider.namespace, name)
        export_entry = self._exports.store.get(export_key)
        bindings = self._bindings_of(name)
        self._crds.keep(meta.split_key(key)[1] for key in self._served())
        crd_entry = self._crds.watch(name).store.get(name) if bindings else None
        export = (
            self._recent.read(export_key, export_entry, self._exports.resource_version)
            if export_entry
            else None
        )
        binding_key, binding, crd = choose_binding(
            bindings, crd_entry.object() if crd_entry else None, control_plane=self._app.control_plane
        )
        shape = shape_of(export, binding, crd) if export and binding and crd else None
        if binding is not None and binding_key is not None:
            self._follow_brake(name, binding_key, meta.annotation(binding, keys.RESUME))
        await self._ensure_running(name, shape)
        self._follow_schema(name, export, crd)
        if shape is not None and export is not None and binding is not None and binding_key is not None:
            self.claims.update(name, binding_key, export, binding)
        else:
            self.claims.remove(name)
        if export is not None:
            for key, bound in bindings.items():
                self._follow_provider(key, bound, export)
            desired = export_status(export, binding, crd, now=datetime.now(UTC))
            try:
                answer = await write_status(self._provider.client, EXPORTS, export, desired)
            except Conflict:
                self._recent.forget(export_key)
                raise
            self._recent.remember(export_key, answer, export_entry, self._exports.resource_version)

    async def _ensure_running(self, name: str, shape: Shape | None) -> None:
        running = self._running.get(name)
        if running is not None and (running[0] != shape or running[2].done()):
            log.info("stopping the sync", resource=name)
            running[2].cancel()
            await asyncio.gather(running[2], return_exceptions=True)
            del self._running[name]
            running = None
        if running is not None or shape is None:
            return
        if not self._namespace_uid:
            self._namespace_uid = meta.uid(
                await self._provider.client.get(NAMESPACES, self._provider.namespace)
            )
        log.info("starting the sync", resource=str(shape.resource), cluster_wide=shape.cluster_wide)
        sync = ObjectSync(
            self._app,
            Tenant(self._provider.copies, self._provider.pool, self._provider.namespace, self._namespace_uid),
            self._mapping,
            shape.resource,
            Policy(
                cluster_id=self._app.cluster_id,
                adopt=self._app.options.adopt or shape.take_over,
                take_over=shape.take_over,
                status_subresource=shape.status_subresource,
                paused=shape.paused,
            ),
            cluster_wide=shape.cluster_wide,
            brake=self._brakes[name],
            on_brake=lambda: self.controller.enqueue(name),
            reports=Reports(self._app.recorder, shape.resource.group_resource),
            pacing=self._pacing,
        )
        self._running[name] = (
            shape,
            sync,
            self._group.create_task(self._sync(name, sync), name=f"sync-{name}"),
        )

    def _follow_schema(self, name: str, export: Object | None, crd: Object | None) -> None:
        """Have a running sync look again at everything when the schema changed on either side."""
        generations = (meta.generation(crd or {}), meta.generation(export or {}))
        if name in self._running and self._generations.get(name, generations) != generations:
            self._running[name][1].refresh()
        self._generations[name] = generations

    def _follow_brake(self, name: str, binding_key: str, resume: str) -> None:
        """See ``Brakes.follow``; to be called before a sync is started, which asks the brake."""
        news = self._brakes.follow(name, binding_key, resume, now=time.monotonic())
        if name in self._running:
            self._running[name][1].recheck(news.approved)
        if news.look_again:
            self.controller.enqueue(name, after=news.look_again)

    def _follow_provider(self, binding_key: str, binding: Object, export: Object) -> None:
        """Show on a binding what its provider says about the export: that it ends, that rights are missing."""
        for condition_type, mirrored in _MIRRORED.items():
            stated = self._status.stated(binding_key, condition_type)
            wanted = mirrored(export, stated)
            if wanted is None or wanted == stated:
                continue
            self._status.state([binding_key], wanted)
            if wanted.reason:
                self._app.recorder.event(
                    binding, type="Warning", reason=wanted.reason, message=wanted.message
                )

    async def _sync(self, name: str, sync: ObjectSync) -> None:
        """A sync that fails is its own problem: it is started again, the others go on."""
        try:
            await sync.run()
        except* Exception as failures:
            # Not `exception`: the text in a traceback may quote content.
            log.error(  # noqa: TRY400
                "the sync failed, starting it again", resource=name, error=describe(failures)
            )
            self.controller.enqueue(name, after=5.0)
