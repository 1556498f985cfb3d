"""When a credential is replaced and when an old one ends: pure (W-S4).

A token lives for `ttl` and is replaced after 50 to 60 % of it, so a konnector that was away for less than the
rest comes back with a token that still works and finds the new one. Each token is bound to a Secret of its
own (`klutch-binder-token-<generation>`); deleting that Secret ends the token at once, whatever it says about
its expiry.

The state stands in annotations of the Secret `kubeconfig`, so it survives restarts, and its resourceVersion
keeps two writers (a replica and a person at the command line) apart. Annotations do not travel to consumers:
konnectors copy data and type only.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from bind_agent.api import conditions, keys, meta
from bind_agent.api.encoding import EncodingError, from_base64
from bind_agent.backend import names
from bind_agent.backend.tenancy import kubeconfig
from bind_agent.backend.tenancy.address import Endpoint

CHECK: Final = timedelta(hours=1)
"""A Secret that somebody deleted is noticed after this long at the latest; one GET per tenant."""

MOST_RETIRING: Final = 5
"""Earlier tokens of a tenant that may work at a time. Each rotation adds one with a Secret of its own; a stolen
session or a script in a loop would add them without end."""

_EARLIEST: Final = 0.5
_SPREAD: Final = 0.1
_BUCKETS: Final = 1024

OVERDUE: Final = timedelta(seconds=30)
"""A token whose time has come is ended by the controllers within this time, as a rule."""


@dataclass(frozen=True, slots=True)
class Retiring:
    """An earlier token and its end."""

    generation: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    """What the Secret `kubeconfig` of a tenant says.

    Attributes:
        issued: the kubeconfig in it; None when it is missing or unusable.
        generation: number of the token in force, 0 when a Go backend wrote it.
        expires: its end; None when unknown.
        renew: when it is to be replaced; None when unknown.
        retiring: earlier tokens that still work.
    """

    issued: kubeconfig.Issued | None = None
    generation: int = 0
    expires: datetime | None = None
    renew: datetime | None = None
    retiring: tuple[Retiring, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about a credential.

    Attributes:
        issue: why a new one is issued, or empty.
        retire: generations whose Secrets are deleted now.
        after: when to look again.
    """

    issue: str
    retire: tuple[int, ...]
    after: timedelta


GO: Final = 0
"""Generation of the token that a Go backend left: it is in a Secret of its own and never expires (W-S4)."""


def token_secret(generation: int) -> str:
    """Name of the Secret that a token is bound to, and ends with."""
    return keys.BINDER if generation == GO else f"{keys.BINDER}-token-{generation}"


def read(secret: Mapping[str, Any] | None) -> Credential:
    """The state in a Secret; anything unreadable reads as missing, so that it is replaced."""
    if secret is None:
        return Credential()
    data = secret.get("data")
    encoded = data.get(keys.KUBECONFIG) if isinstance(data, Mapping) else None
    try:
        issued = kubeconfig.parse(from_base64(encoded)) if isinstance(encoded, str) else None
    except EncodingError:
        issued = None
    marks = meta.annotations(secret)
    generation = marks.get(names.TOKEN_GENERATION, "")
    return Credential(
        issued=issued,
        generation=int(generation) if generation.isascii() and generation.isdigit() else 0,
        expires=parse_time(marks.get(names.TOKEN_EXPIRES, "")),
        renew=parse_time(marks.get(names.TOKEN_RENEW, "")),
        retiring=_read_retiring(marks.get(names.TOKENS_RETIRING, "")),
    )


def plan(state: Credential, *, namespace: str, wanted: Endpoint | None, now: datetime) -> Plan:
    """Decide.

    Args:
        state: what the Secret says.
        namespace: the tenant's namespace, which the kubeconfig has to name.
        wanted: the endpoint that the flags demand; None when they demand none.
        now: time with a zone.
    """
    issue = _why_issue(state, namespace, wanted, now)
    due = tuple(old.generation for old in state.retiring if old.at <= now)
    waits = [CHECK, *(old.at - now for old in state.retiring if old.at > now)]
    if not issue and state.renew is not None:
        waits.append(state.renew - now)
    return Plan(issue=issue, retire=due, after=min(waits))


