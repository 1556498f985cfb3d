"""Conditions of bindings: every part reports facts, one controller writes them.

Several parts of the konnector know something about a binding (the hub its Secret, the session its connection, the
schema controller its CRD). If each wrote for itself they would conflict; here each states a condition, and one
controller per process merges the statements with the Set and summary algorithm of spec 3.11.4 and writes once.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from bind_agent.api import conditions, meta
from bind_agent.api.conditions import Condition, set_condition, set_summary
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.meta import Object
from bind_agent.kube.errors import Conflict
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.status import write_status
from bind_agent.runtime.store import Entry
from konnector.clusters import Home
from konnector.sync.recent import RecentWrites


class BindingStatus:
    """Statements about bindings, and the controller that writes them."""

    def __init__(self, home: Home, bindings: Informer) -> None:
        """Start with no statement.

        Args:
            home: the cluster that holds the bindings.
            bindings: informer of all bindings that are served.
        """
        self._home = home
        self._bindings = bindings
        self._stated: dict[str, dict[str, Condition]] = {}
        self._pretty_names: dict[str, str] = {}
        self._recent = RecentWrites()
        self.controller = Controller("binding-status", self._reconcile, workers=2)
        bindings.add_handler(self._on_binding)

    def _on_binding(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        """Follow the life of bindings.

        What an earlier process wrote counts as stated: else nobody would take a condition back that has no cause
        any more. A binding that was made again starts anew, with the statements still to be made.
        """
        if old is not None and new is None:
            self.forget(old.key)
        elif new is not None:
            if event is Event.ADDED:
                self.forget(new.key)
                self._stated[new.key] = _written(new.object())
            self.controller.enqueue(new.key)

    def state(self, binding_keys: Iterable[str], *wanted: Condition) -> None:
        """State conditions of bindings; what is already stated costs nothing.

        Args:
            binding_keys: keys of the bindings that it is true for.
            wanted: one per type; ``last_transition_time`` is set when written.
        """
        for key in binding_keys:
            stated = self._stated.setdefault(key, {})
            fresh = {c.type: c for c in wanted if stated.get(c.type) != c}
            if fresh:
                stated.update(fresh)
                self.controller.enqueue(key)

    def state_provider(self, binding_key: str, pretty_name: str) -> None:
        """State the display name of a binding's provider."""
        if self._pretty_names.get(binding_key, "") != pretty_name:
            self._pretty_names[binding_key] = pretty_name
            self.controller.enqueue(binding_key)

    def stated(self, binding_key: str, condition_type: str) -> Condition | None:
        """What was last stated about one type, or None."""
        return self._stated.get(binding_key, {}).get(condition_type)

    def forget(self, binding_key: str) -> None:
        """Drop all statements about a binding that is gone."""
        self._recent.forget(binding_key)
        self._stated.pop(binding_key, None)
        self._pretty_names.pop(binding_key, None)

    async def _reconcile(self, key: str) -> None:
        entry = self._bindings.store.get(key)
        binding = self._recent.read(key, entry, self._bindings.resource_version)
        if entry is None or binding is None:
            self.forget(key)
            return
        if not self._stated.get(key):
            return
        desired = self._desired(key, binding)
        try:
            answer = await write_status(self._home.client, self._home.bindings.resource, binding, desired)
        except Conflict:
            self._recent.forget(key)
            raise
        self._recent.remember(key, answer, entry, self._bindings.resource_version)

    def _desired(self, key: str, binding: Object) -> Object:
        status = dict(binding.get("status") or {})
        entries = conditions.of(binding)
        now = datetime.now(UTC)
        for condition in self._stated.get(key, {}).values():
            entries = set_condition(entries, condition, now)
        status["conditions"] = set_summary(entries, now)
        if pretty_name := self._pretty_names.get(key):
            status["providerPrettyName"] = pretty_name
        return {**binding, "status": status}


def _written(binding: Object) -> dict[str, Condition]:
    found = conditions.of(binding)
    stated = {}
    for condition_type in {str(entry.get("type") or "") for entry in found} - {"", ConditionType.READY}:
        condition = conditions.get(found, condition_type)
        if condition is not None:
            stated[condition_type] = msgspec.structs.replace(condition, last_transition_time="")
    return stated


def has_secret_ref(binding: Object, secret_key: str) -> bool:
    """Whether the binding names that Secret (``namespace/name``)."""
    return secret_key == secret_ref(binding)[0]


def secret_ref(binding: Object) -> tuple[str, str]:
    """The Secret that a binding names, as (``namespace/name``, key of the entry); empty when there is none."""
    ref = (binding.get("spec") or {}).get("kubeconfigSecretRef") or {}
    namespace, name = ref.get("namespace") or "", ref.get("name") or ""
    return (meta.join_key(namespace, name) if name else ""), ref.get("key") or ""
