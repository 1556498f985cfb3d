"""Exports to CRDs of the app cluster (spec 6.6.3, design 4.6): written only when different, never over another owner.

The decision is pure (``konnector.schema``); this shell reads and writes, and has ``schema_status`` say how it stands.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from types import TracebackType

import structlog

from bind_agent.api import meta
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.meta import Object
from bind_agent.api.resource import CRDS
from bind_agent.kube.errors import ApiError, Conflict, Forbidden, Invalid
from bind_agent.runtime.controller import Controller, Result
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.store import Entry
from konnector.clusters import AppCluster
from konnector.controllers.binding_status import BindingStatus
from konnector.controllers.crds import CrdWatches
from konnector.controllers.schema_status import SchemaStatus
from konnector.controllers.stored import may_have_objects
from konnector.schema import compare as gate
from konnector.schema import consent, owner
from konnector.schema.crd import SchemaError, desired_crd
from konnector.sync import remedies
from konnector.sync.recent import RecentWrites

log = structlog.get_logger(__name__)

FIELD_MANAGER = "konnector"
_FORBIDDEN_RETRY_SECONDS = 15.0
_LOOK_SECONDS = 5.0
"""A CRD that is not known after so long is asked for in vain."""


class Schemas:
    """Brings the exports of one provider to the app cluster. A context manager that gives its informers back."""

    def __init__(
        self,
        app: AppCluster,
        exports: Informer,
        bindings: Informer,
        cluster_namespace: str,
        *,
        served: Callable[[], frozenset[str]],
        status: BindingStatus,
        pretty_name: Callable[[], str],
    ) -> None:
        """Follow exports and bindings.

        Args:
            app: the app cluster.
            exports: informer of the tenant's exports.
            bindings: informer of all bindings.
            cluster_namespace: the tenant's namespace.
            served: keys of the bindings of this session.
            status: where conditions of bindings are stated.
            pretty_name: the provider's display name.
        """
        self._app = app
        self._exports = exports
        self._bindings = bindings
        self._cluster_namespace = cluster_namespace
        self._served = served
        self._status = status
        self._pretty_name = pretty_name
        self._recent = RecentWrites()
        self._said = SchemaStatus(status, control_plane=bool(app.control_plane))
        self._crds = CrdWatches(app.pool, self._on_crd)
        self._removers: list[Callable[[], None]] = []
        self.controller = Controller("schema", self._reconcile, workers=4)

    def __enter__(self) -> "Schemas":
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

    def _on_export(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        if entry is not None:
            self._enqueue_name(meta.split_key(entry.key)[1])

    def _on_binding(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        if new is not None and old is not None and not _asks_anew(old, new):
            return
        entry = new or old
        if entry is not None and entry.key in self._served():
            self.controller.enqueue(entry.key)

    def _on_crd(self, name: str, deleted: bool) -> None:
        if deleted:
            self._recent.forget(name)  # else our last write would pass for the CRD for ever
        self._enqueue_name(name)

    def _enqueue_name(self, name: str) -> None:
        for key in self._served():
            if meta.split_key(key)[1] == name:
                self.controller.enqueue(key)

    async def _crd(self, name: str) -> Informer:
        """The informer of that one CRD, once it knows whether it exists."""
        self._crds.keep(meta.split_key(key)[1] for key in self._served())
        informer = self._crds.watch(name)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await informer.wait_synced()
        except TimeoutError:
            if informer.last_error is None:
                raise
            raise informer.last_error from None
        return informer

    async def _reconcile(self, key: str) -> Result | None:
        entry = self._bindings.store.get(key)
        if entry is None or key not in self._served():
            self._said.forget(key)
            return None
        binding = entry.object()
        name = meta.name(binding)
        self._status.state_provider(key, self._pretty_name())
        export = self._exports.store.get(meta.join_key(self._cluster_namespace, name))
        if export is None:
            self._said.disconnected(
                key, Reason.EXPORT_NOT_FOUND, f"the provider has no export {name} for this tenant"
            )
            return None
        try:
            desired = desired_crd(export.object(), binding, control_plane=self._app.control_plane)
        except SchemaError as error:
            self._said.disconnected(key, error.reason, error.message)
            return None
        try:
            informer = await self._crd(name)
            existing = self._recent.read(name, informer.store.get(name), informer.resource_version)
            return await self._write(key, binding, existing, desired)
        except Forbidden as error:
            self._said.disconnected(
                key,
                Reason.PERMISSION_DENIED,
                remedies.lacking(error.message, self._app.roles),
            )
            return Result(after=_FORBIDDEN_RETRY_SECONDS)

    async def _write(
        self, key: str, binding: Object, existing: Object | None, desired: Object
    ) -> Result | None:
        name = meta.name(desired)
        verdict = await self._verdict(existing, desired, consent.given(binding))
        match verdict:
            case gate.Create(object=crd):
                log.info("creating the CRD", crd=name)
                request = self._app.client.create(CRDS, crd, field_manager=FIELD_MANAGER)
                return await self._send(key, request, creating=True)
            case gate.Update(object=crd):
                log.info("updating the CRD", crd=name)
                return await self._send(key, self._app.client.replace(CRDS, crd), creating=False)
            case gate.Held():
                return self._said.held(key, verdict, binding, existing or {})
            case gate.Foreign(message=message):
                self._said.disconnected(key, Reason.FOREIGN_CRD, message)
            case gate.Unchanged():
                return self._said.in_place(key, existing or {})
        return None

    async def _verdict(self, existing: Object | None, desired: Object, given: str) -> gate.Verdict:
        """What is to be done; the app cluster is asked for objects only where these decide."""
        judge = functools.partial(
            gate.compare, existing, desired, old_owner_exists=self._owner_exists(existing), consent=given
        )
        verdict = judge()
        if (
            existing is None
            or not isinstance(verdict, gate.Held)
            or await may_have_objects(self._app.client, existing)
        ):
            return verdict
        return judge(has_objects=False)

    async def _send(self, key: str, request: Awaitable[Object], *, creating: bool) -> Result | None:
        name = meta.split_key(key)[1]
        try:
            answer = await request
        except Invalid as error:
            reason = Reason.CRD_CREATE_FAILED if creating else Reason.CRD_UPDATE_FAILED
            self._said.disconnected(key, reason, error.message)
            return None
        except Conflict:
            self._recent.forget(name)
            raise
        except Forbidden:
            raise
        except ApiError as error:
            reason = Reason.CRD_CREATE_FAILED if creating else Reason.CRD_UPDATE_FAILED
            self._said.disconnected(key, reason, error.message)
            raise
        informer = self._crds.watch(name)
        self._recent.remember(name, answer, informer.store.get(name), informer.resource_version)
        return self._said.in_place(key, answer)

    def _owner_exists(self, existing: Object | None) -> bool:
        """Whether a binding that an existing CRD names is still there."""
        if existing is None:
            return False
        owners = owner.owner_uids(existing)
        return any(entry.uid in owners for entry in self._bindings.store.entries())


def _asks_anew(old: Entry, new: Entry) -> bool:
    """Whether more changed of a binding than its status, which we write ourselves, and what this module never reads."""
    return new.generation != old.generation or consent.given(new.object()) != consent.given(old.object())
