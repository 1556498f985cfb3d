"""The end of an AppClusterBinding: pure (spec 5.4).

Bindings first, while the konnector still runs and may have something to clean up; then the root namespace, which
takes everything else with it: its APIServiceNamespaces go the normal way, and each holds the root namespace until
its service namespace is gone. The finalizer comes off when nothing is left. Nothing that is not recorded as
belonging to this AppClusterBinding is touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bind_agent.api import meta
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
    """A cluster-wide role that older backends made."""

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
        legacy: the legacy ClusterRole, if there is one.
    """

    wanted: Wanted
    root: Mapping[str, Any] | None
    bindings: Sequence[Mapping[str, Any]] = ()
    mappings: Sequence[str] = ()
    service_namespaces: Sequence[str] = ()
    legacy: Mapping[str, Any] | None = None


def plan(seen: Observed) -> tuple[Step, ...]:
    """Decide; the steps are executed in order, and the last one is always a Wait or a Release."""
    ours = seen.root is not None and roots.owner(seen.root) == seen.wanted.key
    if seen.root is not None and ours:
        return _empty(seen, seen.root)
    if seen.root is None and seen.service_namespaces:
        return (_wait(f"service namespaces {_list(seen.service_namespaces)} are still there"),)
    if seen.legacy is not None:
        name = meta.name(seen.legacy)
        waiting = Wait(
            words.LEGACY_ROLE_REMAINS,
            f"ClusterRole {name} of an older backend is still there: kubectl delete clusterrole,clusterrolebinding"
            f" {name}",
        )
        return (DeleteLegacyRole(meta.uid(seen.legacy)), waiting)
    return (Release(),)


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
