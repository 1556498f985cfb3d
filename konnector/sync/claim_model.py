"""Data of the claim sync: what ``plan_claim`` is told, and the steps that it answers with (design 4.4)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from bind_agent.api import claims as api_claims
from bind_agent.api import keys, meta, naming
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from konnector.sync.metadata import CLAIMED_OBJECTS, MetadataRule
from konnector.sync.model import ConfirmAbsence, Refuse, Side

OWNER_OF: Final[Mapping[Side, str]] = {
    Side.PROVIDER: keys.OWNER_PROVIDER,
    Side.CONSUMER: keys.OWNER_CONSUMER,
}
"""Value of the owner annotation for objects whose source is on a side."""


@dataclass(frozen=True, slots=True)
class ClaimSet:
    """All claims in force for one kind towards one provider; an object is judged by their union.

    Attributes:
        resource: the claimed kind.
        claims: normalised claims, several bindings' together.
        own_namespaces: namespaces on the consumer, besides the protected ones, that nothing crosses.
        rule: which labels the copies carry: descriptive ones, and those that claims select by.
        held: claims that rest, because their binding is paused or its export is not known at the moment: what only
            they select is neither brought up to date nor taken back.
    """

    resource: Resource
    claims: tuple[PermissionClaim, ...] = ()
    own_namespaces: frozenset[str] = frozenset()
    rule: MetadataRule = CLAIMED_OBJECTS
    held: tuple[PermissionClaim, ...] = ()

    @classmethod
    def of(
        cls,
        resource: Resource,
        claims: Iterable[PermissionClaim],
        own_namespaces: Iterable[str] = (),
        held: Iterable[PermissionClaim] = (),
    ) -> "ClaimSet":
        """Collect the claims of one kind.

        Args:
            resource: the kind; claims of other kinds or versions are left out, and cluster-scoped kinds have
                none, since their names are not separated between tenants.
            claims: the effective claims of all bindings (``bind_agent.api.consent``).
            own_namespaces: namespaces that the konnector lives in.
            held: claims that rest.
        """
        united = _of_kind(resource, claims)
        return cls(resource, united, frozenset(own_namespaces), _rule(united), held=_of_kind(resource, held))

    def flows(self, owner: str, namespace: str, name: str, labels: Mapping[str, str]) -> bool:
        """Whether an object of that owner is claimed.

        Args:
            owner: `Provider` or `Consumer`.
            namespace: its namespace on the consumer.
            name: its name.
            labels: labels of the source object.
        """
        return _select(self.claims, owner, namespace, name, labels)

    def names_owner(self, owner: str, namespace: str, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a claim selects an object and says itself that objects of that owner are meant; see ``flows``."""
        named = [claim for claim in self.claims if claim.selector.owner == owner]
        return _select(named, owner, namespace, name, labels)

    def rests(self, owner: str, namespace: str, name: str, labels: Mapping[str, str]) -> bool:
        """Whether an object is left as it is, because a claim that rests selects it; see ``flows``."""
        return _select(self.held, owner, namespace, name, labels)


def _select(
    claims: Iterable[PermissionClaim], owner: str, namespace: str, name: str, labels: Mapping[str, str]
) -> bool:
    return any(
        api_claims.allows_owner(claim, owner) and api_claims.selects(claim, namespace, name, labels)
        for claim in claims
    )


def _of_kind(resource: Resource, claims: Iterable[PermissionClaim]) -> tuple[PermissionClaim, ...]:
    wanted = (resource.group, resource.plural, resource.version)
    found = {
        api_claims.content_hash(claim): api_claims.normalised(claim)
        for claim in claims
        if resource.namespaced and (claim.group, claim.resource, claim.version) == wanted
    }
    return tuple(found[key] for key in sorted(found))


def _rule(claims: Iterable[PermissionClaim]) -> MetadataRule:
    selected = {key for claim in claims for selector in claim.selector.label_selectors for key in selector}
    return replace(CLAIMED_OBJECTS, allowed=CLAIMED_OBJECTS.allowed | selected)


@dataclass(frozen=True, slots=True)
class ClaimPlacement:
    """Where the two objects of a pair live (spec 6.9.1: equal names, mapped namespaces)."""

    consumer_namespace: str
    provider_namespace: str
    name: str

    def namespace(self, side: Side) -> str:
        """The namespace on a side."""
        return self.consumer_namespace if side is Side.CONSUMER else self.provider_namespace

    def key(self, side: Side) -> str:
        """The key on a side."""
        return meta.join_key(self.namespace(side), self.name)


@dataclass(frozen=True, slots=True)
class ClaimPolicy:
    """What holds for all claimed objects of one provider session.

    Attributes:
        cluster_id: identity of the app cluster.
        provider_id: identity of the provider as we reached it (its kubeconfig's identity): a provider cannot
            choose it, so it cannot pass for the one that another provider's copies came from.
        paused: no steps at all.
        alone: no other provider is bound, so that what a Go konnector copied can be nobody else's.
    """

    cluster_id: str
    provider_id: str
    paused: bool = False
    alone: bool = False

    @property
    def copy_label(self) -> str:
        """Value of the label ``keys.COPY`` on copies: which provider session they belong to."""
        return naming.digest(self.cluster_id, self.provider_id)


@dataclass(frozen=True, slots=True)
class CreateCopy:
    """POST the copy; one that exists by then is a reason to plan again."""

    side: Side
    object: Object


@dataclass(frozen=True, slots=True)
class UpdateCopy:
    """PUT the copy; UID and resource version stand in the object."""

    side: Side
    object: Object
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class ReplaceCopy:
    """Something immutable changed: delete the copy under UID and resource version, then POST the new one."""

    side: Side
    uid: str
    resource_version: str
    object: Object


@dataclass(frozen=True, slots=True)
class DeleteCopy:
    """Delete a copy that is proven ours, under its UID and resource version.

    Attributes:
        side: where the copy is.
        uid: its UID.
        resource_version: the version that was judged.
        why: short text for logs and ``plan`` output.
    """

    side: Side
    uid: str
    resource_version: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class MarkSource:
    """Merge patch that sets (or, on retraction, removes) the owner annotation on the source, locked."""

    side: Side
    uid: str
    resource_version: str
    patch: Object


ClaimStep: TypeAlias = (
    CreateCopy | UpdateCopy | ReplaceCopy | DeleteCopy | MarkSource | ConfirmAbsence | Refuse
)
