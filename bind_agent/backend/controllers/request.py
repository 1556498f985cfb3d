"""Export requests: a consumer asks, the backend makes exports (spec 4.7). Decisions are in `request_plan`."""

import structlog

from bind_agent.api import keys, meta
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.meta import Object
from bind_agent.api.resource import EXPORT_REQUESTS, EXPORTS
from bind_agent.backend import names, retirement
from bind_agent.backend.access import Kind
from bind_agent.backend.allowed import may_request, not_allowed
from bind_agent.backend.controllers import request_plan
from bind_agent.backend.controllers.context import Context, refusal
from bind_agent.backend.echo import Echo
from bind_agent.backend.exports import Draft, Problem, new_export, refuse_kind
from bind_agent.backend.templates import Choice, choose
from bind_agent.backend.views import get
from bind_agent.kube.errors import AlreadyExists, ApiError
from bind_agent.runtime.controller import Result
from bind_agent.runtime.status import write_status

log = structlog.get_logger(__name__)


class RequestReconciler:
    """Brings one request to its end, and removes it some time after."""

    def __init__(self, context: Context) -> None:
        """Set up."""
        self._context = context
        self._echo = Echo()

    async def reconcile(self, key: str) -> Result | None:
        """Bring the request of a key up to date.

        Raises:
            KubeError: a request to the server failed and may work later.
        """
        context = self._context
        request = get(context.views.requests, key)
        if self._echo.pending(key, request) or request is None or meta.is_deleting(request):
            return None
        problems, waiting = [], []
        if request_plan.phase(request) == request_plan.PENDING:
            for kind in request_plan.resources(request):
                problem = await self._provide(meta.namespace(request), kind)
                if problem is not None:
                    problems.append(problem)
                elif not request_plan.is_decided(self._export(meta.namespace(request), kind)):
                    waiting.append(kind)
        decision = request_plan.decide(
            request, problems, waiting=waiting, now=context.clock.now(), limits=context.limits
        )
        if decision.delete:
            log.info("removing a request that ended a while ago")
            await context.client.delete(
                EXPORT_REQUESTS,
                meta.name(request),
                namespace=meta.namespace(request),
                uid=meta.uid(request),
            )
            return None
        stored = await write_status(
            context.client, EXPORT_REQUESTS, request, {**request, "status": dict(decision.status)}
        )
        self._echo.written(key, request, stored)
        if stored is not request:
            self._tell(request, problems, request_plan.phase(stored))
        return Result(after=decision.after.total_seconds()) if decision.after is not None else None

    async def _provide(self, namespace: str, kind: Kind) -> Problem | None:
        """Make sure that the export exists."""
        present = self._export(namespace, kind)
        problem = self._obstacle(namespace, kind, present)
        if problem is not None or present is not None:
            return problem
        choice = choose(self._context.views.templates_of(kind))
        wanted = await self._context.draft(kind, choice)
        if isinstance(wanted, Problem):
            return wanted
        if choice is not None and (denied := self._denied(namespace, kind, choice)) is not None:
            return denied
        return await self._create(namespace, wanted)

    def _export(self, namespace: str, kind: Kind) -> Object | None:
        return get(self._context.views.exports, f"{namespace}/{kind}")

    def _denied(self, namespace: str, kind: Kind, choice: Choice) -> Problem | None:
        """The credential is the tenant's; what may be asked with it is up to its person (W-B19)."""
        requester = self._context.requester(namespace)
        if may_request(choice.template, kind, requester):
            return None
        return Problem(names.REASON_NOT_ALLOWED, not_allowed(kind, choice.key, requester))

    def _obstacle(self, namespace: str, kind: Kind, present: Object | None) -> Problem | None:
        if (refused := refuse_kind(kind)) is not None:
            return refused
        if self._context.views.tenant(namespace) is None:
            return Problem(
                names.REASON_NOT_A_TENANT,
                f"namespace {namespace} lacks the annotation {keys.IDENTITY}: add the tenant with"
                " `bind-backend tenant add` and request in its namespace",
            )
        if present is not None and meta.is_deleting(present):
            return Problem(
                Reason.EXPORT_CONFLICT,
                f"the earlier export {kind} is still being deleted: wait, or see what holds it",
            )
        if present is not None and (planned := retirement.planned(present)) is not None:
            return Problem(names.REASON_RETIRING, retirement.announcement(str(kind), planned).message)
        if present is None and (time := self._retired(namespace).get(str(kind))) is not None:
            return Problem(names.REASON_RETIRED, retirement.refused(kind, time))
        return None

    def _retired(self, namespace: str) -> dict[str, str]:
        return retirement.retired(self._context.views.binding(namespace))

    async def _create(self, namespace: str, wanted: Draft) -> Problem | None:
        export = new_export(namespace, wanted)
        log.info("creating an export", export=meta.name(export))
        try:
            await self._context.client.create(EXPORTS, export, namespace=namespace)
        except AlreadyExists:
            return None
        except ApiError as error:
            problem = refusal(error)
            if problem is None:
                raise
            return problem
        return None

    def _tell(self, request: meta.Object, problems: list[Problem], phase: str) -> None:
        if phase == request_plan.SUCCEEDED:
            self._context.recorder.event(
                request, type="Normal", reason=phase, message="every requested resource is exported"
            )
        elif problems:
            self._context.recorder.event(
                request, type="Warning", reason=problems[0].reason, message=problems[0].message
            )
