"""What is known about the APIs of an app cluster, and the steps that bring them in line: data."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from bind_agent.api import guards
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.meta import Object
from bind_agent.backend.access import Kind
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.exports import Draft, Problem
from bind_agent.backend.templates import Choice


@dataclass(frozen=True, slots=True)
class CreateBinding:
    """An API gets its binding."""

    binding: Object


@dataclass(frozen=True, slots=True)
class PatchBinding:
    """A binding is brought in line; the patch names what was observed."""

    name: str
    patch: Object


@dataclass(frozen=True, slots=True)
class DeleteBinding:
    """An API is not wanted any more."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """An export is asked for."""

    request: Object


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """A request that is not wanted, or that ended without an export."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteExport:
    """An export that is not wanted and that no binding needs."""

    name: str
    uid: str


Step: TypeAlias = CreateBinding | PatchBinding | DeleteBinding | CreateRequest | DeleteRequest | DeleteExport


@dataclass(frozen=True, slots=True)
class Api:
    """One wanted API and what the provider has for it.

    Attributes:
        kind: the resource.
        choice: its template; None when there is none.
        draft: what its export would say, or why there can be none now.
    """

    kind: Kind
    choice: Choice | None
    draft: Draft | Problem


@dataclass(frozen=True, slots=True)
class Observed:
    """What is in the root namespace.

    Attributes:
        wanted: the AppClusterBinding.
        apis: of it, in order.
        bindings: all APIServiceBindings there.
        exports: all APIServiceExports there.
        requests: all APIServiceExportRequests there.
        claimable: group resources that may be claimed.
    """

    wanted: Wanted
    apis: Sequence[Api]
    bindings: Sequence[Object] = ()
    exports: Sequence[Object] = ()
    requests: Sequence[Object] = ()
    claimable: Collection[str] = guards.CLAIMABLE


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and how it stands.

    Attributes:
        steps: in order.
        condition: APIsBound.
        after: when to look again without an event.
    """

    steps: tuple[Step, ...]
    condition: Condition
    after: timedelta | None = None


@dataclass(slots=True)
class Sketch:
    """A plan in the making."""

    steps: list[Step] = field(default_factory=list)
    problems: dict[Kind | None, tuple[str, str]] = field(default_factory=dict)
    waiting: list[Kind] = field(default_factory=list)
    after: timedelta | None = None

    def trouble(self, kind: Kind | None, reason: str, message: str) -> None:
        """Note what stands in the way; of several things about one kind the first one counts."""
        self.problems.setdefault(kind, (reason, message))

    def not_offered(self, api: Api) -> None:
        """Note that the provider has no template for an API, or can never export it."""
        problem = api.draft if isinstance(api.draft, Problem) else None
        self.trouble(
            api.kind,
            problem.reason if problem else Reason.TEMPLATE_NOT_FOUND,
            problem.message if problem else f"no template selects {api.kind}",
        )