def _why_issue(state: Credential, namespace: str, wanted: Endpoint | None, now: datetime) -> str:
    if state.issued is None:
        return "there is no usable kubeconfig yet"
    if state.issued.namespace != namespace:
        return "the kubeconfig names another namespace"
    if state.renew is None or state.expires is None:
        return "the token does not expire"
    if state.renew <= now:
        return "the token is due for renewal"
    if wanted is not None and wanted != state.issued.endpoint:
        return "the external address changed"
    return ""


def rotation_possible(state: Credential, now: datetime) -> datetime | None:
    """When somebody may rotate again and have the old token work on; None: at once.

    Args:
        state: what the Secret says.
        now: time with a zone.
    """
    if len(state.retiring) < MOST_RETIRING:
        return None
    # Enough of them must have ended. One that is overdue still counts: it works until its Secret is deleted.
    ends = sorted(old.at for old in state.retiring)
    return max(ends[len(ends) - MOST_RETIRING], now + OVERDUE)


def renew_at(issued_at: datetime, expires: datetime, namespace: str) -> datetime:
    """When a token is replaced: after 50 to 60 % of its life, spread over tenants but fixed for each.

    Args:
        issued_at: start of its life.
        expires: its end as the API server set it, which may be earlier than asked for.
        namespace: the tenant's namespace.
    """
    return issued_at + (expires - issued_at) * _share(namespace)


def issued_at(state: Credential, namespace: str) -> datetime | None:
    """When the token in force was issued: follows from its end and its renewal (see `renew_at`).

    Args:
        state: what the Secret says; a Go backend's says nothing, which gives None.
        namespace: the tenant's namespace.
    """
    if state.expires is None or state.renew is None:
        return None
    return state.expires - (state.expires - state.renew) / (1 - _share(namespace))


def _share(namespace: str) -> float:
    """The part of a token's life after which it is replaced."""
    bucket = int.from_bytes(hashlib.sha256(namespace.encode()).digest()[:4], "big") % _BUCKETS
    return _EARLIEST + _SPREAD * bucket / _BUCKETS


def succeed(
    state: Credential,
    issued: kubeconfig.Issued,
    *,
    expires: datetime,
    renew: datetime,
    old_until: datetime | None,
    go_token: bool = False,
) -> Credential:
    """The state after a new token.

    Args:
        state: the state before.
        issued: the new kubeconfig.
        expires: end of the new token.
        renew: when it is to be replaced.
        old_until: end of the old token; None: it lives until it expires by itself.
        go_token: there is a token of a Go backend. It never expires, so it ends as if it had been issued now.
    """
    retiring = state.retiring
    if go_token and GO not in {old.generation for old in retiring}:
        end = expires if old_until is None else min(expires, old_until)
        retiring = (*retiring, Retiring(GO, end))
    if state.generation:
        end = state.expires or expires
        retiring = (*retiring, Retiring(state.generation, end if old_until is None else min(end, old_until)))
    return Credential(
        issued=issued, generation=state.generation + 1, expires=expires, renew=renew, retiring=retiring
    )


def forget(state: Credential, generations: tuple[int, ...]) -> Credential:
    """The state after these tokens have ended."""
    return replace(state, retiring=tuple(old for old in state.retiring if old.generation not in generations))


def annotations(state: Credential) -> dict[str, str]:
    """The state as annotations.

    Raises:
        ValueError: the state is of a credential that nobody issued here.
    """
    if state.expires is None or state.renew is None:
        message = "a credential without an end is never written"
        raise ValueError(message)
    return {
        names.TOKEN_GENERATION: str(state.generation),
        names.TOKEN_EXPIRES: conditions.timestamp(state.expires),
        names.TOKEN_RENEW: conditions.timestamp(state.renew),
        names.TOKENS_RETIRING: ",".join(
            f"{old.generation}@{conditions.timestamp(old.at)}" for old in state.retiring
        ),
    }


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time with a zone, or None."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _read_retiring(text: str) -> tuple[Retiring, ...]:
    found = []
    for part in text.split(","):
        generation, _, time = part.partition("@")
        at = parse_time(time)
        if generation.isascii() and generation.isdigit() and at is not None:
            found.append(Retiring(int(generation), at))
    return tuple(found)
