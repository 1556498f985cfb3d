"""What a session cannot follow or write, said on its bindings: looks at memory only, once a second."""

import asyncio
from collections.abc import Callable, Iterable, Iterator

from bind_agent.api import meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Status
from bind_agent.api.resource import NAMESPACES
from bind_agent.kube.errors import ConnectionFailed, Forbidden, KubeError, ServerError, Unauthorized
from bind_agent.kube.transport import SLOW
from bind_agent.runtime.informer import Informer
from konnector.clusters import Ends
from konnector.controllers.binding_status import BindingStatus
from konnector.controllers.exports import Exports
from konnector.controllers.troubles import (
    Followed,
    Trouble,
    informers_synced,
    objects_in_sync,
    of_client,
    of_error,
    of_watch,
)
from konnector.sync import remedies
from konnector.sync.model import Side
from konnector.sync.patience import Patience

_SECONDS = 1.0
_LOST = (ConnectionFailed, Unauthorized, ServerError)
"""Failures after which another cluster may answer, unlike those that say something about a kind."""
TOLERATED_SECONDS = 4.0
"""Trouble that passes by itself within so many seconds is not told."""


class Monitor:
    """Says how a session stands.

    Attributes:
        unidentified: why the app cluster could not be asked yet who it is.
    """

    def __init__(
        self,
        ends: Ends,
        status: BindingStatus,
        base: tuple[Followed, ...],
        *,
        bindings: Callable[[], frozenset[str]],
        exports: Callable[[], Exports | None],
    ) -> None:
        """Look at one session.

        Args:
            ends: both ends of the session.
            status: where conditions of bindings are stated.
            base: what all bindings depend on.
            bindings: keys of the bindings of the session, as they are now.
            exports: the running syncs, once there are any.
        """
        self.unidentified: KubeError | None = None
        self._ends = ends
        self._status = status
        self._base = base
        self._bindings = bindings
        self._exports = exports
        self._said: dict[str, Condition] = {}
        self._patience = Patience()
        self._failing: set[Informer] = set()
        self._troubled = False
        self._lost = False

    async def run(self) -> None:
        """Say what cannot be followed or written, and when it can again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SECONDS)
            self.encourage()
            for key in self._bindings():
                self._status.state([key], *self._said.values())
                self.look(key, loop.time())

    def state(self, condition: Condition) -> None:
        """State a condition on all bindings, those that come later included."""
        self._said[condition.type] = condition
        self._status.state(self._bindings(), condition)

    @property
    def connected(self) -> bool:
        """Whether both ends are followed at this moment."""
        if self.unidentified is not None or self._ends.far_client.trouble is not None:
            return False
        return all(one.informer.has_synced and one.informer.last_error is None for one in self._base)

    def encourage(self) -> None:
        """One that reaches the far end again is a sign for all that wait for their next attempt.

        The first that does not is one that the app cluster may be exchanged meanwhile.
        """
        client = self._ends.far_client
        failing = {i for i in self._ends.far_pool.informers() if i.last_error is not None}
        lost = client.trouble is not None or any(isinstance(i.last_error, _LOST) for i in failing)
        if lost and not self._lost:
            self._ends.doubt()
        if self._failing - failing or (self._troubled and client.trouble is None):
            for informer in failing:
                informer.nudge()
        self._failing, self._troubled, self._lost = failing, client.trouble is not None, lost

    def look(self, key: str, now: float) -> None:
        """State how one binding stands.

        Args:
            key: of the binding.
            now: seconds of the loop's clock.
        """
        name, far, client = meta.split_key(key)[1], self._ends.far, self._ends.far_client
        exports = self._exports()
        followed: list[Followed] = []
        hindrances: list[Trouble] = []
        if exports is not None:
            followed += exports.followed(name)
            hindrances += exports.hindrances(name)
        found = [of_client(client.trouble, client.waiting, slow=SLOW, far=far), *self._at_base(name)]
        found += [of_watch(one, name, far) for one in followed]
        # A call that waits for its answer has lasted already.
        tolerated = 0.0 if client.waiting >= SLOW else TOLERATED_SECONDS
        self._judge(key, informers_synced(_only(found)), now, tolerated)
        self._judge(key, objects_in_sync(hindrances), now, TOLERATED_SECONDS)

    def _at_base(self, name: str) -> Iterator[Trouble | None]:
        """What is wrong with what all bindings depend on; of rights there the binding's own role has none."""
        far, roles = self._ends.far, self._ends.app.roles
        for one in self._base:
            if one.side is Side.CONSUMER and isinstance(error := one.informer.last_error, Forbidden):
                yield Trouble(Reason.PERMISSION_DENIED, remedies.lacking(error.message, roles))
            else:
                yield of_watch(one, name, far)
        if isinstance(self.unidentified, Forbidden):
            yield Trouble(Reason.PERMISSION_DENIED, remedies.lacking(self.unidentified.message, roles))
        elif self.unidentified is not None:
            yield of_error(self.unidentified, NAMESPACES, Side.CONSUMER, name, far)

    def _judge(self, key: str, found: Condition, now: float, tolerated: float) -> None:
        """State what was found; trouble has to last for a while."""
        subject = (key, found.type)
        if found.status == Status.TRUE:
            self._patience.over(subject)
            if found.type == ConditionType.INFORMERS_SYNCED or self._status.stated(key, found.type):
                self._status.state([key], found)
        elif self._patience.lasted(subject, now) >= tolerated:
            self._status.state([key], found)


def _only(found: Iterable[Trouble | None]) -> list[Trouble]:
    return [trouble for trouble in found if trouble is not None]
