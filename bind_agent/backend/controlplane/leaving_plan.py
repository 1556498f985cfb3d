"""The end of an AppClusterBinding: pure (spec 5.4).

Bindings first, while the konnector still runs and may have something to clean up; then the root namespace, which
takes everything else with it: its APIServiceNamespaces go the normal way, and each holds the root namespace until
its service namespace is gone. The finalizer comes off when nothing is left. Nothing that is not recorded as
belonging to this AppClusterBinding is touched.

Older backends made a cluster-wide role, whose name is as ambiguous as that of the root namespace: (`a`, `b-c`) and
(`a-b`, `c`) give the same one. It is deleted when it is marked as this one's. One without a mark is left to a person,
and held against the end only when it can be nobody else's: it grants rights on our group, as theirs did, and there is
no other AppClusterBinding for which the name stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bind_agent.api import keys, meta
from bind_agent.backend import roots
from bind_agent.backend.controlplane import words
from bind_agent.backend.controlplane.model import Wanted

WAIT: Final = 5.0
"""Seconds until it is looked again, should an event be missed."""

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class DeleteBinding:
    """A binding goes before everything else."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteRoot:
    """The root namespace goes, and only this very one."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteLegacyRole:
    """A cluster-wide role that older backends made, marked as this AppClusterBinding's; only this very one."""

    uid: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Something has to end first.

    Attributes:
        reason: word for the condition.
        message: what, for a person.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Release:
    """Nothing is left: the AppClusterBinding may go."""


Step: TypeAlias = DeleteBinding | DeleteRoot | DeleteLegacyRole | Wait | Release


@dataclass(frozen=True, slots=True)
class Observed:
    """What is left.

    Attributes:
        wanted: the AppClusterBinding.
        root: the Namespace of the root's name; None when a request confirmed that there is none.
        bindings: all APIServiceBindings in it.
        mappings: names of its APIServiceNamespaces.
        service_namespaces: names of the namespaces that are recorded as service namespaces of the root.
        legacy: the ClusterRole of the legacy name, if there is one.
        rivals: keys of other AppClusterBindings with the same legacy name.
    """

    wanted: Wanted
    root: Mapping[str, Any] | None
    bindings: Sequence[Mapping[str, Any]] = ()
    mappings: Sequence[str] = ()
    service_namespaces: Sequence[str] = ()
    legacy: Mapping[str, Any] | None = None
    rivals: Sequence[str] = ()


def plan(seen: Observed) -> tuple[Step, ...]:
    """Decide; the steps are executed in order, and the last one is always a Wait or a Release."""
    ours = seen.root is not None and roots.owner(seen.root) == seen.wanted.key
    if seen.root is not None and ours:
        return _empty(seen, seen.root)
    if seen.root is None and seen.service_namespaces:
        return (_wait(f"service namespaces {_list(seen.service_namespaces)} are still there"),)
    return _without_legacy(seen)


def _without_legacy(seen: Observed) -> tuple[Step, ...]:
    """The end, once there is no legacy role, or one that is not ours."""
    role = seen.legacy
    if role is None:
        return (Release(),)
    name = meta.name(role)
    command = f"kubectl delete clusterrole,clusterrolebinding {name}"
    if seen.wanted.is_ours(role):
        remains = f"ClusterRole {name} of an older backend is still there: {command}"
        return (DeleteLegacyRole(meta.uid(role)), Wait(words.LEGACY_ROLE_REMAINS, remains))
    marked = any(label in meta.labels(role) for label in seen.wanted.labels)
    if marked or seen.rivals or not _grants_our_group(role):
        return (Release(),)
    remains = (
        f"ClusterRole {name} is still there, as older backends made it, but it has no mark that says whose it is, so"
        f" it is left to you: look at it, then {command}"
    )
    return (Wait(words.LEGACY_ROLE_REMAINS, remains),)


def _grants_our_group(role: Mapping[str, Any]) -> bool:
    rules = role.get("rules")
    groups = (
        rule.get("apiGroups") for rule in (rules if isinstance(rules, list) else ()) if isinstance(rule, dict)
    )
    return any(isinstance(some, list) and keys.GROUP in some for some in groups)


def _empty(seen: Observed, root: Mapping[str, Any]) -> tuple[Step, ...]:
    name = meta.name(root)
    if not meta.is_deleting(root):
        if seen.bindings:
            doomed = [one for one in seen.bindings if not meta.is_deleting(one)]
            remaining = _list([meta.name(one) for one in seen.bindings])
            return (
                *(DeleteBinding(meta.name(one), meta.uid(one)) for one in doomed),
                _wait(
                    f"bindings {remaining} in {name} are still there; finalizers on them say who holds them"
                ),
            )
        return (DeleteRoot(name, meta.uid(root)), _wait(f"namespace {name} is being deleted"))
    held = f", held by the APIServiceNamespaces {_list(seen.mappings)}" if seen.mappings else ""
    return (_wait(f"namespace {name} is being deleted{held}"),)


def _wait(message: str) -> Wait:
    return Wait(words.DELETING, message)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
