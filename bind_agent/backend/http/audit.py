"""Who did what, to which tenant, when and from where: one structured line per deed.

The lines carry names, never a token, code, cookie or kubeconfig, and nothing that a request brought unchecked.
"""

import logging
from typing import Final

import structlog

from bind_agent.api.text import printable
from bind_agent.backend.person import Person

# Written whatever level the log is set to.
log = structlog.wrap_logger(
    None,
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    cache_logger_on_first_use=False,
    logger_factory_args=(__name__,),
)

EVENT: Final = "audit"
"""The event of every line, so that they can be told from the rest of the log."""

LOGIN: Final = "login"
LOGOUT: Final = "logout"
BIND: Final = "bind"
REDEEM: Final = "redeem"
ROTATE: Final = "rotate"
REVOKE: Final = "revoke"
UNBIND: Final = "unbind"
KEEP: Final = "keep"

DONE: Final = "done"
REFUSED: Final = "refused"
FAILED: Final = "failed"

_LONGEST: Final = 253


class Audit:
    """Writes the audit lines of one replica."""

    def __init__(self, replica: str = "") -> None:
        """Set up.

        Args:
            replica: which replica writes; empty when there is one.
        """
        self._replica = replica

    def record(
        self,
        action: str,
        *,
        person: Person | None,
        outcome: str,
        remote: str,
        tenant: str = "",
        cluster_id: str = "",
        resource: str = "",
        reason: str = "",
    ) -> None:
        """Write one line.

        Args:
            action: one of the words of this module.
            person: who; None when that is not known (a refused login).
            outcome: `DONE`, `REFUSED` or `FAILED`.
            remote: address of the client.
            tenant: its cluster namespace.
            cluster_id: of the app cluster.
            resource: the API, `plural.group`.
            reason: a word for why not.
        """
        facts = {
            "action": action,
            "outcome": outcome,
            "issuer": person.issuer if person else "",
            "subject": person.subject if person else "",
            "tenant": tenant,
            "clusterId": cluster_id,
            "resource": resource,
            "reason": reason,
            "remote": remote,
            "replica": self._replica,
        }
        shown = {name: printable(value, _LONGEST) for name, value in facts.items() if value}
        log.info(EVENT, **shown)
