"""From a CRD and its template to the export that a tenant gets, or to the reason why there is none: pure.

The request controller creates exports from this, the export controller keeps them equal to it, so both give
the same reasons (spec 4.7, 4.8; W-B9, W-B16, W-B17, W-B18).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bind_agent.api import guards, keys, meta, naming
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.conversion import InvalidCRD, crd_part, spec_hash
from bind_agent.api.export import CLUSTER, ISOLATION_PREFIXED, NAMESPACED
from bind_agent.api.meta import Object
from bind_agent.api.resource import EXPORTS
from bind_agent.backend import claims, names, versions
from bind_agent.backend.access import Kind
from bind_agent.backend.templates import Choice

_MARKS: Final = (keys.SOURCE_SPEC_HASH, names.TEMPLATE, names.VERSIONS)

_KEPT: Final = ("informerScope", "clusterScopedIsolation")
"""Fields of an existing export that stay: the first is immutable, the second decides where objects are."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a resource cannot be exported.

    Attributes:
        reason: word for the condition.
        message: what is wrong and what to do.
        final: nothing that happens on the provider can cure it.
        existing: what exports that exist go on with; None when they stay as they are.
    """

    reason: str
    message: str
    final: bool = False
    existing: "Draft | None" = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How this backend exports.

    Attributes:
        scope: `Namespaced` or `Cluster`, from `--consumer-scope`.
        isolation: for cluster-scoped resources.
        claimable: group resources that templates may claim.
    """

    scope: str = NAMESPACED
    isolation: str = ISOLATION_PREFIXED
    claimable: Collection[str] = guards.CLAIMABLE


