"""What one process watches, for as long as it lives: pages need it on every replica, controllers on the leader."""

from dataclasses import dataclass

from bind_agent.backend.crds import CrdReader
from bind_agent.backend.http.spent import Spent
from bind_agent.backend.views import Views


@dataclass(frozen=True, slots=True)
class Watched:
    """Informers and what reads them.

    Attributes:
        views: the informers.
        crds: CRDs with their schemas.
        spent: what was used once; None without a web half.
    """

    views: Views
    crds: CrdReader
    spent: Spent | None = None
