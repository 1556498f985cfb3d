"""The catalogue: which APIs a person may bind, and what a page says about each. Pure (spec 4.3, 4.6)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.api import meta
from bind_agent.api.claim_words import ClaimWords
from bind_agent.api.export import CLUSTER
from bind_agent.api.meta import Object
from bind_agent.api.text import printable
from bind_agent.backend import claims, exports, templates
from bind_agent.backend.access import Kind
from bind_agent.backend.exports import Policy
from bind_agent.backend.pages import claim_view, schema_view
from bind_agent.backend.pages.schema_view import Field

DESCRIPTION: Final = "kubernetes.io/description"
"""Well-known annotation; on a template it replaces what the CRD says about itself."""

_SHORT: Final = 280
_LONG: Final = 2000
_NAME: Final = 253
_QUERY: Final = 100


@dataclass(frozen=True, slots=True)
class Offer:
    """An API that can be bound.

    Attributes:
        name: `plural.group`, as everywhere.
        plural: for the address and the anchor's class.
        group: for the address.
        kind: how people call it.
        description: what it is for; may be empty.
        namespaced: whether its objects live in namespaces.
        versions: served versions, deprecated ones marked.
        claims: what else is copied.
        trouble: why it cannot be bound at the moment; empty when it can.
        more_claims: how many claims there are beyond those that are shown.
    """

    name: str
    plural: str
    group: str
    kind: str
    description: str
    namespaced: bool
    versions: tuple[str, ...]
    claims: tuple[ClaimWords, ...]
    trouble: str = ""
    more_claims: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """One served version of an API.

    Attributes:
        name: for instance `v1`.
        deprecated: its warning, or a sentence; empty when it is not.
        whole: its schema; None for a version that is not looked at.
    """

    name: str
    deprecated: str
    whole: Field | None


def offers(
    found: Iterable[Object],
    crd_of: Callable[[str], Object | None],
    *,
    policy: Policy,
    provider: str,
    allowed: Callable[[Mapping[str, Any]], bool],
) -> list[Offer]:
    """The offers of a provider, by name, one per CRD.

    Args:
        found: all templates.
        crd_of: the CRD of `plural.group`, with or without schemas; None when there is none.
        policy: of this backend; with scope Namespaced, cluster-scoped resources are left out.
        provider: what it is called.
        allowed: whether a template may be bound by the person who looks.
    """
    return [
        one for template, one in listed(found, crd_of, policy=policy, provider=provider) if allowed(template)
    ]


def listed(
    found: Iterable[Object], crd_of: Callable[[str], Object | None], *, policy: Policy, provider: str
) -> list[tuple[Object, Offer]]:
    """All offers, each with the template that says who may bind it; arguments as for `offers`."""
    by_kind: dict[str, list[Object]] = {}
    for template in found:
        by_kind.setdefault(str(templates.selected_kind(template)), []).append(template)
    result = []
    for name in sorted(by_kind):
        choice = templates.choose(by_kind[name])
        crd = crd_of(name) if choice is not None else None
        if choice is None or crd is None or meta.is_deleting(crd):
            continue
        if (one := offer(choice, crd, policy=policy, provider=provider)) is not None:
            result.append((dict(choice.template), one))
    return result


def offer(choice: templates.Choice, crd: Object, *, policy: Policy, provider: str) -> Offer | None:
    """One offer; None when a resource of this scope or group is never exported here."""
    kind = templates.selected_kind(choice.template)
    spec = _mapping(crd.get("spec"))
    if exports.refuse_kind(kind) is not None:
        return None
    if spec.get("scope") == CLUSTER and policy.scope != CLUSTER:
        return None
    served = _served(spec, choice.version)
    names = _mapping(spec.get("names"))
    return Offer(
        name=str(kind),
        plural=kind.plural,
        group=kind.group,
        kind=printable(names.get("kind") or kind.plural, _NAME),
        description=_description(choice.template, crd, served),
        namespaced=spec.get("scope") != CLUSTER,
        versions=tuple(_version_word(one) for one in served),
        claims=claim_view.words(choice.claims, api=str(kind), provider=provider),
        trouble=printable(_trouble(choice, served, policy), _SHORT),
        more_claims=claim_view.hidden(choice.claims),
    )


def bare(kind: Kind) -> Offer:
    """What can be said about an API of which nothing else is known."""
    return Offer(str(kind), kind.plural, kind.group, kind.plural, "", namespaced=True, versions=(), claims=())


def versions(choice: templates.Choice, crd: Mapping[str, Any], wanted: str = "") -> tuple[Version, ...]:
    """The served versions of a CRD with schemas, as far as the template offers them.

    Args:
        choice: the template.
        crd: with schemas.
        wanted: the one that is looked at: a page has room for the fields of one version. Any other word than the
            name of a version means the first.
    """
    served = _served(_mapping(crd.get("spec")), choice.version)
    names = [printable(one.get("name"), 63) for one in served]
    looked_at = names.index(wanted) if wanted in names else 0
    return tuple(
        Version(
            name=name,
            deprecated=_deprecated(one),
            whole=schema_view.view(_schema(one)) if number == looked_at else None,
        )
        for number, (name, one) in enumerate(zip(names, served, strict=True))
    )


def matching(found: Sequence[Offer], search: str) -> list[Offer]:
    """The offers that hold every word of a search, in name, kind or description."""
    words = search[:_QUERY].casefold().split()
    return [
        one
        for one in found
        if all(word in f"{one.name} {one.kind} {one.description}".casefold() for word in words)
    ]


def search_text(raw: str) -> str:
    """What a person searches for, bounded and fit to be shown again."""
    return printable(raw, _QUERY)


def _trouble(choice: templates.Choice, served: Sequence[Mapping[str, Any]], policy: Policy) -> str:
    """Why an offer cannot be bound, as far as a CRD without schemas tells; the whole rule is `exports.draft`."""
    if choice.ambiguous:
        return "its offer is ambiguous, the platform team has to settle which one counts."
    if (refusal := claims.refuse(choice.claims, policy.claimable)) is not None:
        return refusal.message
    if not served:
        return (
            f"its version {choice.version} is not served."
            if choice.version
            else "no version of it is served."
        )
    return ""


def _description(
    template: Mapping[str, Any], crd: Mapping[str, Any], served: Sequence[Mapping[str, Any]]
) -> str:
    stated = meta.annotation(template, DESCRIPTION) or meta.annotation(crd, DESCRIPTION)
    if not stated.strip():
        stated = next((text for one in served if (text := schema_view.description(_schema(one), _LONG))), "")
    return printable(stated, _LONG)


def _served(spec: Mapping[str, Any], wanted: str) -> list[Mapping[str, Any]]:
    listed = spec.get("versions")
    found = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return [one for one in found if one.get("served") is not False and wanted in {"", one.get("name")}][:20]


def _schema(version: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_mapping(version.get("schema")).get("openAPIV3Schema"))


def _version_word(version: Mapping[str, Any]) -> str:
    name = printable(version.get("name"), 63)
    return f"{name} (deprecated)" if version.get("deprecated") is True else name


def _deprecated(version: Mapping[str, Any]) -> str:
    if version.get("deprecated") is not True:
        return ""
    return printable(version.get("deprecationWarning") or "This version will go; use another one.", _SHORT)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
