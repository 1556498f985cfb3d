"""Executes the steps of a plan: one request per step, answers remembered, races told apart from refusals."""

import time
from collections.abc import Callable

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import (
    AbsenceUnproven,
    AlreadyExists,
    BadRequest,
    Conflict,
    Invalid,
    NotFound,
    PayloadTooLarge,
    ServerError,
)
from bind_agent.runtime.informer import Informer
from bind_agent.runtime.reconcile import Result
from konnector.sync import managed_fields, model, patches
from konnector.sync.brake import Brake
from konnector.sync.model import JsonPatch, Memory, Placement, Side, Step
from konnector.sync.recent import RecentWrites

BRAKE_RECHECK_SECONDS = 15.0
_BLANK = Memory()


class ReplanError(Exception):
    """A step changed what is known: plan again at once."""


class RefusedByServerError(Exception):
    """The other cluster does not take the content; only a change of the object helps."""


class Execution:
    """Carries out steps for the objects of one resource.

    Attributes:
        recent: own writes that the watch has not shown yet, per side.
    """

    def __init__(
        self,
        app: Client,
        provider: Client,
        resource: Resource,
        *,
        consumer: Informer,
        provider_informer: Callable[[Placement], Informer | None],
        brake: Brake,
        on_brake: Callable[[], None],
    ) -> None:
        """Work on one resource.

        Args:
            app: the app cluster.
            provider: the provider.
            resource: the bound resource.
            consumer: the app cluster's informer.
            provider_informer: the informer that shows the copy at a placement.
            brake: is asked before each deletion on the provider that nobody was seen to ask for.
            on_brake: called when the brake holds a deletion.
        """
        self._app = app
        self._provider = provider
        self._resource = resource
        self._consumer = consumer
        self._provider_informer = provider_informer
        self._brake = brake
        self._on_brake = on_brake
        self._memory: dict[str, Memory] = {}
        self.recent = {Side.CONSUMER: RecentWrites(), Side.PROVIDER: RecentWrites()}

    def memory(self, key: str) -> Memory:
        """What is remembered of one object."""
        return self._memory.get(key, _BLANK)

    def forget(self, key: str) -> None:
        """Drop the memory of an object that exists on neither side."""
        self._memory.pop(key, None)

    def keep(self, key: str) -> None:
        """Nothing asks for the deletion of the copy (any more): a deletion that the brake held is forgotten."""
        self._brake.withdraw(key)

    def read(self, key: str, placed: Placement | None) -> tuple[Object | None, Object | None]:
        """Both copies as they are known now: (consumer's, provider's)."""
        here = self._consumer
        consumer = self.recent[Side.CONSUMER].read(key, here.store.get(key), here.resource_version)
        informer = self._provider_informer(placed) if placed is not None else None
        if placed is None or informer is None:
            return consumer, None
        entry = informer.store.get(placed.provider_key)
        return consumer, self.recent[Side.PROVIDER].read(
            placed.provider_key, entry, informer.resource_version
        )

    async def execute(self, key: str, step: Step, placed: Placement) -> Result | None:
        """Execute one step.

        Args:
            key: key of the object on the app cluster.
            step: what to do.
            placed: where the copy lives.

        Returns:
            None to go on with the next step; a result ends the reconcile.

        Raises:
            ReplanError: what is known has changed.
            RefusedByServerError: the content is not taken.
            KubeError: anything else; the controller decides.
        """
        try:
            return await self._execute(key, step, placed)
        except AbsenceUnproven:
            raise
        except (Conflict, Invalid, NotFound) as error:
            # What was planned on is no longer true: believe the stores again.
            self.recent[Side.CONSUMER].forget(key)
            self.recent[Side.PROVIDER].forget(placed.provider_key)
            if isinstance(error, Invalid):
                if not patches.lost_race(error.code, error.details):
                    raise RefusedByServerError(f"the other cluster does not take it: {error}") from error
                raise ReplanError from error
            if isinstance(error, NotFound) and isinstance(
                step, model.ReleaseFinalizer | model.EnsureFinalizer
            ):
                # The object is gone, which its event will say: no copy is made of it any more.
                return Result()
            if isinstance(error, AlreadyExists):
                return None  # its event will come
            raise
        except (BadRequest, PayloadTooLarge, ServerError) as error:
            # What is stored in one cluster can be too large for the other: with our marks, or by its limits.
            if isinstance(error, ServerError) and "too large" not in error.message:
                raise
            raise RefusedByServerError(f"the other cluster does not take it: {error}") from error

    async def _execute(self, key: str, step: Step, placed: Placement) -> Result | None:
        namespace, name = meta.split_key(key)
        here = namespace or None
        there = placed.provider_namespace or None
        resource = self._resource
        match step:
            case model.EnsureFinalizer(patch=patch):
                answer = await self._app.merge_patch(resource, name, dict(patch), namespace=here)
                self._note_consumer(key, answer)
            case model.ReleaseFinalizer(patch=patch, uid=uid):
                answer = await self._app.merge_patch(resource, name, dict(patch), namespace=here)
                self._note_released(key, uid, answer)
            case model.ApplyProvider(object=desired):
                answer = await self._provider.apply(
                    resource, desired, field_manager=keys.FIELD_MANAGER, namespace=there
                )
                self._memory[key] = self.memory(key).after_apply(step, answer, time.monotonic())
                self._note_provider(placed, answer)
            case model.PatchConsumerStatus(patch=status, subresource=subresource):
                answer = await self._app.json_patch(
                    resource, name, as_list(status), namespace=here, subresource=subresource
                )
                self._memory[key] = self.memory(key).after_status(step, answer, time.monotonic())
                self._note_consumer(key, answer)
            case model.DeleteProvider(uid=uid):
                return await self._delete(key, placed, uid)
            case model.ConfirmAbsence(side=side, uid=uid):
                await self._confirm_absence(key, side, uid, placed)
            case model.MigrateManagedFields(uid=uid):
                live = await self._provider.get(resource, placed.provider_name, namespace=there)
                if meta.uid(live) != uid:
                    # Another object has taken the name since its marks were read.
                    self._note_provider(placed, live)
                    raise ReplanError
                if operations := [dict(op) for op in managed_fields.migration_patch(live)]:
                    await self._provider.json_patch(
                        resource, placed.provider_name, operations, namespace=there
                    )
            case model.Adopt(object=desired):
                self._note_consumer(key, await self._app.create(resource, desired, namespace=here))
                # The event shows an own write and so brings no plan: the copy is marked by the next one.
                raise ReplanError
        return None

    async def _delete(self, key: str, placed: Placement, uid: str) -> Result | None:
        source, _ = self.read(key, None)
        # Where the source itself is being deleted, somebody asked for it object by object.
        excused = source is not None and meta.is_deleting(source)
        total = len(self._consumer.store)
        if not self._brake.ask(key, total=total, now=time.monotonic(), excused=excused):
            if not self._brake.held:
                return Result(after=self._brake.rest)
            self._on_brake()
            return Result(after=BRAKE_RECHECK_SECONDS)
        answer = await self._provider.delete(
            self._resource,
            placed.provider_name,
            namespace=placed.provider_namespace or None,
            uid=uid,
            propagation="Background",
        )
        if answer is None or answer.get("kind") == "Status":
            # The server says that nothing holds it: it is gone now, no need to wait for the watch.
            self._provider_gone(key, placed, uid)
            raise ReplanError
        self._note_provider(placed, answer)
        return None

    async def _confirm_absence(self, key: str, side: Side, uid: str, placed: Placement) -> None:
        """Absence counts only when observed: ask the server itself (design 4.3)."""
        if side is Side.CONSUMER:
            namespace, name = meta.split_key(key)
            live = await self._app.get_or_none(self._resource, name, namespace=namespace or None)
            if live is not None and (not uid or meta.uid(live) == uid):
                self._note_consumer(key, live)
                raise ReplanError
            return
        live = await self._provider.get_or_none(
            self._resource, placed.provider_name, namespace=placed.provider_namespace or None
        )
        if live is not None:
            self._note_provider(placed, live)
            raise ReplanError
        informer = self._provider_informer(placed)
        seen = informer.store.get(placed.provider_key) if informer is not None else None
        self._provider_gone(key, placed, seen.uid if seen is not None else "")

    def _provider_gone(self, key: str, placed: Placement, uid: str) -> None:
        informer = self._provider_informer(placed)
        seen = informer.store.get(placed.provider_key) if informer is not None else None
        self.recent[Side.PROVIDER].gone(placed.provider_key, uid, seen)
        self._memory[key] = self.memory(key).after_gone()

    def _note_released(self, key: str, uid: str, answer: Object) -> None:
        self.forget(key)
        if meta.is_deleting(answer) and not meta.finalizers(answer):
            # Nothing else held it: with this write the object is gone, and the answer has no version of its own.
            self.recent[Side.CONSUMER].gone(key, uid, self._consumer.store.get(key))
        else:
            self._note_consumer(key, answer)

    def _note_consumer(self, key: str, answer: Object) -> None:
        informer = self._consumer
        self.recent[Side.CONSUMER].remember(key, answer, informer.store.get(key), informer.resource_version)

    def _note_provider(self, placed: Placement, answer: Object) -> None:
        informer = self._provider_informer(placed)
        if informer is not None:
            key = placed.provider_key
            self.recent[Side.PROVIDER].remember(
                key, answer, informer.store.get(key), informer.resource_version
            )


def side_of(step: Step) -> Side:
    """The cluster that a step makes its request to."""
    match step:
        case model.ConfirmAbsence(side=side):
            return side
        case model.ApplyProvider() | model.DeleteProvider() | model.MigrateManagedFields():
            return Side.PROVIDER
    return Side.CONSUMER


def as_list(patch: JsonPatch) -> list[Object]:
    """A JSON patch in the shape that the client sends."""
    return [dict(operation) for operation in patch]
