"""Names that only a backend writes and reads: roles, annotations, condition and event words.

What both sides of a binding share stands in `bind_agent.api.keys` and `bind_agent.api.conditions_catalogue`.
"""

from typing import Final

from bind_agent.api import keys
from bind_agent.api.conditions_catalogue import ConditionType, Reason

PROGRAM: Final = "bind-backend"
"""Component of events, user agent, field manager of what is applied."""

LEASE: Final = "klutch-bind-backend"
"""The Lease that one of several replicas holds while its controllers work."""

# --- roles ----------------------------------------------------------------------------------------

AGGREGATE_TO_BACKEND: Final = f"{keys.GROUP}/aggregate-to-backend"
"""Label on a ClusterRole, value `keys.TRUE`: its rules are added to the backend's aggregated role. A platform
team
ships one beside each template; the backend can hand on these rights and no others."""

EXPORT_ROLE_PREFIX: Final = "klutch-bind-backend-export-"
"""Name of such a ClusterRole: this plus `P.G`."""

BACKEND_TENANT_ROLE: Final = "klutch-bind-backend-tenant"
"""Static ClusterRole, and the RoleBinding to it in each cluster namespace: what the backend itself needs
there to
issue credentials. It holds no right on Secrets anywhere else."""

BACKEND_ROOT_ROLE: Final = "klutch-bind-backend-root"
"""The same in binding root namespaces, in control plane mode: what the backend itself needs there."""

APP_CLUSTERS_ROLE: Final = "klutch-bind-backend-app-clusters"
"""ClusterRole that lets the backend read Secrets; a platform team binds it in namespaces of AppClusterBindings."""

CLUSTER_SCOPE_OVERLAY: Final = "manifests/backend/cluster-scope"
"""What a platform team applies on top before it exports cluster-wide."""


def cluster_wide_role(cluster_namespace: str) -> str:
    """Name of the ClusterRole with the rules that a tenant has in all namespaces (scope Cluster only)."""
    return f"{keys.dynamic_role(cluster_namespace)}-cluster"


# --- annotations on a cluster namespace, beside the identity of the wire ------------------------------

ISSUER: Final = f"{keys.TEMPLATE_GROUP}/issuer"
"""Issuer of the subject in the identity, empty for tenants that were added on the command line. Go backends
write none (W-S7)."""

# --- annotations on the Secret `kubeconfig` ---------------------------------------------------------

TOKEN_GENERATION: Final = f"{keys.TEMPLATE_GROUP}/token-generation"
"""Counts the tokens of a tenant; the token in force is bound to the Secret of this number."""

TOKEN_EXPIRES: Final = f"{keys.TEMPLATE_GROUP}/token-expires"
"""RFC 3339: when the token in force ends by itself."""

TOKEN_RENEW: Final = f"{keys.TEMPLATE_GROUP}/token-renew"
"""RFC 3339: when the backend replaces it, long before its end."""

TOKENS_RETIRING: Final = f"{keys.TEMPLATE_GROUP}/tokens-retiring"
"""`<generation>@<RFC 3339>,…`: earlier tokens, and when the Secret that each is bound to is deleted."""

# --- annotations on an export -------------------------------------------------------------------------

TEMPLATE: Final = f"{keys.TEMPLATE_GROUP}/template"
"""`<namespace>/<name>` of the template that it was made from and follows."""

VERSIONS: Final = f"{keys.TEMPLATE_GROUP}/versions"
"""What decides which versions an export offers, where that is not plain: one of the two below."""

VERSIONS_OF_CRD: Final = "crd"
"""The CRD, whatever a template selects: the export was made by a Go backend, which never narrowed any."""

VERSIONS_OF_TEMPLATE: Final = "template"
"""The template has selected a version; what was offered before stays."""

RETIRE_AT: Final = f"{keys.TEMPLATE_GROUP}/retire-at"
"""RFC 3339: when the export goes."""

RETIRE_NOTE: Final = f"{keys.TEMPLATE_GROUP}/retire-note"
"""What the platform team tells the consumer about it."""

RETIRE_BY: Final = f"{keys.TEMPLATE_GROUP}/retire-by"
"""Who announced it: `BY_OPERATOR` (the default) or `BY_PERSON`, who may take it back and bind again."""

