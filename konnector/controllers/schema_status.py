"""What bindings say of their schema: ``Connected`` and ``SchemaInSync``, and when to look again."""

import asyncio
from typing import Final

from bind_agent.api import conditions
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.meta import Object
from bind_agent.runtime.controller import Result
from konnector.controllers.binding_status import BindingStatus
from konnector.schema import consent, serving
from konnector.schema.compare import Held
from konnector.sync.patience import Patience, recheck_after

_ESTABLISHING_SECONDS: Final = 15.0
"""A new CRD is served after a second, and after five more where several API servers have to know it first."""


class SchemaStatus:
    """States conditions; remembers since when something has been the case."""

    def __init__(self, status: BindingStatus, *, control_plane: bool) -> None:
        """Begin with nothing.

        Args:
            status: where conditions of bindings are stated.
            control_plane: the bindings are not on the app cluster.
        """
        self._status = status
        self._control_plane = control_plane
        self._held = Patience()
        self._unserved = Patience()

    def forget(self, key: str) -> None:
        """A binding is not served any more."""
        self._held.over(key)
        self._unserved.over(key)

    def in_place(self, key: str, crd: Object) -> Result | None:
        """The CRD says what it should; the API server decides whether it serves that, and its events tell of it.

        Args:
            key: of the binding.
            crd: as found on the app cluster.
        """
        self._held.over(key)
        connected = conditions.true(ConditionType.CONNECTED)
        told = serving.hindrance(crd)
        if told is None:
            self._unserved.over(key)
            self._status.state([key], connected, conditions.true(ConditionType.SCHEMA_IN_SYNC))
            return None
        if told.reason == Reason.CRD_NOT_ESTABLISHED:
            rest = _ESTABLISHING_SECONDS - self._unserved.lasted(key, _now())
            if rest > 0:
                # What was said before stands until it is known.
                self._status.state([key], connected)
                return Result(after=rest)
        self._status.state([key], connected, told)
        return None

    def held(self, key: str, verdict: Held, binding: Object, crd: Object) -> Result | None:
        """An update is held; objects go on being synced under the schema that is in force.

        Args:
            key: of the binding.
            verdict: what is held.
            binding: the binding.
            crd: as found on the app cluster.
        """
        told = consent.held(
            verdict, binding, control_plane=self._control_plane, hindrance=serving.hindrance(crd)
        )
        self._status.state([key], conditions.true(ConditionType.CONNECTED), told)
        # The end of the last object is no event about CRD, export or binding.
        return Result(after=recheck_after(self._held.lasted(key, _now()))) if verdict.has_objects else None

    def disconnected(self, key: str, reason: str, message: str) -> None:
        """Nothing is synced for want of a CRD; where the schema is why, the provider is told so too (spec 6.6.4)."""
        self._held.over(key)
        types = [ConditionType.CONNECTED]
        if reason not in {Reason.EXPORT_NOT_FOUND, Reason.PERMISSION_DENIED}:
            types.append(ConditionType.SCHEMA_IN_SYNC)
        self._status.state(
            [key], *(conditions.false(kind, reason, Severity.ERROR, message) for kind in types)
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
