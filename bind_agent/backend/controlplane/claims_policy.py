"""Which claims are accepted without asking: pure (W-B12).

In control plane mode nobody sits at a prompt. The AppClusterBinding says in an annotation what its author agrees
to: nothing (the default), everything, or kinds by name. What the policy accepted is remembered on the
APIServiceBinding, so a policy that is withdrawn withdraws its decisions, and decisions of people stay as they are:
an entry that a person added, rejected or changed is never touched.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bind_agent.api import guards, naming
from bind_agent.api.claims import ACCEPTED, PermissionClaim, content_hash
from bind_agent.api.shared import without_nulls
from bind_agent.api.text import printable

NONE: Final = "none"
ALL: Final = "all"


class PolicyError(ValueError):
    """The annotation cannot be read; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is accepted.

    Attributes:
        everything: whatever a template claims, also in future.
        kinds: group resources otherwise.
    """

    everything: bool = False
    kinds: frozenset[str] = frozenset()

    def accepts(self, claim: PermissionClaim) -> bool:
        """Whether the claim is accepted."""
        return self.everything or claim.group_resource in self.kinds


@dataclass(frozen=True, slots=True)
class Settled:
    """Decisions about claims, as they are to stand in an APIServiceBinding.

    Attributes:
        entries: `spec.permissionClaims`.
        by_policy: hashes of those that the policy accepted, sorted.
    """

    entries: tuple[Mapping[str, Any], ...]
    by_policy: tuple[str, ...]

    @property
    def annotation(self) -> str:
        """Value of `keys.ACCEPTED_BY_POLICY`; empty means that it is to be absent."""
        return ",".join(self.by_policy)


def parse(text: str) -> Policy:
    """Read the annotation; an empty text means none.

    Raises:
        PolicyError: it is neither a word nor a list of kinds.
    """
    words = [word.strip() for word in text.split(",")]
    if words in ([""], [NONE]):
        return Policy()
    if words == [ALL]:
        return Policy(everything=True)
    for word in words:
        plural, dot, group = word.partition(".")
        if (
            not naming.is_resource(plural)
            or word in {NONE, ALL}
            or (dot and not (group and naming.is_group(group)))
        ):
            raise PolicyError(
                f"{word[:80]!r} is no kind: write none, all, or plural.group of each kind that may be copied,"
                " for instance secrets,configmaps"
            )
    return Policy(kinds=frozenset(words))


def check(policy: Policy, claims: Iterable[Mapping[str, Any]], allowed: Collection[str]) -> None:
    """Refuse kinds that are neither claimed nor can be: mostly a slip of the pen, which would accept nothing.

    The policy is a standing word, so a kind that could be claimed one day is fine.

    Args:
        policy: what was read.
        claims: of all templates that it is about, as on the wire.
        allowed: group resources that may be claimed at all.

    Raises:
        PolicyError: naming the kinds.
    """
    claimed = {typed.group_resource for claim in claims if (typed := _typed(claim)) is not None}
    if unknown := sorted(policy.kinds - claimed - set(allowed)):
        which = " and ".join(f"'{printable(kind, 80)}'" for kind in unknown)
        raise PolicyError(
            f"no claim on {which}; claims can be on: {', '.join(sorted(claimed | set(allowed)))}"
        )


def remembered(annotation: str) -> frozenset[str]:
    """The hashes in an annotation `keys.ACCEPTED_BY_POLICY`."""
    return frozenset(word for word in annotation.split(",") if word)


def settle(
    policy: Policy | None,
    offered: Iterable[Mapping[str, Any]],
    present: Sequence[Mapping[str, Any]],
    by_policy: Collection[str],
    *,
    allowed: Collection[str] = guards.CLAIMABLE,
) -> Settled:
    """Bring decisions in line with the policy.

    Args:
        policy: what is accepted; None when that is not known, and then nothing changes.
        offered: claims of the template as on the wire.
        present: entries of the binding as on the wire.
        by_policy: hashes of the entries that an earlier policy accepted.
        allowed: group resources that may be claimed at all.
    """
    if policy is None:
        return Settled(tuple(present), tuple(sorted(by_policy)))
    wanted = {
        content_hash(typed): claim
        for claim in offered
        if (typed := _typed(claim)) is not None
        and policy.accepts(typed)
        and guards.refuse_claim(typed, allowed=allowed) is None
    }
    entries: list[Mapping[str, Any]] = []
    answered: set[str] = set()
    ours: set[str] = set()
    for entry in present:
        typed = _typed(entry)
        mark = content_hash(typed) if typed is not None else ""
        accepted = entry.get("state") == ACCEPTED
        if accepted and mark in by_policy:
            if mark not in wanted:
                continue
            ours.add(mark)
        entries.append(entry)
        answered.add(mark)
    for mark, claim in wanted.items():
        if mark not in answered:
            entries.append({**claim, "state": ACCEPTED})
            ours.add(mark)
    return Settled(tuple(entries), tuple(sorted(ours)))


def _typed(claim: Mapping[str, Any]) -> PermissionClaim | None:
    try:
        return msgspec.convert(without_nulls(claim), PermissionClaim)
    except (msgspec.ValidationError, ValueError):
        return None
