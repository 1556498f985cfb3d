"""Clusters of a person: is each alive, what is bound there. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cachetools import LRUCache

from bind_agent.api import goduration, meta
from bind_agent.api.claim_words import ClaimWords
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.export import CLUSTER
from bind_agent.api.text import printable
from bind_agent.backend import names, retirement
from bind_agent.backend.controllers import heartbeat_plan
from bind_agent.backend.pages import claim_view, condition_view, credential_view
from bind_agent.backend.pages.condition_view import Badge, Row, Tone
from bind_agent.backend.pages.credential_view import Age, Revocation
from bind_agent.backend.pages.times import Moment, length, moment
from bind_agent.backend.tenancy.provision import Tenant
from bind_agent.backend.tenancy.revocation import revoked_by
from bind_agent.backend.tenancy.rotation import Credential, parse_time

_TEXT: Final = 253
_MOST_VERSIONS: Final = 20

_HEALTH_WORDS: Final = {
    Reason.FIRST_HEARTBEAT_PENDING: "not connected yet",
    Reason.HEARTBEAT_INTERVAL_MISSING: "incomplete report",
    Reason.HEARTBEAT_TIME_DRIFT: "clock differs",
    Reason.HEARTBEAT_TIMEOUT: "silent",
}


_REVOKED: Final = Badge(Tone.WAIT, "disconnected", "its credential was revoked, so nothing is heard of it")
"""A konnector that was shut out is silent, and is not to be looked at for that."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One app cluster, in a line of a list and at the head of its page.

    Attributes:
        namespace: its cluster namespace on the provider; part of the address.
        cluster_id: which cluster it is, as it said.
        subject: whose it is, for operators.
        issuer: who vouches for the subject; empty for tenants of the command line.
        health: whether its konnector is alive.
        heartbeat: the last one; None before the first.
        interval: how often it reports, in words, or empty.
        konnector: version of its konnector, or empty.
        apis: how many APIs are exported to it.
        credential: whether it has a credential.
        revocation: who ended it before its time; None when nobody has.
        since: when it was added.
        age: of the credential; None when not known, or not asked for.
    """

    namespace: str
    cluster_id: str
    subject: str
    issuer: str
    health: Badge
    heartbeat: Moment | None
    interval: str
    konnector: str
    apis: int
    credential: Badge
    revocation: Revocation | None
    since: Moment | None
    age: Age | None


@dataclass(frozen=True, slots=True)
class Api:
    """One API that a cluster has.

    Attributes:
        name: `plural.group`.
        kind: how people call it.
        scope: where its objects live, in words.
        versions: served versions.
        ready: summary of its conditions.
        conditions: all of them.
        claims: what else is copied.
        since: when it was exported.
        ends: when it is taken away; None while it stays.
        note: what the platform team says about its end, or empty.
        own_end: whether the person announced the end and may take it back.
        more_claims: how many claims there are beyond those that are shown.
        removing: whether it is on its way out.
    """

    name: str
    kind: str
    scope: str
    versions: tuple[str, ...]
    ready: Badge
    conditions: tuple[Row, ...]
    claims: tuple[ClaimWords, ...]
    since: Moment | None
    ends: Moment | None
    note: str
    own_end: bool
    more_claims: int = 0
    removing: bool = False

    @property
    def id(self) -> str:
        """For ids in HTML, which selectors read: dots would be classes there, and no name has an underscore."""
        return re.sub(r"[^a-z0-9-]", "_", self.name)


def cluster(
    tenant: Tenant, *, apis: int, now: datetime, since: str = "", state: Credential | None = None
) -> Cluster:
    """One cluster of a list.

    Args:
        tenant: the tenant with its ClusterBinding; what stands in there was written by the tenant.
        apis: how many exports it has.
        now: time with a zone.
        since: creation of its namespace (RFC 3339), or empty.
        state: what its Secret says; None when that is not known, or not asked for.
    """
    binding = tenant.binding or {}
    said = _said(tenant)
    added = parse_time(since)
    return Cluster(
        namespace=tenant.namespace,
        cluster_id=said.cluster_id,
        subject=said.subject,
        issuer=said.issuer,
        health=_REVOKED if said.revoked else health(_mapping(binding.get("status")), now),
        heartbeat=moment(said.heartbeat, now) if said.heartbeat else None,
        interval=said.interval,
        konnector=said.konnector,
        apis=apis,
        credential=said.credential,
        revocation=credential_view.revocation(binding, now) if said.revoked else None,
        since=moment(added, now) if added else None,
        age=None if state is None else credential_view.age(state, namespace=tenant.namespace, now=now),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What a page says of a cluster whenever it is looked at, as long as nobody changes its ClusterBinding."""

    cluster_id: str
    subject: str
    issuer: str
    heartbeat: datetime | None
    interval: str
    konnector: str
    credential: Badge
    revoked: bool


