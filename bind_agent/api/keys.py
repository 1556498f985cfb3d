"""Every group, label, annotation, finalizer and fixed name that appears on the wire (spec 3.1 and 3.11).

Names that are shared with the Go programs stand first in each section; names of our own live under the same
domain, so a person who looks at an object sees at once who wrote it. Nothing else in the product spells such
a name out.
"""

from typing import Final

# --- groups and versions (spec 3.1) ---------------------------------------------------------------

GROUP: Final = "klutch.anynines.com"
"""Group of all kinds that both sides of a binding share."""

TEMPLATE_GROUP: Final = "example-backend.klutch.anynines.com"
"""Group of the templates, which only a backend reads."""

VERSION: Final = "v1alpha1"
"""The one served and stored version of every own kind."""

API_VERSION: Final = f"{GROUP}/{VERSION}"
TEMPLATE_API_VERSION: Final = f"{TEMPLATE_GROUP}/{VERSION}"

BINDING_PROVIDER_API_VERSION: Final = VERSION
"""`apiVersion` of the BindingProvider document: the group is missing, and Go's CLI requires exactly that."""

# --- kinds ----------------------------------------------------------------------------------------

KIND_TEMPLATE: Final = "APIServiceExportTemplate"
KIND_BINDING: Final = "APIServiceBinding"
KIND_EXPORT: Final = "APIServiceExport"
KIND_EXPORT_REQUEST: Final = "APIServiceExportRequest"
KIND_SERVICE_NAMESPACE: Final = "APIServiceNamespace"
KIND_CLUSTER_BINDING: Final = "ClusterBinding"
KIND_APP_CLUSTER_BINDING: Final = "AppClusterBinding"
KIND_BINDING_PROVIDER: Final = "BindingProvider"
KIND_BINDING_RESPONSE: Final = "BindingResponse"

# --- annotations shared with Go (spec 3.11.1) -----------------------------------------------------

BOUND: Final = f"{GROUP}/bound"
"""Annotation on bound objects of both clusters, value `TRUE`. On the provider: came from, or belongs to, a
consumer.

Go reads the presence of the key, not its value, and deletes a provider object that carries it and has no
consumer counterpart (spec 6.7.4)."""

CLUSTER_NAMESPACE: Final = f"{GROUP}/cluster-namespace"
"""Annotation on cluster-scoped objects on the provider: the cluster namespace that they belong to (spec
6.7.2)."""

RESOURCE_OWNER: Final = f"{GROUP}/resource-owner"
"""Annotation on claimed objects on both sides: `OWNER_PROVIDER` or `OWNER_CONSUMER` (spec 6.9.3)."""

OWNER_PROVIDER: Final = "Provider"
OWNER_CONSUMER: Final = "Consumer"

API_SERVICE_NAMESPACE: Final = f"{GROUP}/api-service-namespace"
"""Annotation on a service namespace, by the backend: `<cluster namespace>/<consumer namespace>` (spec
4.9)."""

SOURCE_SPEC_HASH: Final = f"{GROUP}/source-spec-hash"
"""Annotation on an export, by the backend: hash of the CRD part it was made from (spec 3.10.3)."""

IDENTITY: Final = f"{TEMPLATE_GROUP}/identity"
"""Annotation on a cluster namespace, by the backend: `<subject>#<cluster id>` (spec 4.5)."""

SERVICE_ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
"""Annotation of Kubernetes on a Secret that holds a service account's token."""

BOOTSTRAP_CREATE_ONLY: Final = "bootstrap.klutch.anynines.com/create-only"
"""Annotation on shipped manifests: an existing object is left as it is."""

BOOTSTRAP_BATTERY: Final = "bootstrap.klutch.anynines.com/battery"
"""Annotation on shipped manifests: comma list, the object is skipped unless one of them is enabled."""

# --- annotations of our own -----------------------------------------------------------------------

CONSUMER_CLUSTER: Final = f"{GROUP}/consumer-cluster"
"""On a copy: identity of the app cluster that the copy belongs to (`bind_agent.api.identity`)."""

SOURCE: Final = f"{GROUP}/source"
"""On a copy: `<namespace>/<name>` (or `<name>`) of the object on the other side that it is a copy of."""

