"""Permission claims: the types (spec 3.2.4), their normal form, hash, breadth and words for people."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec
import orjson

from bind_agent.api import keys, rules, selectors
from bind_agent.api.shared import Part
from bind_agent.api.text import printable
from bind_agent.api.validation import Problem, group_resource, not_empty, one_of

EVERY: Final = "*"
"""In names and namespaces: any."""

ANY: Final = (EVERY,)

ACCEPTED: Final = "Accepted"
REJECTED: Final = "Rejected"


class Pattern(Part, frozen=True, kw_only=True):
    """Wildcard pattern for keys of labels or annotations."""

    pattern: str = ""


class ClaimSelector(Part, frozen=True, kw_only=True):
    """Which objects of the kind are claimed.

    Attributes:
        names: exact names, or `*`.
        namespaces: namespaces of the consumer, or `*`; an explicitly empty list claims cluster-scoped
            objects.
        label_selectors: see `bind_agent.api.selectors`.
        field_selectors: part of the wire without a meaning so far.
        owner: `Provider` (objects flow down), `Consumer` (up), or empty for both.
    """

    names: tuple[str, ...] = ANY
    namespaces: tuple[str, ...] = ANY
    label_selectors: tuple[dict[str, str], ...] = ()
    field_selectors: tuple[str, ...] = ()
    owner: str = ""


class ClaimRead(Part, frozen=True, kw_only=True):
    """Label and annotation patterns, consumer to provider."""

    labels: tuple[Pattern, ...] = ()
    labels_on_provider_owned_objects: tuple[Pattern, ...] = ()
    annotations: tuple[Pattern, ...] = ()
    override_annotations: tuple[Pattern, ...] = ()


class ClaimCreate(Part, frozen=True, kw_only=True):
    """What happens on the consumer when a provider's object arrives."""

    replace_existing: bool = False


class ClaimOnConflict(Part, frozen=True, kw_only=True):
    """What happens when the sides disagree."""

    recreate_when_consumer_side_deleted: bool = True


class ClaimUpdate(Part, frozen=True, kw_only=True):
    """Which parts of an object are updated, and how."""

    fields: tuple[str, ...] = ()
    preserving: tuple[str, ...] = ()
    always_recreate: bool = False
    labels: tuple[Pattern, ...] = ()
    labels_on_consumer_owned_objects: tuple[Pattern, ...] = ()
    annotations: tuple[Pattern, ...] = ()
    annotations_on_consumer_owned_objects: tuple[Pattern, ...] = ()


class PermissionClaim(Part, frozen=True, kw_only=True):
    """A provider's wish to have objects of a kind synced."""

    resource: str
    version: str
    group: str = ""
    selector: ClaimSelector = msgspec.field(default_factory=ClaimSelector)
    required: bool = False
    read: ClaimRead = msgspec.field(default_factory=ClaimRead)
    create: ClaimCreate | None = None
    auto_adopt: bool = False
    auto_donate: bool = False
    on_conflict: ClaimOnConflict = msgspec.field(default_factory=ClaimOnConflict)
    update: ClaimUpdate | None = None

    @property
    def group_resource(self) -> str:
        """`resource.group`, or `resource` for the core group."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def problems(self, path: str) -> list[Problem]:
        """Broken rules; `path` is where the claim stands."""
        found = [
            *group_resource(path, self.group, self.resource),
            *not_empty(f"{path}.version", self.version),
        ]
        if self.auto_adopt and self.auto_donate:
            found.append(Problem(path, rules.DONATE_AND_ADOPT))
        if self.selector.owner:
            found += one_of(
                f"{path}.selector.owner", self.selector.owner, [keys.OWNER_PROVIDER, keys.OWNER_CONSUMER]
            )
        return found


class AcceptablePermissionClaim(PermissionClaim, frozen=True, kw_only=True):
    """A claim together with the consumer's decision."""

    state: str

    @property
    def accepted(self) -> bool:
        """Whether the consumer agreed."""
        return self.state == ACCEPTED

    def problems(self, path: str) -> list[Problem]:
        """Broken rules; `path` is where the claim stands."""
        return [*super().problems(path), *one_of(f"{path}.state", self.state, [ACCEPTED, REJECTED])]


class Breadth(StrEnum):
    """How much a claim takes, the widest first."""

    EVERYTHING = "everything"
    LABELLED = "labelled"
    NAMED = "named"


C = TypeVar("C", bound=PermissionClaim)


def normalised(claim: C) -> C:
    """The claim in the one form that all claims of the same meaning have.

    Lists whose order means nothing are sorted and freed of duplicates; `*` swallows its neighbours; no names
    at all means any name, as the Go konnector reads it. Empty `namespaces` keep their own meaning.
    """
    old = claim.selector
    selector = ClaimSelector(
        names=_with_wildcard(old.names) or ANY,
        namespaces=_with_wildcard(old.namespaces),
        label_selectors=selectors.normalised(old.label_selectors),
        field_selectors=tuple(sorted(set(old.field_selectors))),
        owner=old.owner,
    )
    read = ClaimRead(
        labels=_patterns(claim.read.labels),
        labels_on_provider_owned_objects=_patterns(claim.read.labels_on_provider_owned_objects),
        annotations=_patterns(claim.read.annotations),
        override_annotations=_patterns(claim.read.override_annotations),
    )
    update = claim.update and ClaimUpdate(
        fields=tuple(sorted(set(claim.update.fields))),
        preserving=tuple(sorted(set(claim.update.preserving))),
        always_recreate=claim.update.always_recreate,
        labels=_patterns(claim.update.labels),
        labels_on_consumer_owned_objects=_patterns(claim.update.labels_on_consumer_owned_objects),
        annotations=_patterns(claim.update.annotations),
        annotations_on_consumer_owned_objects=_patterns(claim.update.annotations_on_consumer_owned_objects),
    )
    return msgspec.structs.replace(claim, selector=selector, read=read, update=update)


