"""Objects as tables want them, and a small model of two API servers that executes the steps of plans.

The model keeps what the decisions rely on (see ``konnector.sync.patches``): resource versions that change
only with content, UIDs, server-side apply by one manager with its locks, merge and JSON patches,
finalizers that keep a deleted object, preconditions of deletes.
"""

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from konnector.sync import claim_model, copies, model
from konnector.sync.model import Memory, Placement, Policy, Side

CLUSTER_ID = "kube-system-uid"
CNS = "cluster-abc12"
PLACEMENT = Placement("shop/db", f"{CNS}-shop", "db", CNS, "cns-uid")
CLUSTER_SCOPED = Placement("db", "", f"{CNS}-db", CNS, "cns-uid", cluster_scoped=True)
POLICY = Policy(CLUSTER_ID)


class Conflict(Exception):  # noqa: N818 - named like the refusal of a server
    """The server refuses: the object is not what the request takes it for."""


def thing(
    key: str = "shop/db",
    *,
    uid: str = "consumer-uid",
    version: str = "10",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    finalizers: Iterable[str] = (),
    deleting: bool = False,
    **body: Any,
) -> Object:
    """A bound object as a server gives it; ``body`` are its top-level fields."""
    namespace, name = meta.split_key(key)
    metadata: Object = {"name": name, "uid": uid, "resourceVersion": version}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"apiVersion": "mangodb.com/v1", "kind": "MangoDB", "metadata": metadata, **body}


def guarded(key: str = "shop/db", **fields: Any) -> Object:
    """A consumer object with finalizer and bound mark."""
    annotations = {**fields.pop("annotations", {}), keys.BOUND: keys.TRUE}
    finalizers = [*fields.pop("finalizers", []), keys.SYNCER_FINALIZER]
    return thing(key, annotations=annotations, finalizers=finalizers, **fields)


