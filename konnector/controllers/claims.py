"""Which claims are in force, and the sync of each claimed kind (design 4.4).

Claims of all bindings of a session meet here: what an export asks for is held against what the binding has accepted
(``bind_agent.api.consent``), and one ``ClaimSync`` per claimed kind serves them all, so bindings that claim the same
kind share its watches and never fight over an object.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import structlog

from bind_agent.api import conditions, keys, meta
from bind_agent.api.claims import AcceptablePermissionClaim, PermissionClaim
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.consent import Consent, Decision, decide
from bind_agent.api.guards import can_be_allowed, refuse_claim
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.runtime.controller import Controller, Result
from bind_agent.runtime.faults import describe
from konnector.clusters import AppCluster, Provider
from konnector.controllers.binding_status import BindingStatus
from konnector.controllers.troubles import Followed, Trouble
from konnector.sync import remedies
from konnector.sync.claim_quota import Quota
from konnector.sync.claims import ClaimSync
from konnector.sync.model import Side
from konnector.sync.namespaces import ServiceNamespaces
from konnector.sync.pacing import Pacing
from konnector.sync.reports import Reports

log = structlog.get_logger(__name__)

_UNKNOWN_KIND_RETRY_SECONDS = 10.0
_KEY = "all"

Kind: TypeAlias = tuple[str, str, str]
"""Group, version and plural of a claimed kind."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The claims of one binding.

    Attributes:
        binding: key of the binding.
        decisions: one per claim of the export.
        paused: the binding is paused: its claims neither flow nor are retracted.
        accepted: kinds that the binding has accepted. What was copied for a claim that the export makes no more
            is taken back, for as long as the entry (and with it the right to do so) stands.
    """

    binding: str
    decisions: tuple[Decision, ...]
    paused: bool
    accepted: frozenset[Kind]


class Claims:
    """The claim syncs of one provider session."""

    def __init__(
        self,
        app: AppCluster,
        provider: Provider,
        mapping: ServiceNamespaces,
        status: BindingStatus,
        *,
        bindings: Callable[[], Iterable[Object]],
        alone: Callable[[], bool] = lambda: False,
        pacing: Pacing | None = None,
    ) -> None:
        """Start with no claim.

        Args:
            app: the app cluster.
            provider: the provider.
            mapping: consumer namespaces to service namespaces.
            status: where conditions of bindings are stated.
            bindings: the bindings of the session as they are now.
            alone: whether no other provider is bound in the app cluster, as far as that is known.
            pacing: of the writes that the provider causes on the app cluster.
        """
        self._alone = alone
        self._bindings = bindings
        self._pacing = pacing or Pacing()
        self._quota = Quota(app.options.limits)
        self._app = app
        self._provider = provider
        self._mapping = mapping
        self._status = status
        self._asked: dict[str, Asked] = {}
        self._running: dict[Kind, tuple[ClaimSync, asyncio.Task[None]]] = {}
        self._unknown: frozenset[Kind] = frozenset()
        self._controller = Controller("claims", self._reconcile, workers=1)

    async def run(self) -> None:
        """Serve until cancelled; the syncs end with it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._controller.run()

    def update(self, export_name: str, binding_key: str, export: Object, binding: Object) -> None:
        """Take the claims of an export and the answers of its binding over.

        Args:
            export_name: name of both.
            binding_key: key of the binding.
            export: the export as observed.
            binding: the binding as observed.
        """
        try:
            offered = msgspec.convert(
                (export.get("spec") or {}).get("permissionClaims") or [], list[PermissionClaim]
            )
            decided = msgspec.convert(
                (binding.get("spec") or {}).get("permissionClaims") or [], list[AcceptablePermissionClaim]
            )
        except msgspec.ValidationError as error:
            self._status.state(
                [binding_key],
                conditions.false(
                    ConditionType.CLAIMS_IN_FORCE,
                    Reason.CLAIM_REFUSED,
                    Severity.WARNING,
                    f"malformed claim: {error}",
                ),
            )
            return
        claimable = self._app.options.claimable
        asked = Asked(
            binding_key,
            decide(offered, decided, allowed=claimable),
            meta.annotation(binding, keys.PAUSED) == keys.TRUE,
            frozenset(
                _kind(claim)
                for claim in decided
                if claim.accepted and refuse_claim(claim, allowed=claimable) is None
            ),
        )
        if asked.decisions or self._status.stated(binding_key, ConditionType.CLAIMS_IN_FORCE) is not None:
            self._status.state([binding_key], verdict(asked.decisions, root=self._app.root))
        if self._asked.get(export_name) != asked:
            self._asked[export_name] = asked
            self._controller.enqueue(_KEY)

    def remove(self, export_name: str) -> None:
        """The export is not known any more: what was copied stays as it is while the binding is there.

        Without a binding nothing asks for the copies any more: they go if another binding claims the kind.
        """
        self._asked.pop(export_name, None)
        self._controller.enqueue(_KEY)  # also when it was not known: its binding may have gone meanwhile

    def followed(self, export_name: str) -> Iterator[Followed]:
        """The watches that the claims of one export depend on."""
        for kind in self._kinds(export_name):
            if kind in self._running:
                yield from (Followed(*pair) for pair in self._running[kind][0].followed())

    def hindrances(self, export_name: str) -> Iterator[Trouble]:
        """What holds up the claimed objects of one export as a whole."""
        for kind in self._kinds(export_name):
            if kind in self._unknown:
                group, version, plural = kind
                message = remedies.not_served(Side.CONSUMER, Resource(group, version, plural))
                yield Trouble(Reason.CRD_NOT_FOUND, message)
            elif kind in self._running and (found := self._running[kind][0].reports.hindrance):
                yield Trouble(*found)

    def recheck(self) -> None:
        """Look again at what is refused, because its cause may be gone."""
        for sync, _ in self._running.values():
            for key in sync.reports.refused:
                sync.controller.enqueue(key)

    def _kinds(self, export_name: str) -> list[Kind]:
        asked = self._asked.get(export_name)
        return [] if asked is None else [_kind(d.effective) for d in asked.decisions if d.effective]

    async def _reconcile(self, _: str) -> Result | None:
        wanted: dict[Kind, dict[str, list[PermissionClaim]]] = defaultdict(dict)
        binding: dict[Kind, str] = {}
        for name, asked in self._asked.items():
            for decision in asked.decisions if not asked.paused else ():
                kind = _kind(decision.effective or decision.offered)
                binding.setdefault(kind, name)
                if decision.effective is not None:
                    wanted[kind].setdefault(name, []).append(decision.effective)
                elif kind in self._running:
                    wanted.setdefault(kind, {})  # goes on without claims: what it had copied is retracted
            for kind in asked.accepted if not asked.paused else ():
                binding.setdefault(kind, name)
                wanted.setdefault(kind, {})  # likewise, also after a restart
        held = self._resting()
        for kind in [k for k in self._running if k not in wanted or self._running[k][1].done()]:
            ended = self._running.pop(kind)[1]
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
        unknown: set[Kind] = set()
        for kind, claims in wanted.items():
            if kind in self._running:
                self._running[kind][0].update(claims, held=held[kind], binding=binding[kind])
                continue
            group, version, plural = kind
            resource = await self._app.client.discovery.find(group, plural, version)
            if resource is None:
                log.warning(
                    "a claimed kind is not served here", group=group, resource=plural, version=version
                )
                unknown.add(kind)
                continue
            self._start(kind, resource, claims, held[kind], binding[kind])
        self._unknown = frozenset(unknown)
        return Result(after=_UNKNOWN_KIND_RETRY_SECONDS) if unknown else None

    def _resting(self) -> dict[Kind, list[PermissionClaim]]:
        """Claims of bindings that are paused, or whose export is not known (yet): what they select is left alone."""
        held: dict[Kind, list[PermissionClaim]] = defaultdict(list)
        for binding in self._bindings():
            asked = self._asked.get(meta.name(binding))
            if asked is None or asked.paused:
                for claim in accepted_by(binding):
                    held[_kind(claim)].append(claim)
        return held

    def _start(
        self,
        kind: Kind,
        resource: Resource,
        claims: Mapping[str, list[PermissionClaim]],
        held: list[PermissionClaim],
        binding: str,
    ) -> None:
        sync = ClaimSync(
            self._app,
            self._provider.copies,
            self._provider.pool,
            self._mapping,
            resource,
            provider_id=self._provider.identity,
            reports=Reports(self._app.recorder, f"claim:{resource.group_resource}"),
            alone=self._alone,
            pacing=self._pacing,
            quota=self._quota,
        )
        sync.update(claims, held=held, binding=binding)
        self._running[kind] = (
            sync,
            self._group.create_task(self._sync(sync), name=f"claims-{resource.plural}"),
        )

    async def _sync(self, sync: ClaimSync) -> None:
        try:
            await sync.run()
        except* Exception as failures:
            # Not `exception`: the text in a traceback may quote content.
            log.error(  # noqa: TRY400
                "the claim sync failed, starting it again",
                resource=str(sync.resource),
                error=describe(failures),
            )
            self._controller.enqueue(_KEY, after=5.0)


