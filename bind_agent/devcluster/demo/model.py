"""What one `postgresqls` object asks for, and the names that follow from it. Pure."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.api import meta

#: Settings of a role that an object may choose. Each can be set by any role for its own sessions anyway, so
#: an object gains no power by it. The CRD carries the same list.
PARAMETERS: Final = frozenset(
    {
        "default_transaction_read_only",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "lock_timeout",
        "statement_timeout",
        "timezone",
        "work_mem",
    }
)

DEFAULT_CONNECTION_LIMIT: Final = 5
MAX_CONNECTION_LIMIT: Final = 100
MAX_VALUE: Final = 64
MAX_COMMENT: Final = 256
_READABLE = 40


class InvalidSpec(Exception):  # noqa: N818 - named by meaning
    """An object that the CRD should have refused; the text says which field and why."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One object, checked.

    Attributes:
        connection_limit: most sessions of the role at a time.
        parameters: settings of the role, by names of `PARAMETERS`.
        comment: comment on the database, empty for none.
        status: what the object reports now; never trusted for a decision about ownership.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    connection_limit: int
    parameters: Mapping[str, str]
    comment: str
    status: Mapping[str, Any]

    @property
    def database(self) -> str:
        """Name of the database and of the role, unique by the object's UID.

        Both are equal, because a server can then admit each role to its own database only (``sameuser``). The
        prefix keeps clear of ``pg_``, which the server reserves. At most 56 of the 63 bytes that an
        identifier has.
        """
        readable = re.sub(r"[^a-z0-9]+", "_", self.name.lower())[:_READABLE].strip("_")
        return f"db_{readable}_{hashlib.sha256(self.uid.encode()).hexdigest()[:12]}"

    @property
    def secret(self) -> str:
        """Name of the Secret with the credentials."""
        return f"{self.name}-credentials"

    @property
    def config_map(self) -> str:
        """Name of the ConfigMap with the address."""
        return f"{self.name}-connection"


def read_instance(obj: Mapping[str, Any]) -> Instance:
    """Check an object.

    The CRD has checked it as well; an older or edited CRD must not turn into SQL that nobody meant.

    Raises:
        InvalidSpec: a field is out of its bounds.
    """
    spec = obj.get("spec") or {}
    if not isinstance(spec, Mapping):
        raise InvalidSpec("spec: must be a mapping")
    status = obj.get("status")
    return Instance(
        namespace=meta.namespace(obj),
        name=meta.name(obj),
        uid=meta.uid(obj),
        generation=meta.generation(obj),
        connection_limit=_connection_limit(spec.get("connectionLimit", DEFAULT_CONNECTION_LIMIT)),
        parameters=_parameters(spec.get("parameters") or {}),
        comment=_text(spec.get("comment") or "", field="spec.comment", limit=MAX_COMMENT),
        status=status if isinstance(status, Mapping) else {},
    )


def _connection_limit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CONNECTION_LIMIT:
        raise InvalidSpec(f"spec.connectionLimit: must be a whole number from 1 to {MAX_CONNECTION_LIMIT}")
    return value


def _parameters(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidSpec("spec.parameters: must be a mapping")
    if unknown := sorted(str(name)[:MAX_VALUE] for name in value if name not in PARAMETERS):
        allowed = ", ".join(sorted(PARAMETERS))
        raise InvalidSpec(f"spec.parameters: {unknown[0]!r} cannot be set; possible are {allowed}")
    return {
        name: _text(text, field=f"spec.parameters.{name}", limit=MAX_VALUE) for name, text in value.items()
    }


def _text(value: object, *, field: str, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise InvalidSpec(f"{field}: must be one line of at most {limit} characters")
    return value