SOURCE_UID: Final = f"{GROUP}/source-uid"
"""On a copy: UID of that object. A copy whose source has another UID belongs to an earlier life of the
name."""

PROVIDER: Final = f"{GROUP}/provider"
"""On a copy of a claimed object: identity of the provider as it was reached. A provider cannot choose it, so it cannot
pass for the one that another provider's copies came from. In control plane mode also on a CRD, with `SOURCE` and
`SOURCE_UID` of the binding on that provider: no owner reference can point to another cluster."""

CONTENT_DIGEST: Final = f"{GROUP}/content-digest"
"""On a copy: digest of the content that was last written to it; equal means that there is nothing to
write."""

CONFLICT_POLICY: Final = f"{GROUP}/conflict-policy"
"""On a binding: what happens to an unmarked object of the same name, `CONFLICT_FAIL` (default) or
`CONFLICT_ADOPT`."""

CONFLICT_FAIL: Final = "Fail"
CONFLICT_ADOPT: Final = "Adopt"

DELETION_POLICY: Final = f"{GROUP}/deletion-policy"
"""On a binding: what becomes of provider copies when it is deleted, `DELETION_DELETE` or
`DELETION_ORPHAN`."""

DELETION_DELETE: Final = "Delete"
DELETION_ORPHAN: Final = "Orphan"

PAUSED: Final = f"{GROUP}/paused"
"""On a binding: `TRUE` stops all writes for it."""

RESUME: Final = f"{GROUP}/resume"
"""On a binding: time (RFC 3339) at which a person released the brake on mass deletion. Any value counts but the one
that stood there when the brake came to hold."""

ACCEPT_SCHEMA: Final = f"{GROUP}/accept-schema"
"""On a binding: a person has consented to one offer of a schema that would harm stored objects, and names it. The
condition `SchemaInSync` prints the value; it fits that offer, and the CRD as it was then, only."""

TRUE: Final = "true"
"""Value of annotations that are switches."""

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""Annotation of kubectl. It repeats the whole object, a Secret's values included, so it never crosses."""

CONTROLLER_GEN: Final = "controller-gen.kubebuilder.io/version"
"""Annotation on our CRDs with the value `CONTROLLER_GEN_VERSION` (spec 3.1)."""

CONTROLLER_GEN_VERSION: Final = "v0.19.0"

APP_CLUSTER_BINDING: Final = f"{GROUP}/app-cluster-binding"
"""On a binding root namespace, by the backend: `<namespace>/<name>` of the AppClusterBinding that it belongs to.
The name of such a namespace is ambiguous, this record is not. On the ClusterBinding in it instead, where a Go backend
made the namespace."""

APP_CLUSTER_PROOF: Final = f"{GROUP}/app-cluster-proof"
"""Label on the backend's own RoleBinding in a binding root namespace that lacks the record above, because a Go backend
made it: what stands for it, `CLUSTER_BINDING_PROOF`. Admission looks at that by itself then."""

CLUSTER_BINDING_PROOF: Final = "cluster-binding"

ACCEPT_CLAIMS: Final = f"{GROUP}/accept-claims"
"""On an AppClusterBinding: which claims are accepted without asking: `none` (default), `all`, or a comma list of
`plural.group`."""

ACCEPTED_BY_POLICY: Final = f"{GROUP}/accepted-by-policy"
"""On an APIServiceBinding in control plane mode: hashes of the claims that `ACCEPT_CLAIMS` accepted, comma list. All
other entries are a person's."""

# --- labels ---------------------------------------------------------------------------------------

APP_CLUSTER_BINDING_NAME: Final = f"{GROUP}/appclusterbinding-name"
"""On everything that the backend creates for an AppClusterBinding: the binding's name."""

APP_CLUSTER_BINDING_NAMESPACE: Final = f"{GROUP}/appclusterbinding-namespace"
"""On the same objects: the binding's namespace."""

EXPORTED: Final = f"{GROUP}/exported"
"""On CRDs in old examples. Nothing reads it; templates replaced it."""

AGGREGATE_TO_KONNECTOR: Final = f"{GROUP}/aggregate-to-konnector"
"""On a ClusterRole, value `TRUE`: its rules are added to the konnector's aggregated role."""

