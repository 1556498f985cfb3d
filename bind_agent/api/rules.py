"""Messages of the rules that both the CRDs (CEL) and our own validation enforce.

The manifests repeat them word for word; a test compares. A message says what has to hold.
"""

from typing import Final

KUBECONFIG_REF_IMMUTABLE: Final = "kubeconfigSecretRef is immutable"
DONATE_AND_ADOPT: Final = "autoDonate and autoAdopt exclude each other"
EXPORT_NAME: Final = "metadata.name must be <spec.names.plural>.<spec.group>"
EXPORT_CLUSTER_INFORMERS: Final = "informerScope must be Cluster for a cluster-scoped resource"
EXPORT_ISOLATION_MISSING: Final = "clusterScopedIsolation is required for a cluster-scoped resource"
EXPORT_ISOLATION_SURPLUS: Final = "clusterScopedIsolation is only allowed for a cluster-scoped resource"
INFORMER_SCOPE_IMMUTABLE: Final = "informerScope is immutable"
PARAMETERS_IMMUTABLE: Final = "parameters are immutable"
RESOURCES_IMMUTABLE: Final = "resources are immutable"
CLUSTER_BINDING_NAME: Final = 'metadata.name must be "cluster"'
APP_CLUSTER_BINDING_NAME: Final = "metadata.name is immutable"
MAPPING_IMMUTABLE: Final = "the service namespace of a live object never changes"
