"""The brakes of one session: each begins as its binding's condition says, and the condition says how it stands."""

from dataclasses import dataclass

from bind_agent.api import conditions
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity, Status
from bind_agent.obs import metrics
from konnector.controllers.binding_status import BindingStatus
from konnector.sync.brake import Brake

_TYPE = ConditionType.DELETIONS_ALLOWED


@dataclass(frozen=True, slots=True)
class News:
    """What is to be done after a look at a binding.

    Attributes:
        approved: keys of the objects whose deletion a person has just approved.
        look_again: seconds after which the binding has to be looked at again; 0 for no need.
    """

    approved: frozenset[str] = frozenset()
    look_again: float = 0.0


class Brakes:
    """The brakes of one session, by name of the export."""

    def __init__(self, status: BindingStatus) -> None:
        """Start without any.

        Args:
            status: where conditions of bindings are stated; it knows what earlier processes wrote.
        """
        self._status = status
        self._brakes: dict[str, Brake] = {}

    def __getitem__(self, name: str) -> Brake:
        """The brake of an export whose binding was looked at before.

        Raises:
            KeyError: it was not.
        """
        return self._brakes[name]

    def follow(self, name: str, binding_key: str, resume: str, *, now: float) -> News:
        """Release the brake when a person says so, and say on the binding whether it holds.

        Args:
            name: of the export.
            binding_key: key of the binding that it is synced for.
            resume: value of the annotation there.
            now: seconds of the clock that the brake is asked with.
        """
        brake = self._brakes.get(name)
        if brake is None:
            brake = self._brakes[name] = self._begun(binding_key, resume, now)
        brake.note(binding_key, resume)
        news = News()
        if brake.is_meant(resume):
            if left := brake.gathers(now):
                news = News(look_again=left)
            else:
                news = News(approved=brake.waiting)
                brake.resume()
                brake.note(binding_key, resume)
        metrics.DELETIONS_HELD(name).set(len(brake.waiting))
        self._state(binding_key, brake)
        return news

    def _begun(self, binding_key: str, resume: str, now: float) -> Brake:
        stated = self._status.stated(binding_key, _TYPE)
        if stated is None or (stated.status, stated.reason) != (Status.FALSE, Reason.MASS_DELETION_HELD):
            return Brake()
        return Brake.restored(stated.message, binding=binding_key, resume=resume, now=now)

    def _state(self, binding_key: str, brake: Brake) -> None:
        if brake.held:
            held = conditions.false(_TYPE, Reason.MASS_DELETION_HELD, Severity.ERROR, brake.message)
            self._status.state([binding_key], held)
        elif self._status.stated(binding_key, _TYPE) is not None:
            self._status.state([binding_key], conditions.true(_TYPE))
