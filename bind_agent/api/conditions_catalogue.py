"""Words of conditions: types, reasons, severities (spec 3.11.3).

Two programs write the same conditions, so a word that differs by a letter makes them fight. Words that the Go
programs never write are marked as our own; they only ever appear on conditions that we own.
"""

# ruff: noqa: S105 - words about Secrets, none of which is one

from typing import Final


class Status:
    """Values of `status`."""

    TRUE: Final = "True"
    FALSE: Final = "False"
    UNKNOWN: Final = "Unknown"


class Severity:
    """Values of `severity`, which is set only while the status is False."""

    ERROR: Final = "Error"
    WARNING: Final = "Warning"
    INFO: Final = "Info"
    NONE: Final = ""


class ConditionType:
    """Values of `type`."""

    READY: Final = "Ready"
    """Summary of all others on the same object (spec 3.11.4)."""

    # APIServiceBinding
    SECRET_VALID: Final = "SecretValid"
    INFORMERS_SYNCED: Final = "InformersSynced"
    HEARTBEATING: Final = "Heartbeating"
    CONNECTED: Final = "Connected"
    SCHEMA_IN_SYNC: Final = "SchemaInSync"
    """Declared by Go and never set by it."""

    # APIServiceExport
    PROVIDER_IN_SYNC: Final = "ProviderInSync"
    CONSUMER_IN_SYNC: Final = "ConsumerInSync"
    ESTABLISHED: Final = "Established"
    NAMES_ACCEPTED: Final = "NamesAccepted"

    # APIServiceExportRequest
    EXPORTS_READY: Final = "ExportsReady"

    # ClusterBinding
    HEALTHY: Final = "Healthy"
    VALID_VERSION: Final = "ValidVersion"

    # AppClusterBinding
    KONNECTOR_DEPLOYED: Final = "KonnectorDeployed"

    # Our own
    CLAIMS_IN_FORCE: Final = "ClaimsInForce"
    """On a binding: each claim of the export is accepted as it stands, and may be synced."""
    OBJECTS_IN_SYNC: Final = "ObjectsInSync"
    """On a binding: no object is held up by a conflict or a refusal."""
    ACCESS_GRANTED: Final = "AccessGranted"
    """On a ClusterBinding and on an export: the tenant has the rights that its exports need. Mirrored to the binding
    once they were refused."""
    DELETIONS_ALLOWED: Final = "DeletionsAllowed"
    """On a binding: False while the brake on mass deletion holds."""
    RETIRING: Final = "Retiring"
    """On an export, and mirrored to its binding: True while the provider has announced its end. It says nothing about
    whether the binding works, so it never decides `Ready`."""
    NAMESPACE_READY: Final = "NamespaceReady"
    """On an APIServiceExport or ClusterBinding: service namespaces exist and are ours."""


class Reason:
    """Values of `reason`, which is set only while the status is not True."""

    # Shared with Go
    PENDING: Final = "Pending"
    KUBECONFIG_SECRET_NOT_FOUND: Final = "KubeconfigSecretNotFound"
    KUBECONFIG_SECRET_INVALID: Final = "KubeconfigSecretInvalid"
    INFORMER_SYNC_TIMEOUT: Final = "InformerSyncTimeout"
    CLUSTER_BINDING_UPDATE_FAILED: Final = "ClusterBindingUpdateFailed"
    EXPORT_NOT_FOUND: Final = "APIServiceExportNotFound"
    EXPORT_INVALID: Final = "APIServiceExportInvalid"
    CRD_CREATE_FAILED: Final = "CustomResourceDefinitionCreateFailed"
    CRD_UPDATE_FAILED: Final = "CustomResourceDefinitionUpdateFailed"
    FOREIGN_CRD: Final = "ForeignCustomResourceDefinition"
    BINDING_NOT_FOUND: Final = "APIServiceBindingNotFound"
    UNKNOWN: Final = "Unknown"
    NOT_AVAILABLE: Final = "NA"
    CRD_NOT_FOUND: Final = "CRDNotFound"
    CRD_INVALID: Final = "CRDInvalid"
    FIRST_HEARTBEAT_PENDING: Final = "FirstHeartbeatPending"
    HEARTBEAT_INTERVAL_MISSING: Final = "HeartbeatIntervalMissing"
    HEARTBEAT_TIMEOUT: Final = "HeartbeatTimeout"
    HEARTBEAT_TIME_DRIFT: Final = "HeartbeatTimeDrift"
    PROVIDER_SECRET_NOT_FOUND: Final = "ProviderSecretNotFound"
    PROVIDER_SECRET_INVALID: Final = "ProviderSecretInvalid"
    PARSE_ERROR: Final = "ParseError"
    KONNECTOR_DEPLOYMENT_FAILED: Final = "KonnectorDeploymentFailed"

    # Our own
    PROVIDER_UNREACHABLE: Final = "ProviderUnreachable"
    APP_CLUSTER_UNREACHABLE: Final = "AppClusterUnreachable"
    """In control plane mode."""
    CREDENTIAL_REJECTED: Final = "CredentialRejected"
    PERMISSION_DENIED: Final = "PermissionDenied"
    MEMORY_BUDGET_EXCEEDED: Final = "MemoryBudgetExceeded"
    """On a binding: the other cluster has more than the konnector may keep in memory of it."""
    TEMPLATE_NOT_FOUND: Final = "TemplateNotFound"
    TEMPLATE_AMBIGUOUS: Final = "TemplateAmbiguous"
    TEMPLATE_INVALID: Final = "TemplateInvalid"
    REQUEST_INVALID: Final = "RequestInvalid"
    EXPORT_CONFLICT: Final = "ExportConflict"
    SCOPE_NOT_SUPPORTED: Final = "ScopeNotSupported"
    PROTECTED_GROUP: Final = "ProtectedGroup"
    SCHEMA_UPDATE_HELD: Final = "SchemaUpdateHeld"
    NAMES_NOT_ACCEPTED: Final = "NamesNotAccepted"
    CRD_NOT_ESTABLISHED: Final = "CustomResourceDefinitionNotEstablished"
    NAMESPACE_CONFLICT: Final = "NamespaceConflict"
    OBJECT_CONFLICT: Final = "ObjectConflict"
    OBJECT_REFUSED: Final = "ObjectRefused"
    CLAIM_WAITING_FOR_CONSENT: Final = "ClaimWaitingForConsent"
    CLAIM_REJECTED: Final = "ClaimRejected"
    CLAIM_REFUSED: Final = "ClaimRefused"
    CLAIM_LIMIT_REACHED: Final = "ClaimLimitReached"
    PROTECTED_OBJECT: Final = "ProtectedObject"
    GRANT_REFUSED: Final = "GrantRefused"
    MASS_DELETION_HELD: Final = "MassDeletionHeld"
    OBJECTS_REMAIN: Final = "ObjectsRemain"
    PAUSED: Final = "Paused"
    RETIREMENT_ANNOUNCED: Final = "RetirementAnnounced"
