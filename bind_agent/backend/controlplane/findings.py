"""What one look at an AppClusterBinding found out; it becomes the status, whatever failed (W-B11)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from bind_agent.api import conditions
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import Reason, Severity
from bind_agent.backend.controlplane import words
from bind_agent.kube.errors import ApiError, Conflict, Forbidden, KubeError

ASK_AGAIN: Final = timedelta(seconds=30)
"""How long until something is looked at again that a person has to put right, and whose cure may have no event."""


@dataclass(slots=True)
class Findings:
    """What a run found out.

    Attributes:
        conditions: to be set; the others stay as they are.
        errors: why a part could not end; raised after the status is written.
        after: when to look again without an event.
    """

    conditions: list[Condition] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    after: timedelta | None = None

    def again(self, after: timedelta | None) -> None:
        """Look again after this long at the latest."""
        if after is not None:
            self.after = after if self.after is None else min(self.after, after)

    def failed(self, condition: str, reason: str, error: KubeError) -> None:
        """A request failed: a condition now, and another try after the status is written.

        Args:
            condition: type of the condition of the part.
            reason: word for it.
            error: what happened.
        """
        self.errors.append(error)
        if isinstance(error, Conflict):
            # Somebody else was faster: the next run sees what they did.
            return
        said = error.message if isinstance(error, ApiError) else str(error)
        if isinstance(error, Forbidden):
            reason = Reason.PERMISSION_DENIED if reason == words.WRITE_FAILED else reason
        self.conditions.append(
            conditions.false(
                condition, reason, Severity.ERROR, f"a request failed and is tried again: {said}"
            )
        )

    async def guard(self, part: Callable[[], Awaitable[Condition]], condition: str, reason: str) -> None:
        """Run a part; its failure waits until the others have run."""
        try:
            self.conditions.append(await part())
        except KubeError as error:
            self.failed(condition, reason, error)