def _kind(claim: PermissionClaim) -> Kind:
    return claim.group, claim.version, claim.resource


def accepted_by(binding: Object) -> list[PermissionClaim]:
    """The claims that a binding has accepted; malformed entries are left out."""
    found = []
    for entry in (binding.get("spec") or {}).get("permissionClaims") or []:
        try:
            claim = msgspec.convert(entry, AcceptablePermissionClaim)
        except msgspec.ValidationError:
            continue
        if claim.accepted:
            found.append(claim)
    return list[PermissionClaim](found)


def verdict(decisions: tuple[Decision, ...], *, root: str = "") -> Condition:
    """``ClaimsInForce`` for the decisions of one binding.

    A claim that the user rejected is settled and does not make the binding unready; one that waits for an answer or
    that may never be accepted does.

    Args:
        decisions: one per claim of the export.
        root: namespace of the binding on the control plane; empty where it is on the app cluster.
    """
    refused = [d.offered for d in decisions if d.consent is Consent.REFUSED]
    allowable = sorted({claim.group_resource for claim in refused if can_be_allowed(claim)})
    forbidden = "may not be claimed" + (f"; {remedies.allowing(allowable, root)}" if allowable else "")
    waiting = f"waits for consent; {remedies.consent(root)}"
    for consent, reason, text in (
        (Consent.REFUSED, Reason.CLAIM_REFUSED, forbidden),
        (Consent.WAITING, Reason.CLAIM_WAITING_FOR_CONSENT, waiting),
    ):
        found = [d for d in decisions if d.consent is consent]
        if found:
            names = ", ".join(sorted({d.offered.group_resource for d in found}))
            return conditions.false(
                ConditionType.CLAIMS_IN_FORCE, reason, Severity.WARNING, f"{names}: {text}"
            )
    return conditions.true(ConditionType.CLAIMS_IN_FORCE)