def content_hash(claim: PermissionClaim) -> str:
    """Hash of what a claim lets cross (40 hexadecimal digits); the same for claims of the same meaning.

    `required` and `state` are not part of it: they say how much the claim is wanted and what was answered,
    not what is copied. Consent is bound to this hash (threats A19).
    """
    plain = msgspec.to_builtins(normalised(claim))
    content = {field: value for field, value in plain.items() if field not in {"required", "state"}}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:40]


def claim_key(claim: PermissionClaim) -> str:
    """Name of a claim among the claims of one export: `secrets/v1#` and part of its hash.

    Two claims of one kind with different selectors have different keys.
    """
    return f"{claim.group_resource}/{claim.version}#{content_hash(claim)[:10]}"


def breadth(claim: PermissionClaim) -> Breadth:
    """How much the claim takes of its kind, namespaces aside.

    A narrowing that narrows nothing (`*`, an empty list, an empty map) counts as none (threats A24).
    """
    selector = normalised(claim).selector
    if selector.names != ANY:
        return Breadth.NAMED
    return Breadth.LABELLED if selector.label_selectors else Breadth.EVERYTHING


def describe(claim: PermissionClaim) -> str:
    """What would be copied, and which way, in one sentence without a full stop; safe to print.

    For instance: `secrets with labels app=db in every bound namespace, from the provider to this cluster`.
    """
    selector = normalised(claim).selector
    what = [claim.group_resource if claim.group else claim.resource]
    if selector.names != ANY:
        what.append(f"named {_either(selector.names)}")
    if selector.label_selectors:
        maps = [",".join(f"{k}={v}" for k, v in sorted(own.items())) for own in selector.label_selectors]
        what.append(f"with labels {_either(maps)}")
    if breadth(claim) is Breadth.EVERYTHING:
        what.insert(0, "all")
    if not selector.namespaces:
        what.append("outside of namespaces")
    elif selector.namespaces == ANY:
        what.append("in every bound namespace")
    else:
        what.append(f"in namespace {_either(selector.namespaces)}")
    return printable(f"{' '.join(what)}, {_DIRECTIONS.get(selector.owner, _BOTH_WAYS)}", limit=1024)


def selects(claim: PermissionClaim, namespace: str, name: str, labels: Mapping[str, str]) -> bool:
    """Whether an object belongs to the claim.

    Args:
        claim: the claim.
        namespace: the object's namespace **on the consumer**, empty for cluster-scoped objects.
        name: its name.
        labels: its labels on the side where it is looked at.
    """
    selector = claim.selector
    if not selector.namespaces:
        if namespace:
            return False
    elif not namespace or not (EVERY in selector.namespaces or namespace in selector.namespaces):
        return False
    if selector.names and EVERY not in selector.names and name not in selector.names:
        return False
    return selectors.matches(selector.label_selectors, labels)


def allows_owner(claim: PermissionClaim, owner: str) -> bool:
    """Whether objects of that owner are claimed; without an owner in the selector, both are."""
    return claim.selector.owner in {"", owner}


def covers(wide: PermissionClaim, narrow: PermissionClaim) -> bool:
    """Whether everything that the second claim lets cross, in the way it does, the first one does as well.

    Errs on the side of no: what is not plainly narrower counts as wider.
    """
    return _same_apart_from_selector(normalised(wide), normalised(narrow)) and reaches(wide, narrow)


def reaches(wide: PermissionClaim, narrow: PermissionClaim) -> bool:
    """Whether everything that the second claim selects, in every direction it does, the first one selects as well.

    What else a claim says about the handling of objects is not looked at. Errs on the side of no.
    """
    outer, inner = normalised(wide).selector, normalised(narrow).selector
    return (
        (wide.group, wide.resource, wide.version) == (narrow.group, narrow.resource, narrow.version)
        and outer.owner in {"", inner.owner}
        and outer.field_selectors == inner.field_selectors
        and bool(outer.namespaces) == bool(inner.namespaces)
        and _subset(inner.names, outer.names)
        and _subset(inner.namespaces, outer.namespaces)
        and selectors.covers(outer.label_selectors, inner.label_selectors)
    )


def decided(claim: PermissionClaim, state: str) -> AcceptablePermissionClaim:
    """The claim with a decision, as it stands in a binding."""
    fields: dict[str, Any] = {
        name: getattr(claim, name) for name in PermissionClaim.__struct_fields__ if name != "state"
    }
    return AcceptablePermissionClaim(state=state, **fields)


_DIRECTIONS: Final = {
    keys.OWNER_PROVIDER: "from the provider to this cluster",
    keys.OWNER_CONSUMER: "from this cluster to the provider",
}
_BOTH_WAYS: Final = "in both directions, each object from the side that owns it"


def _with_wildcard(entries: tuple[str, ...]) -> tuple[str, ...]:
    return ANY if EVERY in entries else tuple(sorted(set(entries)))


def _patterns(entries: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    return tuple(Pattern(pattern=text) for text in sorted({entry.pattern for entry in entries}))


def _either(words: tuple[str, ...] | list[str]) -> str:
    return " or ".join(words)


def _subset(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return outer == ANY or set(inner) <= set(outer)


def _same_apart_from_selector(first: PermissionClaim, second: PermissionClaim) -> bool:
    ignored = {"selector", "required", "state"}
    return all(
        getattr(first, name) == getattr(second, name)
        for name in PermissionClaim.__struct_fields__
        if name not in ignored
    )