# --- annotations on the ClusterBinding --------------------------------------------------------------

CREDENTIAL_CHANGED: Final = f"{keys.TEMPLATE_GROUP}/credential-changed"
"""`<generation>@<RFC 3339>`: a person rotated the credential; wakes the controller, which retires the old
one in time."""

REVOKED: Final = f"{keys.TEMPLATE_GROUP}/revoked"
"""RFC 3339: somebody revoked the credential; nothing is issued until the tenant is added again."""

REVOKED_BY: Final = f"{keys.TEMPLATE_GROUP}/revoked-by"
"""Who did: `BY_OPERATOR` (the default), `BY_PERSON` or `BY_REAPER`. A login undoes the latter two only."""

BY_OPERATOR: Final = "operator"
BY_PERSON: Final = "person"
BY_REAPER: Final = "reaper"

ADMITTED: Final = f"{keys.TEMPLATE_GROUP}/admitted"
"""RFC 3339: when the tenant was added, or let in again. Until its first heartbeat silence counts from here."""

LOGIN: Final = f"{keys.TEMPLATE_GROUP}/login"
"""JSON: what the latest login of the tenant's person proved, for rules that are applied later."""

ALLOWED_KINDS: Final = f"{keys.TEMPLATE_GROUP}/allowed-kinds"
"""`P.G,…` or `*`: what a tenant of the command line may request (`tenant add --allow`)."""

RETIRED: Final = f"{keys.TEMPLATE_GROUP}/retired"
"""`P.G@<RFC 3339>,…`: kinds whose exports retired; they are not exported to this tenant again."""

# --- conditions -------------------------------------------------------------------------------------

CREDENTIAL_ISSUED: Final = "CredentialIssued"
"""On a ClusterBinding: the Secret `kubeconfig` holds a credential that is not due for renewal."""

ACCESS_GRANTED: Final = ConditionType.ACCESS_GRANTED
"""On a ClusterBinding and on an export: the tenant has the rights that its exports need."""

ALLOWED: Final = "Allowed"
"""On an export, only while it does not hold: the tenant could not request it any more."""

VERSION_NOT_SERVED: Final = "TemplateVersionNotServed"
"""On an export: True while the template selects a version that the CRD does not serve. The export goes on, so this
never decides `Ready`."""

CONSUMER_SEEN: Final = "ConsumerSeen"
"""On a ClusterBinding, only while it does not hold: the consumer has been silent for long, and what follows
from that is announced."""

REASON_REVOCATION_ANNOUNCED: Final = "RevocationAnnounced"
REASON_DELETION_ANNOUNCED: Final = "DeletionAnnounced"
REASON_NOT_ALLOWED: Final = "NotAllowed"
REASON_RETIRED: Final = "Retired"
REASON_RETIRING: Final = "Retiring"
REASON_GRANT_REFUSED: Final = Reason.GRANT_REFUSED
REASON_NOT_A_TENANT: Final = "NotATenant"
REASON_SCHEMA_TOO_LARGE: Final = "SchemaTooLarge"
REASON_EXPORT_WRITE_FAILED: Final = "ExportWriteFailed"
REASON_EXTERNAL_ADDRESS_MISSING: Final = "ExternalAddressMissing"
REASON_CREDENTIAL_REVOKED: Final = "CredentialRevoked"
REASON_CREDENTIAL_FAILED: Final = "CredentialFailed"
REASON_NAME_TAKEN: Final = "NameTaken"

# --- web half -------------------------------------------------------------------------------------

SPENT: Final = f"{keys.TEMPLATE_GROUP}/spent"
"""Label on a Lease in the backend's own namespace: what of this kind (`state`, `code`, `session`) was used up. Its
`acquireTime` plus `leaseDurationSeconds` is when the thing would have ended by itself."""

SPENT_PREFIX: Final = "klutch-bind-spent-"
"""Name of such a Lease: this plus a digest of what was used."""

REDEEM_RELATION: Final = keys.REDEEM_RELATION
"""Link relation in the answer of `/export`: where our CLI exchanges its one-time code."""
