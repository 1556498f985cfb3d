"""Who an app cluster is: the UID of a namespace that lives as long as the cluster does."""

from typing import Final

from bind_agent.api import keys

IDENTITY_NAMESPACES: Final = ("kube-system", "default", keys.CONSUMER_NAMESPACE)
"""The first of them that is there says who the cluster is.

Kubernetes makes the first before the second and lets nobody delete either. What serves its API without being a whole
cluster, such as a workspace of kcp, has no `kube-system`. The last one is only as lasting as the konnector in it.
"""

MISSING: Final = (
    "the app cluster has no identity for its copies to be marked with: none of the namespaces "
    f"{', '.join(IDENTITY_NAMESPACES)} is there"
)
REMEDY: Final = (
    f"create one of them, say with `kubectl create namespace {IDENTITY_NAMESPACES[1]}`, and keep it"
)
