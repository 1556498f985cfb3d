"""A provider as it might be, for tests of pages: templates, CRDs, tenants, exports, all as API servers give them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bind_agent.api import conditions, keys
from bind_agent.api.conditions import Condition
from bind_agent.api.meta import Object
from bind_agent.backend import names, retirement
from bind_agent.backend.person import Person
from bind_agent.backend.retirement import Planned
from bind_agent.backend.tenancy.identity import Identity
from bind_agent.backend.tenancy.provision import Tenant
from bind_agent.backend.tenancy.rotation import Credential, Retiring, renew_at

NOW: Final = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
PROVIDER: Final = "Northwind Platform"
BIND_URL: Final = "https://bind.northwind.example/export"
ANNA: Final = Person(
    issuer="https://login.northwind.example",
    subject="anna",
    name="Anna Lindqvist",
    email="anna@northwind.example",
    email_verified=True,
    groups=("platform-operators", "shop"),
)

HOSTILE: Final = (
    "<script>document.title='owned'</script>\u202eevil\u202c <img src=x onerror=alert(1)> \x1b[2J"
)

_TEXT: Final = {"type": "string"}

POSTGRES: Final[Object] = {
    "type": "object",
    "description": "A PostgreSQL server of your own: backups every night, updates on Sundays, and a Secret with the"
    " address and password of its owner.",
    "required": ["spec"],
    "properties": {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "description": "What you want.",
            "required": ["plan", "version"],
            "properties": {
                "plan": {
                    **_TEXT,
                    "enum": ["small", "medium", "large"],
                    "default": "small",
                    "description": "How much memory and how many processors the server gets.",
                },
                "version": {"type": "integer", "minimum": 14, "maximum": 18, "description": "Major version."},
                "storage": {
                    "x-kubernetes-int-or-string": True,
                    "default": "10Gi",
                    "description": "Size of the data volume; it can grow and never shrinks.",
                },
                "parameters": {
                    "type": "object",
                    "additionalProperties": _TEXT,
                    "description": "Settings of the server, by name.",
                },
                "backup": {
                    "type": "object",
                    "description": "When and for how long backups are kept.",
                    "properties": {
                        "schedule": {
                            **_TEXT,
                            "default": "0 2 * * *",
                            "description": "Cron expression, in UTC.",
                        },
                        "keep": {"type": "integer", "default": 7, "minimum": 1, "maximum": 90},
                        "encrypted": {"type": "boolean", "default": True},
                    },
                },
                "users": {
                    "type": "array",
                    "maxItems": 20,
                    "description": "Further accounts.",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {**_TEXT, "pattern": "^[a-z][a-z0-9_]{0,30}$", "maxLength": 31},
                            "databases": {"type": "array", "items": _TEXT, "uniqueItems": True},
                        },
                    },
                },
            },
            "x-kubernetes-validations": [
                {"rule": "self.version >= 14", "message": "older versions are not run any more"}
            ],
        },
        "status": {
            "type": "object",
            "description": "What the provider reports.",
            "properties": {
                "phase": {**_TEXT, "enum": ["Pending", "Ready", "Failed"]},
                "endpoint": _TEXT,
                "secretRef": {"type": "object", "properties": {"name": _TEXT}},
            },
        },
    },
}


def crd(
    plural: str, group: str, kind: str, *versions: Mapping[str, Any], scope: str = "Namespaced", **marks: str
) -> Object:
    """A CRD; without versions it has `v1` with a free schema."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "uid": f"uid-{plural}",
            "generation": 1,
            "annotations": dict(marks),
        },
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": list(versions)
            or [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": free}}],
        },
    }


def version(name: str, schema: Mapping[str, Any], **more: Any) -> Object:
    """One version of a CRD."""
    return {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **more}


def template(
    plural: str, group: str, *claims: Mapping[str, Any], text: str = "", name: str = "", age: int = 0
) -> Object:
    """A template."""
    marks = {"kubernetes.io/description": text} if text else {}
    return {
        "apiVersion": f"{keys.TEMPLATE_GROUP}/v1alpha1",
        "kind": keys.KIND_TEMPLATE,
        "metadata": {
            "name": name or plural,
            "namespace": "default",
            "annotations": marks,
            "creationTimestamp": conditions.timestamp(NOW - timedelta(days=age)),
        },
        "spec": {
            "APIServiceSelector": {"group": group, "resource": plural},
            "permissionClaims": [dict(claim) for claim in claims],
        },
    }


def claim(resource: str, owner: str = "Provider", *, required: bool = False, **selector: Any) -> Object:
    """A claim on a core kind."""
    return {
        "group": "",
        "resource": resource,
        "version": "v1",
        "required": required,
        "selector": {"owner": owner, **selector},
    }


