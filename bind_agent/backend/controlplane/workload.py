"""The konnector's Deployment: the shell around `deployment` (spec 5.3 step 6, 5.5; W-B11, W-B12)."""

import structlog

from bind_agent.api import conditions, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import DEPLOYMENTS
from bind_agent.backend import names
from bind_agent.backend.controllers.context import Context
from bind_agent.backend.controlplane import deployment, objects
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.controlplane.overrides import raising
from bind_agent.kube.errors import ApiError, BadRequest, Forbidden, Invalid, PayloadTooLarge
from bind_agent.manifests import load_manifests

log = structlog.get_logger(__name__)


def _failed(message: str) -> Condition:
    return conditions.false(
        ConditionType.KONNECTOR_DEPLOYED, Reason.KONNECTOR_DEPLOYMENT_FAILED, Severity.ERROR, message
    )


class Workload:
    """Keeps the konnectors of app clusters."""

    def __init__(self, context: Context, image: str) -> None:
        """Set up.

        Args:
            context: client and recorder.
            image: of konnectors whose overrides name none.
        """
        self._context = context
        self._image = image
        self._shipped = next(
            one for one in load_manifests("konnector/workload.yaml") if one["kind"] == DEPLOYMENTS.kind
        )
        self._settled: dict[str, tuple[str, tuple[str, int]]] = {}

    async def bring_about(self, wanted: Wanted, live: Object | None) -> tuple[Condition, ApiError | None]:
        """Apply the Deployment when it differs, or remove it.

        Args:
            wanted: the AppClusterBinding.
            live: the Deployment as observed.

        Returns:
            KonnectorDeployed, and the refusal of the server behind it, if any.

        Raises:
            KubeError: a request failed for a reason that may pass.
        """
        if wanted.deploy and (unchecked := self._unchecked(wanted)):
            return _failed(unchecked), None
        try:
            if wanted.deploy:
                await self._apply(wanted, live)
            elif live is not None and wanted.is_ours(live) and not meta.is_deleting(live):
                log.info("removing a konnector", deployment=meta.name(live), namespace=wanted.root)
                await self._context.client.delete(
                    DEPLOYMENTS, meta.name(live), namespace=wanted.root, uid=meta.uid(live)
                )
        except (BadRequest, Forbidden, Invalid, PayloadTooLarge) as error:
            message = (
                f"the API server refuses the Deployment {wanted.root}/{wanted.deployment}: {error.message}"
            )
            return _failed(message), error
        return conditions.true(ConditionType.KONNECTOR_DEPLOYED), None

    def _unchecked(self, wanted: Wanted) -> str:
        """What is wrong with overrides that nobody would check; empty when nothing is."""
        namespace = self._context.views.namespace(wanted.root)
        # One that is not seen yet was made a moment ago, with the label.
        if namespace is None or objects.POD_SECURITY.items() <= meta.labels(namespace).items():
            return ""
        fields = raising(wanted.overrides)
        if not fields:
            return ""
        label = "=".join(*objects.POD_SECURITY.items())
        return (
            f"namespace {wanted.root} does not enforce the pod security standard restricted, so {' and '.join(fields)}"
            f" in spec.konnector.overrides could ask for anything: run kubectl label namespace {wanted.root} {label},"
            " or take that out"
        )

    async def _apply(self, wanted: Wanted, live: Object | None) -> None:
        desired = deployment.konnector(self._shipped, wanted, self._image, self._context.policy.claimable)
        digest = deployment.digest(desired)
        known, settled = self._settled.get(wanted.key, ("", None))
        if deployment.in_sync(live, desired, settled=settled if known == digest else None):
            return
        log.info("applying a konnector", deployment=wanted.deployment, namespace=wanted.root)
        stored = await self._context.client.apply(
            DEPLOYMENTS, desired, namespace=wanted.root, field_manager=names.PROGRAM
        )
        self._settled[wanted.key] = (digest, (meta.uid(stored), meta.generation(stored)))

    def forget(self, key: str) -> None:
        """The AppClusterBinding is gone."""
        self._settled.pop(key, None)