@dataclass(frozen=True, slots=True)
class Draft:
    """What exports of a resource should say.

    Attributes:
        part: of the CRD, with all versions.
        more: the rest of the spec of a new export.
        template: `<namespace>/<name>` of the template behind it.
        version: that the template selects; empty for all.
        hashes: those that were asked for, by the versions. Thousands of exports say one of few things.
    """

    part: Mapping[str, Any]
    more: Mapping[str, Any]
    template: str = ""
    version: str = ""
    hashes: dict[tuple[tuple[str, bool], ...], str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def spec(self) -> dict[str, Any]:
        """Whole spec of a new export."""
        return {**versions.of_new(self.part, self.version).part, **self.more}

    def marks(self, offered: versions.Offered) -> dict[str, str]:
        """Annotations of an export.

        Args:
            offered: by it, of this part.
        """
        known = tuple((str(one["name"]), bool(one["storage"])) for one in offered.part["versions"])
        if known not in self.hashes:
            self.hashes[known] = spec_hash(offered.part)
        marks = {keys.SOURCE_SPEC_HASH: self.hashes[known], names.TEMPLATE: self.template}
        return {**marks, names.VERSIONS: offered.mark} if offered.mark else marks


def refuse_kind(kind: Kind) -> Problem | None:
    """Kinds that no backend exports, whatever template or CRD there is."""
    if not kind.group:
        # The name `P.G` of its export would end in a dot.
        return Problem(
            Reason.PROTECTED_GROUP,
            f"{kind.plural} is of the core group, which cannot be exported: ask for a resource that"
            " a CRD defines",
            final=True,
        )
    if naming.is_protected_group(kind.group) or kind.group in {keys.GROUP, keys.TEMPLATE_GROUP}:
        return Problem(
            Reason.PROTECTED_GROUP,
            f"{kind} is of a group that belongs to Kubernetes or to this product and cannot be exported",
            final=True,
        )
    return None


def draft(kind: Kind, crd: Object | None, choice: Choice | None, policy: Policy) -> Draft | Problem:
    """What the export of a resource should say.

    Args:
        kind: the resource.
        crd: its CRD with schemas; None when the provider has none.
        choice: its template; None when there is none.
        policy: of this backend.
    """
    if (refused := refuse_kind(kind)) is not None:
        return refused
    if crd is None:
        return Problem(
            Reason.CRD_NOT_FOUND, f"the provider has no CRD {kind}: install it there, or correct the name"
        )
    if choice is None:
        return Problem(
            Reason.TEMPLATE_NOT_FOUND,
            f"no {keys.KIND_TEMPLATE} on the provider selects {kind}: create one, or ask for an API that is"
            " offered",
        )
    if choice.ambiguous:
        return Problem(
            Reason.TEMPLATE_AMBIGUOUS,
            f"several templates on the provider select {kind} ({choice.all_keys}), so nobody can say which is"
            " meant: delete all but one",
        )
    try:
        part = crd_part(crd)
    except InvalidCRD as error:
        return Problem(Reason.CRD_INVALID, str(error))
    return _unsuitable(kind, part, choice, policy) or _offer(kind, part, choice, policy)


def _unsuitable(kind: Kind, part: Mapping[str, Any], choice: Choice, policy: Policy) -> Problem | None:
    """What speaks against a resource that exists and is offered."""
    template = meta.key(choice.template)
    if (refusal := claims.refuse(choice.claims, policy.claimable)) is not None:
        return Problem(refusal.reason, f"template {template}: {refusal.message}; change its permissionClaims")
    if part["scope"] == CLUSTER and policy.scope != CLUSTER:
        return Problem(
            Reason.SCOPE_NOT_SUPPORTED,
            f"{kind} is cluster-scoped, and this backend exports namespaced resources only: run it with"
            " --consumer-scope Cluster to export it",
            final=True,
        )
    return None


def _offer(kind: Kind, part: Mapping[str, Any], choice: Choice, policy: Policy) -> Draft | Problem:
    found = Draft(part, _more(part, choice, policy), choice.key, choice.version)
    if not choice.version or versions.serves(part, choice.version):
        return found
    return Problem(
        Reason.TEMPLATE_INVALID,
        f"template {choice.key} selects version {choice.version}, which the CRD {kind} does not serve: change"
        " APIServiceSelector.version",
        existing=found,
    )


def new_export(namespace: str, wanted: Draft) -> Object:
    """The export as it is created."""
    offered = versions.of_new(wanted.part, wanted.version)
    plural = wanted.part["names"]["plural"]
    return {
        "apiVersion": EXPORTS.api_version,
        "kind": EXPORTS.kind,
        "metadata": {
            "name": f"{plural}.{wanted.part['group']}",
            "namespace": namespace,
            "annotations": wanted.marks(offered),
        },
        "spec": wanted.spec,
    }


def revised(export: Object, wanted: Draft) -> Object | Problem | None:
    """An existing export brought up to date.

    Args:
        export: as observed.
        wanted: what exports of the resource should say.

    Returns:
        The whole object to write, None when nothing differs, or why it cannot follow.
    """
    old = export.get("spec")
    old = old if isinstance(old, Mapping) else {}
    offered = versions.of_existing(wanted.part, wanted.version, export)
    spec = {**offered.part, **wanted.more, **{name: old[name] for name in _KEPT if name in old}}
    if spec["scope"] == CLUSTER and spec.get("informerScope") != CLUSTER:
        return Problem(
            Reason.SCOPE_NOT_SUPPORTED,
            "the CRD became cluster-scoped, which an existing export cannot follow: delete the"
            " export and request it"
            " again",
        )
    if spec["scope"] != CLUSTER:
        spec.pop("clusterScopedIsolation", None)
    foreign = {key: value for key, value in meta.annotations(export).items() if key not in _MARKS}
    marks = {**foreign, **wanted.marks(offered)}
    if spec == dict(old) and marks == dict(meta.annotations(export)):
        return None
    return {**export, "metadata": {**meta.metadata(export), "annotations": marks}, "spec": spec}


def _more(part: Mapping[str, Any], choice: Choice, policy: Policy) -> dict[str, Any]:
    """What a new export says beside the CRD part."""
    more: dict[str, Any] = {"informerScope": policy.scope}
    if part["scope"] == CLUSTER:
        more["clusterScopedIsolation"] = policy.isolation
    if choice.claims:
        # As the API server keeps them in the template, defaults and empty lists included: the export's schema
        # gives the same defaults, so an equal export compares equal, and `namespaces: []` keeps its meaning.
        more["permissionClaims"] = [dict(claim) for claim in choice.claims]
    return more