def copy_of(
    consumer: Object,
    placement: Placement = PLACEMENT,
    policy: Policy = POLICY,
    *,
    uid: str = "provider-uid",
    version: str = "70",
    deleting: bool = False,
    finalizers: Iterable[str] = (),
    **body: Any,
) -> Object:
    """The provider's copy as it is after an apply; ``body`` replaces or adds top-level fields."""
    desired, _ = copies.provider_copy(consumer, placement, policy)
    made = copy.deepcopy(desired)
    made["metadata"] |= {"uid": uid, "resourceVersion": version}
    if finalizers:
        made["metadata"]["finalizers"] = list(finalizers)
    if deleting:
        made["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {**made, **body}


def marked(obj: Object, **changes: str | None) -> Object:
    """The object with annotations changed; names are those of ``keys``, None removes."""
    changed = copy.deepcopy(obj)
    annotations = dict(meta.annotations(changed))
    for name, value in changes.items():
        key = getattr(keys, name)
        annotations.pop(key, None)
        if value is not None:
            annotations[key] = value
    changed["metadata"]["annotations"] = annotations
    return changed


def kinds(steps: Iterable[object]) -> list[str]:
    """Names of the steps, for tables."""
    return [type(step).__name__ for step in steps]


class FakeServer:
    """One API server with objects of one kind."""

    def __init__(self, prefix: str) -> None:
        self.objects: dict[str, Object] = {}
        self.writes = 0
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._applied: dict[str, Object] = {}

    def get(self, key: str) -> Object | None:
        found = self.objects.get(key)
        return copy.deepcopy(found) if found is not None else None

    def put(self, key: str, obj: Mapping[str, Any]) -> Object:
        """Create the object, or replace it under the lock that it carries."""
        new = copy.deepcopy(dict(obj))
        old = self.objects.get(key)
        given = meta.metadata(new)
        self._check(old, given.get("uid"), given.get("resourceVersion"))
        new["metadata"] = {
            **given,
            "uid": meta.uid(old) if old else f"{self._prefix}-{next(self._numbers)}",
        }
        return self._store(key, new)

    def create(self, key: str, obj: Mapping[str, Any]) -> Object:
        if key in self.objects:
            raise Conflict(key)
        return self.put(key, obj)

    def edit(self, key: str, change: Callable[[Object], object]) -> Object:
        """A write by somebody else."""
        obj = copy.deepcopy(self.objects[key])
        change(obj)
        return self._store(key, obj)

    def apply(self, key: str, config: Mapping[str, Any]) -> Object:
        """Server-side apply by our manager, forced: sets what is said, removes what is no longer said."""
        old = self.objects.get(key)
        given = meta.metadata(config)
        self._check(old, given.get("uid"), given.get("resourceVersion"), applying=True)
        said = copy.deepcopy(dict(config))
        said["metadata"] = {k: v for k, v in said["metadata"].items() if k not in {"uid", "resourceVersion"}}
        before = self._applied.get(key, {}) if old else {}
        merged = _merge(copy.deepcopy(old) if old else {}, before, said)
        self._applied[key] = said
        if old is None:
            merged["metadata"]["uid"] = f"{self._prefix}-{next(self._numbers)}"
        return self._store(key, merged)

    def merge_patch(self, key: str, patch: Mapping[str, Any]) -> Object:
        old = self._existing(key)
        given = meta.metadata(patch)
        self._check(old, given.get("uid"), given.get("resourceVersion"))
        return self._store(key, _merge_patch(copy.deepcopy(old), patch))

    def json_patch(self, key: str, patch: Iterable[Mapping[str, Any]]) -> Object:
        obj = copy.deepcopy(self._existing(key))
        for operation in patch:
            _operate(obj, operation)
        return self._store(key, obj)

    def delete(self, key: str, uid: str, resource_version: str = "") -> Object | None:
        """Returns None when the object is gone at once."""
        old = self._existing(key)
        self._check(old, uid, resource_version or None)
        if not meta.finalizers(old):
            del self.objects[key]
            self.writes += 1
            return None
        if meta.is_deleting(old):
            return old
        return self.edit(key, lambda o: o["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"))

    def _existing(self, key: str) -> Object:
        if key not in self.objects:
            raise Conflict(f"{key} is gone")
        return self.objects[key]

    @staticmethod
    def _check(old: Object | None, uid: Any, version: Any, *, applying: bool = False) -> None:
        if old is None:
            if uid or (version and not applying):
                raise Conflict("gone")
            return
        if (uid and uid != meta.uid(old)) or (version and version != meta.resource_version(old)):
            raise Conflict("changed")

    def _store(self, key: str, new: Object) -> Object:
        old = self.objects.get(key)
        new["metadata"].pop("resourceVersion", None)
        if old is not None:
            same = {**old, "metadata": {k: v for k, v in old["metadata"].items() if k != "resourceVersion"}}
            if same == new:
                new["metadata"]["resourceVersion"] = meta.resource_version(old)
                return copy.deepcopy(new)
        self.writes += 1
        new["metadata"]["resourceVersion"] = str(100 + next(self._numbers))
        if meta.is_deleting(new) and not meta.finalizers(new):
            self.objects.pop(key, None)
            self._applied.pop(key, None)
        else:
            self.objects[key] = new
        return copy.deepcopy(new)


class World:
    """Two servers, and the executor of steps for one bound object."""

    def __init__(self, placement: Placement = PLACEMENT) -> None:
        self.placement = placement
        self.consumer = FakeServer("c")
        self.provider = FakeServer("p")
        self.memory = Memory()
        self.executed: list[model.Step] = []

    @property
    def here(self) -> Object | None:
        """The consumer object."""
        return self.consumer.get(self.placement.consumer_key)

    @property
    def there(self) -> Object | None:
        """What is at the place of the copy."""
        return self.provider.get(self.placement.provider_key)

    def execute(self, steps: Iterable[model.Step], now: float = 0.0) -> None:
        """Carry out the steps; raises ``Conflict`` where a server refuses."""
        for step in steps:
            self.executed.append(step)
            self._one(step, now)

    def _one(self, step: model.Step, now: float) -> None:
        here, there = self.placement.consumer_key, self.placement.provider_key
        match step:
            case model.EnsureFinalizer(patch=patch) | model.ReleaseFinalizer(patch=patch):
                self.consumer.merge_patch(here, patch)
            case model.ApplyProvider(object=desired):
                answer = self.provider.apply(there, desired)
                self.memory = self.memory.after_apply(step, answer, now)
            case model.PatchConsumerStatus(patch=patch):
                answer = self.consumer.json_patch(here, patch)
                self.memory = self.memory.after_status(step, answer, now)
            case model.DeleteProvider(uid=uid):
                if self.provider.delete(there, uid) is None:
                    self.memory = self.memory.after_gone()
            case model.ConfirmAbsence(side=side, uid=uid):
                found = self.here if side is Side.CONSUMER else self.there
                if found is not None and (not uid or meta.uid(found) == uid):
                    raise Conflict("it is there")
            case model.Adopt(object=desired):
                self.consumer.create(here, desired)


class ClaimWorld:
    """Two servers, and the executor of steps for one claimed object."""

    def __init__(self, placement: claim_model.ClaimPlacement) -> None:
        self.placement = placement
        self.servers = {Side.CONSUMER: FakeServer("c"), Side.PROVIDER: FakeServer("p")}

    def at(self, side: Side) -> Object | None:
        """The object of a side."""
        return self.servers[side].get(self.placement.key(side))

    def execute(self, steps: Iterable[claim_model.ClaimStep]) -> None:
        """Carry out the steps; raises ``Conflict`` where a server refuses."""
        for step in steps:
            match step:
                case claim_model.CreateCopy(side=side, object=desired):
                    self.servers[side].create(self.placement.key(side), desired)
                case claim_model.UpdateCopy(side=side, object=desired):
                    self.servers[side].put(self.placement.key(side), desired)
                case claim_model.ReplaceCopy(side=side, uid=uid, resource_version=version, object=desired):
                    self.servers[side].delete(self.placement.key(side), uid, version)
                    self.servers[side].create(self.placement.key(side), desired)
                case claim_model.DeleteCopy(side=side, uid=uid, resource_version=version):
                    self.servers[side].delete(self.placement.key(side), uid, version)
                case claim_model.MarkSource(side=side, patch=patch):
                    self.servers[side].merge_patch(self.placement.key(side), patch)
                case model.ConfirmAbsence(side=side, uid=uid):
                    found = self.at(side)
                    if found is not None and (not uid or meta.uid(found) == uid):
                        raise Conflict("it is there")


def _merge(live: Object, before: Mapping[str, Any], said: Mapping[str, Any]) -> Object:
    for name in before:
        if name not in said:
            live.pop(name, None)
    for name, value in said.items():
        old, was = live.get(name), before.get(name)
        if isinstance(value, Mapping) and isinstance(old, dict):
            live[name] = _merge(old, was if isinstance(was, Mapping) else {}, value)
        else:
            live[name] = copy.deepcopy(value)
    return live


def _merge_patch(live: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = live if isinstance(live, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merge_patch(result.get(name), value)
    return result


def _operate(obj: Object, operation: Mapping[str, Any]) -> None:
    *parents, last = [part for part in str(operation["path"]).split("/") if part]
    holder: Any = obj
    for part in parents:
        holder = holder[part]
    match operation["op"]:
        case "test":
            if holder.get(last) != operation["value"]:
                raise Conflict("test failed")
        case "remove":
            if last not in holder:
                raise Conflict("nothing to remove")
            del holder[last]
        case _:
            holder[last] = copy.deepcopy(operation["value"])
