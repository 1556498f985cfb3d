"""What is noted of a login, for rules that are applied when nobody is logged in: pure (W-B19).

The request controller works hours after a login. What the issuer said then stands on the ClusterBinding,
which the backend may change and the tenant may only read: a tenant may write its status, and writes to the
status change no annotation. Each login brings it up to date.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from bind_agent.api import meta
from bind_agent.backend import names
from bind_agent.backend.allowed import Requester
from bind_agent.backend.person import Person
from bind_agent.backend.tenancy.identity import Identity

LIMIT: Final = 64 * 1024
"""Most bytes of the note: all annotations of an object may have 256 KiB together."""


class RecordTooLarge(ValueError):  # noqa: N818 - says what is the case
    """A login has more groups than can be noted; the message says what to do."""


def note(person: Person) -> str:
    """The annotation's value; only what rules look at, and no address that nobody verified.

    Raises:
        RecordTooLarge: it would not fit.
    """
    found: dict[str, Any] = {"issuer": person.issuer, "subject": person.subject}
    if person.email and person.email_verified:
        found["email"] = person.email
    if person.groups:
        found["groups"] = sorted(set(person.groups))
    text = json.dumps(found, separators=(",", ":"), sort_keys=True)
    if len(text) > LIMIT:
        raise RecordTooLarge(
            f"this account is in {len(person.groups)} groups, which is more than can be kept: have the"
            " issuer put only those into its groups claim that concern this provider"
        )
    return text


def person_of(who: Identity, binding: Mapping[str, Any] | None) -> Person | None:
    """The person behind a tenant; None for a tenant of the command line.

    Args:
        who: the tenant's identity, from its namespace.
        binding: its ClusterBinding. Without a note of this very account only issuer and subject are known.
    """
    if not who.issuer:
        return None
    try:
        found = json.loads(meta.annotation(binding or {}, names.LOGIN) or "{}")
    except ValueError:
        found = {}
    if not isinstance(found, dict) or (found.get("issuer"), found.get("subject")) != (
        who.issuer,
        who.subject,
    ):
        return Person(who.issuer, who.subject)
    email, groups = found.get("email"), found.get("groups")
    return Person(
        who.issuer,
        who.subject,
        email=email if isinstance(email, str) else "",
        email_verified=isinstance(email, str),
        groups=tuple(one for one in groups if isinstance(one, str)) if isinstance(groups, list) else (),
    )


def requester_of(who: Identity, binding: Mapping[str, Any] | None) -> Requester:
    """In whose name a tenant asks (see `person_of`)."""
    noted = meta.annotation(binding or {}, names.ALLOWED_KINDS)
    return Requester(person_of(who, binding), frozenset(noted.split(",")) if noted else None)
