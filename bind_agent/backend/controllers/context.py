"""What all controllers of the backend share."""

from dataclasses import dataclass, field
from typing import Final

from cachetools import LRUCache

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.backend import names, roots
from bind_agent.backend.access import Kind
from bind_agent.backend.allowed import Requester
from bind_agent.backend.controllers.request_plan import Limits
from bind_agent.backend.crds import CrdReader
from bind_agent.backend.exports import Draft, Policy, Problem, draft
from bind_agent.backend.rights import Rights
from bind_agent.backend.templates import Choice
from bind_agent.backend.tenancy.identity import identity_of
from bind_agent.backend.tenancy.record import requester_of
from bind_agent.backend.views import Views
from bind_agent.kube.client import Client
from bind_agent.kube.errors import ApiError, BadRequest, Forbidden, Invalid, PayloadTooLarge, ServerError
from bind_agent.runtime.recorder import Recorder

_DRAFTS: Final = 128


@dataclass(frozen=True, slots=True)
class Context:
    """Collaborators of the controllers.

    Attributes:
        client: of the provider cluster.
        views: what is watched.
        crds: CRDs with their schemas.
        rights: what the backend may do.
        recorder: takes Events.
        policy: how this backend exports.
        limits: times of a request's life.
        clock: for wall-clock times.
        legacy_issuer: whose accounts the tenants of a Go backend are.
        drafts: what exports should say, by CRD and template. Thousands of tenants have exports of one kind.
    """

    client: Client
    views: Views
    crds: CrdReader
    rights: Rights
    recorder: Recorder
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    clock: Clock = SYSTEM

    legacy_issuer: str = ""
    drafts: LRUCache[tuple[object, ...], Draft | Problem] = field(
        default_factory=lambda: LRUCache(maxsize=_DRAFTS), repr=False
    )

    async def draft(self, kind: Kind, choice: Choice | None) -> Draft | Problem:
        """What the export of a kind should say at this moment, the same for all tenants; not to be changed.

        Args:
            kind: the kind.
            choice: its template.

        Raises:
            KubeError: its CRD could not be read.
        """
        entry = await self.crds.entry(kind)
        if entry is None or choice is None:
            return draft(kind, None if entry is None else entry.object(), choice, self.policy)
        known = (kind, entry.uid, entry.generation, choice.edition)
        found = self.drafts.get(known)
        if found is None:
            found = self.drafts[known] = draft(kind, entry.object(), choice, self.policy)
        return found

    def requester(self, cluster_namespace: str) -> Requester:
        """In whose name a tenant asks."""
        namespace = self.views.tenant(cluster_namespace) or {}
        if roots.is_root(namespace):
            return roots.requester(self.views.binding(cluster_namespace))
        who = identity_of(namespace, self.legacy_issuer)
        if who is None:
            return Requester(kinds=frozenset())
        return requester_of(who, self.views.binding(cluster_namespace))


def refusal(error: ApiError) -> Problem | None:
    """The problem behind a write that the server will refuse again; None when trying again may help."""
    too_large = isinstance(error, ServerError) and "too large" in error.message
    if too_large or isinstance(error, BadRequest | Forbidden | Invalid | PayloadTooLarge):
        return Problem(
            names.REASON_EXPORT_WRITE_FAILED,
            f"the API server refuses the export ({error.message}): correct the CRD, its size or the template",
        )
    return None