_REMEMBERED: Final[LRUCache[tuple[object, ...], _Said]] = LRUCache(maxsize=8192)


def _said(tenant: Tenant) -> _Said:
    binding = tenant.binding or {}
    key = (tenant.uid, tenant.who, meta.uid(binding), meta.resource_version(binding))
    found = _REMEMBERED.get(key) if all(key) else None
    if found is None:
        status = _mapping(binding.get("status"))
        found = _REMEMBERED[key] = _Said(
            cluster_id=printable(tenant.who.cluster_id, _TEXT) if tenant.who else "",
            subject=printable(tenant.who.subject, _TEXT) if tenant.who else "",
            issuer=printable(getattr(tenant.who, "issuer", ""), _TEXT),
            heartbeat=parse_time(_text(status.get("lastHeartbeatTime"))),
            interval=_interval(status.get("heartbeatInterval")),
            konnector=printable(_text(status.get("konnectorVersion")), 64),
            credential=credential_view.badge(binding),
            revoked=bool(revoked_by(binding)),
        )
    return found


def health(status: Mapping[str, Any], now: datetime) -> Badge:
    """Whether a konnector is alive at this moment, judged by the same rule as the condition Healthy."""
    condition = heartbeat_plan.judge(status, now).condition
    found = condition_view.badge(condition, good="healthy")
    return Badge(found.tone, _HEALTH_WORDS.get(condition.reason, found.word), found.message)


def api(export: Mapping[str, Any], *, provider: str, now: datetime, commands: bool = False) -> Api:
    """One API of a cluster's page.

    Args:
        export: the APIServiceExport.
        provider: what the provider is called.
        now: time with a zone.
        commands: whether whoever reads can run the platform team's commands.
    """
    spec = _mapping(export.get("spec"))
    kind = _mapping(spec.get("names")).get("kind")
    name = meta.name(export)
    versions = [_text(_mapping(one).get("name")) for one in _list(spec.get("versions"))]
    claims = [one for one in _list(spec.get("permissionClaims")) if isinstance(one, Mapping)]
    created = parse_time(meta.creation_timestamp(export))
    removing = meta.is_deleting(export)
    planned = None if removing else retirement.planned(export)
    return Api(
        name=name,
        kind=printable(kind if isinstance(kind, str) and kind else name, _TEXT),
        scope="cluster-scoped" if spec.get("scope") == CLUSTER else "namespaced",
        versions=tuple(printable(one, 63) for one in versions[:_MOST_VERSIONS]),
        ready=Badge(Tone.WAIT, "being removed")
        if removing
        else condition_view.ready(export, commands=commands),
        conditions=condition_view.rows(export, now, commands=commands),
        claims=claim_view.words(claims, api=name, provider=provider),
        since=moment(created, now) if created else None,
        ends=moment(planned.at, now) if planned else None,
        note=planned.note if planned else "",
        own_end=planned is not None and planned.by == names.BY_PERSON,
        more_claims=claim_view.hidden(claims),
        removing=removing,
    )


def worst(found: Iterable[Cluster]) -> Sequence[Cluster]:
    """Clusters in the order in which a person wants to see them: those in trouble first, then by name."""
    rank = {Tone.BAD: 0, Tone.WARN: 1, Tone.WAIT: 2, Tone.GOOD: 3}
    return sorted(
        found,
        key=lambda one: (
            min(rank[one.health.tone], rank[one.credential.tone]),
            one.cluster_id,
            one.namespace,
        ),
    )


def _interval(value: object) -> str:
    try:
        found = goduration.parse(_text(value))
    except goduration.DurationError:
        return ""
    return length(found) if found.total_seconds() > 0 else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