COPY: Final = f"{GROUP}/copy"
"""Label of our own on the copies of claimed objects, so that a konnector can watch its copies alone.

The value is a digest of app cluster and provider, so each session watches its own copies only."""

BINDING_LABEL: Final = f"{GROUP}/binding"
"""On objects generated for one binding (roles): the binding's name, or its digest where the name is too
long."""

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
"""Common label; `MANAGER` on objects that we generate."""

MANAGER: Final = "klutch-bind"

# --- finalizers -----------------------------------------------------------------------------------

SYNCER_FINALIZER: Final = f"{GROUP}/syncer"
"""On bound objects of the consumer: on before the first provider write, off after the provider copy is
gone."""

APP_CLUSTER_BINDING_FINALIZER: Final = f"{GROUP}/appclusterbinding-cleanup"
"""On an AppClusterBinding, by the backend."""

BINDING_FINALIZER: Final = f"{GROUP}/binding-cleanup"
"""On an APIServiceBinding, our own: leaving is a flow that has to end before the binding may go."""

SERVICE_NAMESPACE_FINALIZER: Final = f"{GROUP}/service-namespace-cleanup"
"""On an APIServiceNamespace, our own, by the backend: the service namespace goes first."""

# --- field managers -------------------------------------------------------------------------------

FIELD_MANAGER: Final = "klutch.anynines.com"
"""Server-side apply manager of everything that we write to a copy (spec 3.11.1)."""

GO_FIELD_MANAGER: Final = "konnector"
"""Manager of objects that a Go konnector created with a plain POST; taken over by migrating managed
fields."""

# --- fixed object names (spec 3.11.2) -------------------------------------------------------------

CLUSTER_BINDING_NAME: Final = "cluster"
"""The one ClusterBinding of a cluster namespace."""

BINDER: Final = "klutch-binder"
"""ServiceAccount, its token Secret, static ClusterRole, RoleBinding in `<cns>` and in each service
namespace."""

KUBECONFIG: Final = "kubeconfig"
"""Secret in a cluster namespace, and the one key inside every kubeconfig Secret."""

KUBECONFIG_PREFIX: Final = "kubeconfig-"
"""`generateName` of the consumer's kubeconfig Secrets."""

CONSUMER_NAMESPACE: Final = "klutch-bind"
"""Namespace on the consumer that holds bindings, kubeconfig Secrets and the konnector."""

LEASE: Final = "klutch-bind"
"""Lease of the konnector, shared with Go so that only one of them is active."""

KONNECTOR: Final = "konnector"
"""Deployment, ServiceAccount, container and value of the label `app`."""

KONNECTOR_ROLE: Final = "klutch-bind-konnector"
"""ClusterRole and ClusterRoleBinding of the konnector on the consumer."""

CONTROL_PLANE_CONNECTOR: Final = "control-plane-connector"
"""Role and RoleBinding in a binding root namespace."""

DEFAULT_NAMESPACE_PREFIX: Final = "cluster"
"""Default prefix of cluster namespaces."""

BINDING_ROOT_PREFIX: Final = "klutch-bind-"
"""Prefix of binding root namespaces in control plane mode (spec section 0)."""

REDEEM_RELATION: Final = f"https://{GROUP}/rel/redeem"
"""Relation type (RFC 8288) of the `Link` header of `GET /export` that names the back channel, where a CLI redeems
its one-time code. Ours alone; Go programs do not look at it."""

OAUTH2_CODE_GRANT: Final = "OAuth2CodeGrant"
"""The only authentication method of a BindingProvider."""


def dynamic_role(cluster_namespace: str) -> str:
    """Name of the ClusterRole (and ClusterRoleBinding) with the rules of one tenant (spec 3.11.2)."""
    return f"{BINDER}-{cluster_namespace}"


def konnector_deployment(app_cluster_binding: str) -> str:
    """Name of the konnector's Deployment in control plane mode (spec 3.11.2)."""
    return f"{KONNECTOR}-{app_cluster_binding}"


def legacy_konnector_role(namespace: str, name: str) -> str:
    """Name of the cluster-wide roles that older backends made for an AppClusterBinding; only ever deleted."""
    return f"klutch-konnector-{namespace}-{name}"