def catalogue() -> tuple[list[Object], dict[str, Object]]:
    """Templates, and CRDs by name."""
    group = "data.northwind.example"
    deprecated = version(
        "v1alpha1", POSTGRES, storage=False, deprecated=True, deprecationWarning="use v1; gone in 2027"
    )
    crds = [
        crd("postgresinstances", group, "PostgresInstance", version("v1", POSTGRES), deprecated),
        crd("buckets", "storage.northwind.example", "Bucket"),
        crd("messagequeues", "mq.northwind.example", "MessageQueue"),
        crd("searchindices", "search.northwind.example", "SearchIndex"),
        crd("dnszones", "net.northwind.example", "DnsZone", scope="Cluster"),
        crd("certificates", "pki.northwind.example", "Certificate"),
    ]
    templates = [
        template(
            "postgresinstances",
            group,
            claim("secrets", required=True, labelSelectors=[{"app.kubernetes.io/part-of": "postgres"}]),
            claim("configmaps", "Consumer", names=["postgres-init"]),
        ),
        template(
            "buckets",
            "storage.northwind.example",
            claim("secrets"),
            text="Object storage that speaks S3. Each bucket comes with a Secret that holds its address and keys.",
        ),
        template(
            "messagequeues",
            "mq.northwind.example",
            claim("secrets", "", labelSelectors=[{"mq.northwind.example/queue": "yes"}]),
            text="RabbitMQ queues with a dead letter exchange, replicated over three zones.",
        ),
        template(
            "searchindices",
            "search.northwind.example",
            text="Full-text search over your documents; an index is created in seconds and grows with what you put in.",
        ),
        template("dnszones", "net.northwind.example", text="Zones of the company's name servers."),
        template("certificates", "pki.northwind.example"),
    ]
    return templates, {one["metadata"]["name"]: one for one in crds}


def cluster_binding(
    *,
    last: timedelta | None = timedelta(seconds=40),
    version_: str = "v1.5.0",
    revoked: bool = False,
    issued: bool = True,
) -> Object:
    """A ClusterBinding; `last` is the age of the last heartbeat."""
    found = [conditions.true(names.ACCESS_GRANTED)]
    if issued:
        found.append(conditions.true(names.CREDENTIAL_ISSUED))
    else:
        found.append(
            conditions.false(
                names.CREDENTIAL_ISSUED,
                names.REASON_EXTERNAL_ADDRESS_MISSING,
                "Error",
                "the external address of the provider is not known: set --external-address",
            )
        )
    status: dict[str, Any] = {"conditions": wired(*found)}
    if last is not None:
        status |= {
            "lastHeartbeatTime": conditions.timestamp(NOW - last),
            "heartbeatInterval": "2m30s",
            "konnectorVersion": version_,
        }
    marks = {names.REVOKED: conditions.timestamp(NOW)} if revoked else {}
    return {
        "metadata": {"name": "cluster", "annotations": marks},
        "spec": {"providerPrettyName": PROVIDER},
        "status": status,
    }


def wired(*found: Condition) -> list[dict[str, Any]]:
    """Conditions with times and summary, as they stand in a status."""
    return conditions.set_all([], found, NOW - timedelta(hours=3))


def tenant(namespace: str, cluster_id: str, binding: Object | None, subject: str = "anna") -> Tenant:
    """A tenant."""
    return Tenant(namespace, f"uid-{namespace}", Identity(subject, cluster_id), binding)


def tenants() -> Sequence[tuple[Tenant, int]]:
    """Clusters of one person, each with the number of its APIs."""
    return [
        (tenant("cluster-7xk2pqm4ta", "3f1c9a52-71b4-4c0d-9c7e-1b2a6f0d9e11", cluster_binding()), 2),
        (
            tenant(
                "cluster-q9d4zr21bb",
                "shop-production",
                cluster_binding(last=timedelta(hours=5), version_="v1.4.2"),
            ),
            3,
        ),
        (tenant("cluster-0aa1bc88de", "laptop", cluster_binding(last=None)), 0),
        (tenant("cluster-m3k9ss0p1f", "old-staging", cluster_binding(revoked=True)), 1),
    ]


def credential(namespace: str) -> Credential:
    """A credential in the middle of its life, with an earlier one on its way out."""
    issued = NOW - timedelta(days=2, hours=4)
    expires = issued + timedelta(days=7)
    return Credential(
        generation=4,
        expires=expires,
        renew=renew_at(issued, expires, namespace),
        retiring=(Retiring(3, NOW + timedelta(minutes=7)),),
    )


def export(
    plural: str, group: str, kind: str, *claims: Mapping[str, Any], bad: bool = False, namespace: str = ""
) -> Object:
    """An export with conditions."""
    found = [conditions.true("ProviderInSync"), conditions.true("ConsumerInSync")]
    if bad:
        found[1] = conditions.false(
            "ConsumerInSync",
            "SchemaUpdateHeld",
            "Warning",
            "the provider made spec.plan required, which existing objects lack: set it, or ask the provider",
        )
    return {
        "metadata": {
            "name": f"{plural}.{group}",
            "namespace": namespace,
            "creationTimestamp": conditions.timestamp(NOW - timedelta(days=12)),
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True}],
            "permissionClaims": [dict(claim) for claim in claims],
        },
        "status": {"conditions": wired(*found)},
    }


def exports(namespace: str) -> list[Object]:
    """Exports of one cluster: sound, in trouble, ended by its owner, ended by the provider."""
    found = [
        export(
            "postgresinstances",
            "data.northwind.example",
            "PostgresInstance",
            claim("secrets"),
            namespace=namespace,
        ),
        export("searchindices", "search.northwind.example", "SearchIndex", bad=True, namespace=namespace),
        export("buckets", "storage.northwind.example", "Bucket", claim("secrets"), namespace=namespace),
        export("messagequeues", "mq.northwind.example", "MessageQueue", namespace=namespace),
    ]
    ends = (
        (found[2], Planned(NOW + timedelta(hours=22), by=names.BY_PERSON)),
        (
            found[3],
            Planned(NOW + timedelta(days=30), "version 2 takes its place: bind queues.mq.northwind.example"),
        ),
    )
    for one, planned in ends:
        one["metadata"]["annotations"] = retirement.marks(planned)
    return found
