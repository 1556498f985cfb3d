"""Valid objects of the seven kinds, and for each rule one change that breaks it.

The same cases are put to our own validation (unit tests) and to a real API server with our CRDs (integration
tests): both have to agree on every one of them.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bind_agent.api import keys, rules

Object: TypeAlias = dict[str, Any]
Change: TypeAlias = Callable[[Object], Any]

SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    },
}

CLAIM: Object = {"resource": "secrets", "version": "v1"}
FULL_CLAIM: Object = {
    "group": "",
    "resource": "configmaps",
    "version": "v1",
    "selector": {
        "names": ["a", "b"],
        "namespaces": ["team"],
        "labelSelectors": [{"app": "db"}, {"app.kubernetes.io/name": "db"}],
        "fieldSelectors": ["metadata.name=a"],
        "owner": "Provider",
    },
    "required": True,
    "read": {
        "labels": [{"pattern": "a*"}],
        "labelsOnProviderOwnedObjects": [{"pattern": "b*"}],
        "annotations": [{"pattern": "c*"}],
        "overrideAnnotations": [{"pattern": "d*"}],
    },
    "create": {"replaceExisting": True},
    "autoAdopt": True,
    "autoDonate": False,
    "onConflict": {"recreateWhenConsumerSideDeleted": False},
    "update": {
        "fields": ["spec.a"],
        "preserving": ["spec.b"],
        "alwaysRecreate": True,
        "labels": [{"pattern": "e*"}],
        "labelsOnConsumerOwnedObjects": [{"pattern": "f*"}],
        "annotations": [{"pattern": "g*"}],
        "annotationsOnConsumerOwnedObjects": [{"pattern": "h*"}],
    },
}


def _ref(*, cluster: bool) -> Object:
    local = {"name": "kubeconfig-abc", "key": "kubeconfig"}
    return {"namespace": "klutch-bind", **local} if cluster else local


def _own(kind: str, name: str, spec: Object | None, *, template: bool = False) -> Object:
    version = keys.TEMPLATE_API_VERSION if template else keys.API_VERSION
    obj: Object = {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
    if spec is not None:
        obj["spec"] = spec
    return obj


def template(name: str = "databases") -> Object:
    """A template with one claim."""
    spec = {
        "APIServiceSelector": {"group": "example.com", "resource": "databases"},
        "permissionClaims": [copy.deepcopy(CLAIM)],
    }
    return _own(keys.KIND_TEMPLATE, name, spec, template=True)


def binding(name: str = "databases.example.com") -> Object:
    """A binding with one accepted claim."""
    spec = {"kubeconfigSecretRef": _ref(cluster=True), "permissionClaims": [{**CLAIM, "state": "Accepted"}]}
    return _own(keys.KIND_BINDING, name, spec)


def export(plural: str = "databases", *, scope: str = "Namespaced") -> Object:
    """An export of one version."""
    spec: Object = {
        "group": "example.com",
        "names": {
            "plural": plural,
            "singular": plural[:-1],
            "kind": "Database",
            "listKind": "DatabaseList",
            "shortNames": ["db"],
            "categories": ["all"],
        },
        "scope": scope,
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": copy.deepcopy(SCHEMA)},
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"}
                ],
            }
        ],
        "informerScope": "Cluster" if scope == "Cluster" else "Namespaced",
        "permissionClaims": [copy.deepcopy(CLAIM)],
    }
    if scope == "Cluster":
        spec["clusterScopedIsolation"] = "Prefixed"
    return _own(keys.KIND_EXPORT, f"{plural}.example.com", spec)


def export_request(name: str = "databases.example.com") -> Object:
    """A request for one resource with parameters."""
    spec = {
        "parameters": {"plan": "small"},
        "resources": [
            {"group": "example.com", "resource": "databases", "permissionClaims": [copy.deepcopy(CLAIM)]}
        ],
    }
    return _own(keys.KIND_EXPORT_REQUEST, name, spec)


def service_namespace(name: str = "team") -> Object:
    """The request for the service namespace of `team`."""
    return _own(keys.KIND_SERVICE_NAMESPACE, name, {})


def cluster_binding(name: str = "cluster") -> Object:
    """The ClusterBinding."""
    spec = {"kubeconfigSecretRef": _ref(cluster=False), "providerPrettyName": "Example"}
    return _own(keys.KIND_CLUSTER_BINDING, name, spec)


def app_cluster_binding(name: str = "edge") -> Object:
    """An AppClusterBinding with overrides of every sort."""
    overrides = {
        "image": "konnector:1",
        "args": ["--verbose"],
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
        "resources": {"limits": {"cpu": 1, "memory": "64Mi"}},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        "readinessProbe": {"grpc": {"port": 9, "service": ""}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": True},
        "volumeMounts": [
            {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "IfPossible"}
        ],
    }
    spec = {
        "kubeconfigSecretRef": _ref(cluster=True),
        "apiExports": [{"group": "example.com", "resource": "databases"}],
        "konnector": {"deploy": True, "overrides": overrides},
    }
    return _own(keys.KIND_APP_CLUSTER_BINDING, name, spec)


@dataclass(frozen=True)
class Valid:
    """An object that everyone accepts."""

    id: str
    obj: Object


@dataclass(frozen=True)
class Invalid:
    """An object that everyone refuses.

    Attributes:
        id: for the test's name.
        obj: the object, or the one that an update starts from.
        server: what the API server's message contains.
        path: where our own validation finds it.
        ours: what our own message contains.
        change: for rules about updates, makes the refused object from `obj`.
    """

    id: str
    obj: Object
    server: str
    path: str
    ours: str
    change: Change | None = field(default=None)

    @property
    def changed(self) -> Object:
        """The object after the change."""
        result = copy.deepcopy(self.obj)
        if self.change is not None:
            self.change(result)
        return result


def changed(obj: Object, change: Change) -> Object:
    """A changed copy."""
    result = copy.deepcopy(obj)
    change(result)
    return result


def put(path: str, value: Any) -> Change:
    """A change that sets the field at a path such as `spec.versions.0.name`."""

    def change(obj: Object) -> None:
        *parents, last = path.split(".")
        at: Any = obj
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at[part]
        at[last] = value

    return change


def drop(path: str) -> Change:
    """A change that removes the field at a path."""

    def change(obj: Object) -> None:
        *parents, last = path.split(".")
        at: Any = obj
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at[part]
        del at[last]

    return change


def all_of(*changes: Change) -> Change:
    """Several changes."""

    def change(obj: Object) -> None:
        for one in changes:
            one(obj)

    return change


_TOO_SHORT = "should be at least 1 chars long"
_MATCH = "should match"
_ENUM = "Unsupported value"
_REQUIRED = "Required value"


def _bad(case: str, obj: Object, change: Change, server: str, path: str, ours: str) -> Invalid:
    return Invalid(case, changed(obj, change), server, path, ours)


def _claim_cases(kind: str, obj: Object, at: str, path: str) -> list[Invalid]:
    """Rules of claims, wherever they stand."""
    return [
        _bad(
            f"{kind}-claim-group",
            obj,
            put(f"{at}.group", "Not_a_group"),
            _MATCH,
            f"{path}.group",
            "API group",
        ),
        _bad(
            f"{kind}-claim-resource",
            obj,
            put(f"{at}.resource", "Secrets"),
            _MATCH,
            f"{path}.resource",
            "plural",
        ),
        _bad(
            f"{kind}-claim-no-resource", obj, drop(f"{at}.resource"), _REQUIRED, "", "missing required field"
        ),
        _bad(
            f"{kind}-claim-version",
            obj,
            put(f"{at}.version", ""),
            _TOO_SHORT,
            f"{path}.version",
            "not be empty",
        ),
        _bad(f"{kind}-claim-no-version", obj, drop(f"{at}.version"), _REQUIRED, "", "missing required field"),
        _bad(
            f"{kind}-claim-owner",
            obj,
            put(f"{at}.selector", {"owner": "Nobody"}),
            _ENUM,
            f"{path}.selector.owner",
            "must be one of",
        ),
        _bad(
            f"{kind}-claim-donate-adopt",
            obj,
            all_of(put(f"{at}.autoAdopt", True), put(f"{at}.autoDonate", True)),
            rules.DONATE_AND_ADOPT,
            path,
            rules.DONATE_AND_ADOPT,
        ),
    ]


def _ref_cases(kind: str, obj: Object, *, cluster: bool) -> list[Invalid]:
    """Rules of references to kubeconfigs, and that they never change."""
    path = "spec.kubeconfigSecretRef"
    cases = [
        _bad(f"{kind}-ref-name", obj, put(f"{path}.name", ""), _TOO_SHORT, f"{path}.name", "not be empty"),
        _bad(f"{kind}-ref-key", obj, put(f"{path}.key", "token"), _ENUM, f"{path}.key", "must be one of"),
        _bad(f"{kind}-ref-no-key", obj, drop(f"{path}.key"), _REQUIRED, "", "missing required field"),
        _bad(f"{kind}-no-ref", obj, drop(path), _REQUIRED, "", "missing required field"),
        Invalid(
            f"{kind}-ref-immutable",
            obj,
            rules.KUBECONFIG_REF_IMMUTABLE,
            path,
            rules.KUBECONFIG_REF_IMMUTABLE,
            change=put(f"{path}.name", "kubeconfig-other"),
        ),
    ]
    if cluster:
        cases += [
            _bad(
                f"{kind}-ref-namespace",
                obj,
                put(f"{path}.namespace", ""),
                _TOO_SHORT,
                f"{path}.namespace",
                "not be empty",
            ),
            _bad(
                f"{kind}-ref-no-ns", obj, drop(f"{path}.namespace"), _REQUIRED, "", "missing required field"
            ),
        ]
    return cases


def _gr_cases(kind: str, obj: Object, at: str, path: str) -> list[Invalid]:
    """Rules of a group and resource."""
    return [
        _bad(f"{kind}-group", obj, put(f"{at}.group", "example.com."), _MATCH, f"{path}.group", "API group"),
        _bad(f"{kind}-resource", obj, put(f"{at}.resource", "x"), _MATCH, f"{path}.resource", "plural"),
        _bad(f"{kind}-no-resource", obj, drop(f"{at}.resource"), _REQUIRED, "", "missing required field"),
    ]


def _no_spec(kind: str, obj: Object) -> Invalid:
    return _bad(f"{kind}-no-spec", obj, drop("spec"), _REQUIRED, "", "missing required field")


def valid_cases() -> list[Valid]:
    """Objects that have to be accepted."""
    with_full_claims = put("spec.permissionClaims", [CLAIM, FULL_CLAIM])
    decided = [{**FULL_CLAIM, "state": "Rejected"}, {**CLAIM, "state": "Accepted"}]
    return [
        Valid("template", template()),
        Valid(
            "template-core-group",
            changed(template("t2"), put("spec.APIServiceSelector", {"resource": "pods"})),
        ),
        Valid("template-null-version", changed(template("t3"), put("spec.APIServiceSelector.version", None))),
        Valid("template-claims", changed(template("t4"), with_full_claims)),
        Valid(
            "template-allowed",
            changed(template("t5"), put("spec.allowed", {"users": ["anna@example.org"], "groups": ["dba"]})),
        ),
        Valid("template-allowed-nobody", changed(template("t6"), put("spec.allowed", {"users": []}))),
        Valid("binding", binding()),
        Valid("binding-claims", changed(binding("b2"), put("spec.permissionClaims", decided))),
        Valid("binding-no-spec", changed(binding("b3"), drop("spec"))),
        Valid("export", export()),
        Valid("export-claims", changed(export("caches"), with_full_claims)),
        Valid("export-cluster-scoped", export("clouds", scope="Cluster")),
        Valid(
            "export-namespaced-wide-informers",
            changed(export("queues"), put("spec.informerScope", "Cluster")),
        ),
        Valid(
            "export-scale-and-deprecated",
            changed(
                export("topics"),
                all_of(
                    put(
                        "spec.versions.0.subresources",
                        {"scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
                    ),
                    put("spec.versions.0.deprecated", True),
                    put("spec.versions.0.deprecationWarning", "old"),
                ),
            ),
        ),
        Valid("export-served-by-default", changed(export("lakes"), drop("spec.versions.0.served"))),
        Valid("request", export_request()),
        Valid("request-no-parameters", changed(export_request("r2"), drop("spec.parameters"))),
        Valid(
            "request-claims",
            changed(export_request("r3"), put("spec.resources.0.permissionClaims", [CLAIM, FULL_CLAIM])),
        ),
        Valid("namespace", service_namespace()),
        Valid("namespace-no-spec", changed(service_namespace("other"), drop("spec"))),
        Valid("cluster-binding", cluster_binding()),
        Valid("app-cluster-binding", app_cluster_binding()),
        Valid("app-cluster-binding-least", changed(app_cluster_binding("a2"), drop("spec.konnector"))),
    ]


def _export_cases() -> list[Invalid]:
    obj, wide = export(), export("clouds", scope="Cluster")
    version = "spec.versions.0"
    column = {"name": "Phase", "type": "string", "jsonPath": ".x"}
    missing = "missing required field"
    return [
        _no_spec("export", obj),
        _bad(
            "export-name",
            obj,
            put("metadata.name", "x.example.com"),
            rules.EXPORT_NAME,
            "metadata.name",
            "plural",
        ),
        _bad("export-scope", obj, put("spec.scope", "Galaxy"), _ENUM, "spec.scope", "must be one of"),
        _bad(
            "export-informer-scope",
            obj,
            put("spec.informerScope", "x"),
            _ENUM,
            "spec.informerScope",
            "must be one",
        ),
        _bad("export-no-informer-scope", obj, drop("spec.informerScope"), _REQUIRED, "", missing),
        _bad("export-no-group", obj, drop("spec.group"), _REQUIRED, "", missing),
        _bad("export-no-names", obj, drop("spec.names"), _REQUIRED, "", missing),
        _bad("export-no-plural", obj, drop("spec.names.plural"), _REQUIRED, "", missing),
        _bad("export-no-kind", obj, drop("spec.names.kind"), _REQUIRED, "", missing),
        _bad(
            "export-cluster-informers",
            wide,
            put("spec.informerScope", "Namespaced"),
            rules.EXPORT_CLUSTER_INFORMERS,
            "spec",
            rules.EXPORT_CLUSTER_INFORMERS,
        ),
        _bad(
            "export-isolation-missing",
            wide,
            drop("spec.clusterScopedIsolation"),
            rules.EXPORT_ISOLATION_MISSING,
            "spec",
            rules.EXPORT_ISOLATION_MISSING,
        ),
        _bad(
            "export-isolation-surplus",
            obj,
            put("spec.clusterScopedIsolation", "Prefixed"),
            rules.EXPORT_ISOLATION_SURPLUS,
            "spec",
            rules.EXPORT_ISOLATION_SURPLUS,
        ),
        _bad(
            "export-isolation",
            wide,
            put("spec.clusterScopedIsolation", "Some"),
            _ENUM,
            "spec.clusterScopedIsolation",
            "must be one of",
        ),
        _bad("export-no-versions", obj, drop("spec.versions"), _REQUIRED, "", missing),
        _bad(
            "export-versions-empty",
            obj,
            put("spec.versions", []),
            "should have at least 1 items",
            "spec.versions",
            "at least one",
        ),
        _bad(
            "export-versions-duplicate",
            obj,
            lambda o: o["spec"]["versions"].append(copy.deepcopy(o["spec"]["versions"][0])),
            "Duplicate value",
            "spec.versions[1]",
            "duplicate",
        ),
        _bad(
            "export-version-name",
            obj,
            put(f"{version}.name", "beta"),
            _MATCH,
            "spec.versions[0].name",
            "version",
        ),
        _bad("export-version-no-storage", obj, drop(f"{version}.storage"), _REQUIRED, "", missing),
        _bad("export-version-no-schema", obj, drop(f"{version}.schema"), _REQUIRED, "", missing),
        _bad("export-version-schema-empty", obj, put(f"{version}.schema", {}), _REQUIRED, "", missing),
        _bad("export-scale", obj, put(f"{version}.subresources", {"scale": {}}), _REQUIRED, "", missing),
        _bad(
            "export-column",
            obj,
            put(f"{version}.additionalPrinterColumns", [{"name": "a", "type": "string"}]),
            _REQUIRED,
            "",
            missing,
        ),
        _bad(
            "export-column-duplicate",
            obj,
            put(f"{version}.additionalPrinterColumns", [column, column]),
            "Duplicate value",
            "spec.versions[0].additionalPrinterColumns[1]",
            "duplicate",
        ),
        Invalid(
            "export-informer-scope-immutable",
            obj,
            rules.INFORMER_SCOPE_IMMUTABLE,
            "spec.informerScope",
            rules.INFORMER_SCOPE_IMMUTABLE,
            change=put("spec.informerScope", "Cluster"),
        ),
        *_claim_cases("export", obj, "spec.permissionClaims.0", "spec.permissionClaims[0]"),
    ]


def _request_cases() -> list[Invalid]:
    obj = export_request()
    return [
        _no_spec("request", obj),
        _bad("request-no-resources", obj, drop("spec.resources"), _REQUIRED, "", "missing required field"),
        _bad(
            "request-resources-empty",
            obj,
            put("spec.resources", []),
            "should have at least 1 items",
            "spec.resources",
            "at least one",
        ),
        Invalid(
            "request-resources-immutable",
            obj,
            rules.RESOURCES_IMMUTABLE,
            "spec.resources",
            rules.RESOURCES_IMMUTABLE,
            change=put("spec.resources.0.resource", "caches"),
        ),
        *_gr_cases("request", obj, "spec.resources.0", "spec.resources[0]"),
        *_claim_cases(
            "request", obj, "spec.resources.0.permissionClaims.0", "spec.resources[0].permissionClaims[0]"
        ),
    ]


def invalid_cases() -> list[Invalid]:
    """One object or update per rule that has to be refused."""
    temp, bind, app = template(), binding(), app_cluster_binding()
    return [
        _no_spec("template", temp),
        _bad(
            "template-no-selector", temp, drop("spec.APIServiceSelector"), _REQUIRED, "", "missing required"
        ),
        _bad(
            "template-version",
            temp,
            put("spec.APIServiceSelector.version", ""),
            _TOO_SHORT,
            "spec.APIServiceSelector.version",
            "not be empty",
        ),
        _bad(
            "template-allowed-blank-user",
            temp,
            put("spec.allowed", {"users": ["anna", ""]}),
            _TOO_SHORT,
            "spec.allowed.users[1]",
            "not be empty",
        ),
        _bad(
            "template-allowed-blank-group",
            temp,
            put("spec.allowed", {"groups": [""]}),
            _TOO_SHORT,
            "spec.allowed.groups[0]",
            "not be empty",
        ),
        _bad(
            "template-allowed-text",
            temp,
            put("spec.allowed", {"users": "anna"}),
            "must be of type array",
            "",
            "Expected `array`",
        ),
        *_gr_cases("template", temp, "spec.APIServiceSelector", "spec.APIServiceSelector"),
        *_claim_cases("template", temp, "spec.permissionClaims.0", "spec.permissionClaims[0]"),
        *_ref_cases("binding", bind, cluster=True),
        *_claim_cases("binding", bind, "spec.permissionClaims.0", "spec.permissionClaims[0]"),
        _bad(
            "binding-claim-state",
            bind,
            put("spec.permissionClaims.0.state", "Perhaps"),
            _ENUM,
            "spec.permissionClaims[0].state",
            "must be one of",
        ),
        _bad(
            "binding-claim-no-state",
            bind,
            drop("spec.permissionClaims.0.state"),
            _REQUIRED,
            "",
            "missing required field",
        ),
        *_export_cases(),
        *_request_cases(),
        _no_spec("cluster-binding", cluster_binding()),
        Invalid(
            "cluster-binding-name",
            cluster_binding("other"),
            rules.CLUSTER_BINDING_NAME.replace('"', '\\"'),
            "metadata.name",
            rules.CLUSTER_BINDING_NAME,
        ),
        _bad(
            "cluster-binding-pretty-name",
            cluster_binding(),
            put("spec.providerPrettyName", ""),
            _TOO_SHORT,
            "spec.providerPrettyName",
            "not be empty",
        ),
        _bad(
            "cluster-binding-no-pretty-name",
            cluster_binding(),
            drop("spec.providerPrettyName"),
            _REQUIRED,
            "",
            "missing required field",
        ),
        *_ref_cases("cluster-binding", cluster_binding(), cluster=False),
        _no_spec("app-cluster-binding", app),
        *_ref_cases("app-cluster-binding", app, cluster=True),
        *_gr_cases("app-cluster-binding", app, "spec.apiExports.0", "spec.apiExports[0]"),
    ]
