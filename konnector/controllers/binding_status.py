"""Conditions of bindings: every part reports facts, one controller writes them.

Several parts of the konnector know something about a binding (the hub its Secret, the session its connection, the
schema controller its CRD). If each wrote for itself they would conflict; here each states a condition, and one
controller per process merges the statements with the Set and summary algorithm of spec 3.11.4 and writes once.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from bind_agent.api import meta
from bind_agent.api.conditions import Condition, set_condition, set_summary
from bind_agent.api.meta import Object
from bind_agent.kube.errors import Conflict
from bind_agent.runtime.controller import Controller
from bind_agent.runtime.informer import Informer
from bind_agent.runtime.status import write_status
from konnector.appcluster import AppCluster
from konnector.sync.recent import RecentWrites


class BindingStatus:
    """Statements about bindings, and the controller that writes them."""

    def __init__(self, app: AppCluster, bindings: Informer) -> None:
        """Start with no statement.

        Args:
            app: the app cluster.
            bindings: informer of all bindings of the cluster.
        """
        self._app = app
        self._bindings = bindings
        self._stated: dict[str, dict[str, Condition]] = {}
        self._pretty_names: dict[str, str] = {}
        self._recent = RecentWrites()
        self.controller = Controller("binding-status", self._reconcile, workers=2)

    def state(self, binding_keys: Iterable[str], *conditions: Condition) -> None:
        """State conditions of bindings; what is already stated costs nothing.

        Args:
            binding_keys: keys of the bindings that it is true for.
            conditions: one per type; ``last_transition_time`` is set when written.
        """
        for key in binding_keys:
            stated = self._stated.setdefault(key, {})
            fresh = {c.type: c for c in conditions if stated.get(c.type) != c}
            if fresh:
                stated.update(fresh)
                self.controller.enqueue(key)

    def state_provider(self, binding_key: str, pretty_name: str) -> None:
        """State the display name of a binding's provider."""
        if self._pretty_names.get(binding_key) != pretty_name:
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
        binding = self._recent.read(key, entry)
        if entry is None or binding is None:
            self.forget(key)
            return
        desired = self._desired(key, binding)
        try:
            answer = await write_status(self._app.client, self._app.bindings, binding, desired)
        except Conflict:
            self._recent.forget(key)
            raise
        self._recent.remember(key, answer, entry, self._bindings.resource_version)

    def _desired(self, key: str, binding: Object) -> Object:
        status = dict(binding.get("status") or {})
        conditions = list(status.get("conditions") or [])
        now = datetime.now(UTC)
        for condition in self._stated.get(key, {}).values():
            conditions = set_condition(conditions, condition, now)
        status["conditions"] = set_summary(conditions, now)
        if pretty_name := self._pretty_names.get(key):
            status["providerPrettyName"] = pretty_name
        return {**binding, "status": status}


def has_secret_ref(binding: Object, secret_key: str) -> bool:
    """Whether the binding names that Secret (``namespace/name``)."""
    return secret_key == secret_ref(binding)[0]


def secret_ref(binding: Object) -> tuple[str, str]:
    """The Secret that a binding names, as (``namespace/name``, key of the entry); empty when there is none."""
    ref = (binding.get("spec") or {}).get("kubeconfigSecretRef") or {}
    namespace, name = ref.get("namespace") or "", ref.get("name") or ""
    return (meta.join_key(namespace, name) if name else ""), ref.get("key") or ""
