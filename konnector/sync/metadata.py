"""Which labels and annotations cross from one cluster to the other.

Metadata steers controllers: a tracking label makes a GitOps tool prune the copy, a replication annotation
spreads a Secret (threats A08, A12, A13). So rules decide by key, and the copy is built from what passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bind_agent.api import keys

COMMON_LABELS: Final = frozenset(
    f"app.kubernetes.io/{word}" for word in ("name", "component", "part-of", "version")
)
"""Descriptive labels that no controller acts on; `instance` and `managed-by` are used for tracking."""

TRACKING_DOMAINS: Final = frozenset(
    {
        "kubernetes.io",  # reserved; with it kubectl's, kustomize's and the common tracking labels
        "k8s.io",
        keys.GROUP,  # ours
        "argoproj.io",
        "fluxcd.io",
        "helm.sh",
        "cattle.io",
        "k14s.io",
        "carvel.dev",
        "emberstack.com",
        "mittwald.de",
        "appscode.com",
        "velero.io",
        "sealedsecrets.bitnami.com",
        "external-secrets.io",
    }
)
"""Domains of keys that tools act on, their subdomains included."""

CREDENTIALS: Final = frozenset({"infrabox.net/job-token"})
"""Annotations that hold a credential (a job's token); it has no business on the other side."""


OWN_MARKS: Final = frozenset(
    {
        keys.BOUND,
        keys.CLUSTER_NAMESPACE,
        keys.RESOURCE_OWNER,
        keys.CONSUMER_CLUSTER,
        keys.SOURCE,
        keys.SOURCE_UID,
        keys.CONTENT_DIGEST,
        keys.PROVIDER,
    }
)
"""What we write on objects to know them again. A mark says something about one object, so it is never
copied."""


@dataclass(frozen=True, slots=True)
class MetadataRule:
    """Decides by key.

    Attributes:
        open: whether a key crosses that no list names; closed rules copy the allowed keys only.
        allowed: keys that cross in any case.
        denied: keys that never cross, stronger than ``allowed``.
        denied_domains: domains whose keys do not cross unless allowed by name.
    """

    open: bool = True
    allowed: frozenset[str] = COMMON_LABELS
    denied: frozenset[str] = OWN_MARKS | CREDENTIALS | {keys.LAST_APPLIED}
    denied_domains: frozenset[str] = TRACKING_DOMAINS

    def passes(self, key: str) -> bool:
        """Whether an entry with this key crosses."""
        if key in self.denied:
            return False
        if key in self.allowed:
            return True
        return self.open and not _within(_domain(key), self.denied_domains)

    def select(self, entries: Mapping[str, str]) -> dict[str, str]:
        """The entries that cross, sorted by key."""
        return {key: entries[key] for key in sorted(entries) if self.passes(key)}


def _domain(key: str) -> str:
    prefix, slash, _ = key.partition("/")
    return prefix if slash else ""


def _within(domain: str, domains: frozenset[str]) -> bool:
    while domain:
        if domain in domains:
            return True
        domain = domain.partition(".")[2]
    return False


BOUND_OBJECTS: Final = MetadataRule()
"""For bound objects: what users write crosses (services read it), what tools track does not."""

CLAIMED_OBJECTS: Final = MetadataRule(open=False)
"""For claimed objects: descriptive labels, and the keys that a claim selects by."""
