"""The app cluster's side of binding: what is there already, and what gets written.

Everything is looked at before anything is written (`survey`), so that a binding of another provider or
a CRD of somebody else ends the command while the cluster is still untouched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bind_agent.api import conditions, keys
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.meta import (
    Object,
    creation_timestamp,
    is_deleting,
    labels,
    name,
    owner_references,
    resource_version,
    uid,
)
from bind_agent.api.rbac import ROLE_PREFIX, binding_cluster_role
from bind_agent.api.resource import BINDINGS, CLUSTERROLES, CRDS, NAMESPACES, SECRETS, Resource
from cli.binding.claims import parse_entries, same_entries, wire
from cli.binding.credential import Kubeconfig, stored_kubeconfig
from cli.binding.request import Wanted
from cli.errors import CliError, RequestRefusedError
from cli.kube import Cluster
from cli.output import Progress, inert

_UNBIND: Final = "delete that binding first, or bind with the kubeconfig of the provider it belongs to"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the app cluster holds for one API.

    Attributes:
        wanted: the API.
        binding: the existing binding, if any.
    """

    wanted: Wanted
    binding: Object | None

    @property
    def claims(self) -> list[AcceptablePermissionClaim]:
        """The claims of the existing binding with their decisions."""
        spec = (self.binding or {}).get("spec")
        return parse_entries(spec.get("permissionClaims")) if isinstance(spec, dict) else []


@dataclass(frozen=True, slots=True)
class Survey:
    """What the app cluster holds before the command.

    Attributes:
        served: the endpoint of bindings; None while the cluster does not know them.
        namespace: whether the namespace ``klutch-bind`` exists.
        secret: the Secret that holds a kubeconfig for the same server and namespace of the provider, if any.
        standings: one entry per wanted API.
    """

    served: Resource | None
    namespace: bool
    secret: Object | None
    standings: tuple[Standing, ...]


class ConsumerSide:
    """What the CLI does on the app cluster.

    Args:
        cluster: the app cluster.
        progress: told what is written.
    """

    def __init__(self, cluster: Cluster, progress: Progress) -> None:
        self.cluster = cluster
        self._progress = progress

    # --- looking ----------------------------------------------------------------------------------

    def survey(self, wanted: Sequence[Wanted], kubeconfig: Kubeconfig, *, prefer: str = "") -> Survey:
        """Look at everything that decides what has to be written; write nothing.

        Args:
            wanted: the APIs to bind.
            kubeconfig: the provider's.
            prefer: name of the Secret that the person named, if she named one here.

        Raises:
            CliError: a binding of that name belongs to another provider, or a CRD of that name to
                somebody else.
        """
        served = self.cluster.served(BINDINGS.group, BINDINGS.version, BINDINGS.plural)
        bindings = {one.name: self.binding(served, one.name) for one in wanted}
        namespace = self.cluster.get(NAMESPACES, keys.CONSUMER_NAMESPACE)
        if namespace is not None and is_deleting(namespace):
            raise CliError(
                f"the namespace {keys.CONSUMER_NAMESPACE} of the app cluster is being deleted",
                next_step="wait until it is gone, then run the command again",
            )
        matching = self._matching_secrets(kubeconfig) if namespace is not None else []
        referenced = [_secret_of(binding)[1] for binding in bindings.values() if binding is not None]
        secret = _choose(matching, [*referenced, prefer])
        known = {name(one) for one in matching}
        for one in wanted:
            self._check_binding(one, bindings[one.name], known)
            self._check_crd(one, bindings[one.name])
            self._check_role(one)
        used = {secret_name for secret_name in referenced if secret_name in known}
        if len(used) > 1:
            raise CliError(
                f"these APIs are bound through different Secrets: {inert(', '.join(sorted(used)))}",
                next_step="bind them one by one, each with a request of its own",
            )
        return Survey(
            served=served,
            namespace=namespace is not None,
            secret=secret,
            standings=tuple(Standing(one, bindings[one.name]) for one in wanted),
        )

    def binding(self, served: Resource | None, binding_name: str) -> Object | None:
        """The binding of that name, if any."""
        if served is None:
            return None
        return self.cluster.get(served, binding_name, namespace=_namespace(served))

    def _matching_secrets(self, kubeconfig: Kubeconfig) -> list[Object]:
        """Secrets that hold a kubeconfig for the same server and namespace, the oldest first."""
        found = []
        for secret in self.cluster.list(SECRETS, namespace=keys.CONSUMER_NAMESPACE):
            stored = stored_kubeconfig(secret)
            if stored is not None and stored.same_place(kubeconfig):
                found.append(secret)
        return sorted(found, key=lambda one: (creation_timestamp(one), name(one)))

    def _check_binding(self, wanted: Wanted, binding: Object | None, known: set[str]) -> None:
        if binding is None:
            return
        if is_deleting(binding):
            raise CliError(
                f"the binding {wanted.name} is being deleted",
                next_step="wait until it is gone, then run the command again",
            )
        namespace, secret = _secret_of(binding)
        if namespace != keys.CONSUMER_NAMESPACE or secret not in known:
            raise CliError(
                f"the binding {wanted.name} exists and belongs to another provider, or to another "
                f"namespace of it: it uses Secret {inert(namespace)}/{inert(secret)}",
                next_step=_UNBIND,
            )

    def _check_crd(self, wanted: Wanted, binding: Object | None) -> None:
        crd = self.cluster.get(CRDS, wanted.name)
        if crd is None:
            return
        owners = [
            reference
            for reference in owner_references(crd)
            if str(reference.get("apiVersion") or "").partition("/")[0] == keys.GROUP
            and reference.get("kind") == keys.KIND_BINDING
            and reference.get("name") == wanted.name
        ]
        # Without a binding the mark of an earlier one will do: the konnector takes such a CRD over.
        if any(binding is None or reference.get("uid") == uid(binding) for reference in owners):
            return
        raise CliError(
            f"the app cluster has a CustomResourceDefinition {wanted.name} that does not belong to a binding",
            next_step="remove or rename it if nobody needs it; it is not touched",
        )

    def _check_role(self, wanted: Wanted) -> None:
        role = self.cluster.get(CLUSTERROLES, ROLE_PREFIX + wanted.name)
        if role is not None and labels(role).get(keys.MANAGED_BY) != keys.MANAGER:
            raise CliError(
                f"the app cluster has a ClusterRole {ROLE_PREFIX}{wanted.name} of other origin",
                next_step="remove or rename it; it is not touched",
            )

    # --- writing ----------------------------------------------------------------------------------

    def ensure_namespace(self) -> list[str]:
        """The namespace ``klutch-bind``; its labels come with the konnector's manifests."""
        try:
            self.cluster.create(NAMESPACES, namespace_manifest())
        except RequestRefusedError as error:
            if error.reason == "AlreadyExists":
                return []
            raise
        return [f"Namespace {keys.CONSUMER_NAMESPACE}"]

    def store_credential(self, survey: Survey, kubeconfig: Kubeconfig) -> tuple[str, list[str]]:
        """Put the provider's kubeconfig where the konnector reads it.

        A Secret for the same place is taken and refreshed when its credential differs: the one at hand
        has just been used successfully (W-C9).

        Returns:
            The Secret's name, and what was written in words.
        """
        if survey.secret is None:
            created = self.cluster.create(
                SECRETS, secret_manifest(kubeconfig), namespace=keys.CONSUMER_NAMESPACE
            )
            self._progress.step(f"credential stored in Secret {keys.CONSUMER_NAMESPACE}/{name(created)}")
            return name(created), [f"Secret {keys.CONSUMER_NAMESPACE}/{name(created)}"]
        secret = survey.secret
        stored = stored_kubeconfig(secret)
        if stored is not None and stored.digest == kubeconfig.digest:
            return name(secret), []
        patch = {
            "metadata": {"uid": uid(secret), "resourceVersion": resource_version(secret)},
            "data": {keys.KUBECONFIG: kubeconfig.encoded()},
        }
        self.cluster.merge_patch(SECRETS, name(secret), patch, namespace=keys.CONSUMER_NAMESPACE)
        self._progress.step(f"credential refreshed in Secret {keys.CONSUMER_NAMESPACE}/{name(secret)}")
        return name(secret), [f"Secret {keys.CONSUMER_NAMESPACE}/{name(secret)} (refreshed)"]

    def apply_role(self, wanted: Wanted, claims: Sequence[AcceptablePermissionClaim]) -> list[str]:
        """The rights of this one binding, added to the konnector's."""
        role = role_manifest(wanted, claims)
        self.cluster.apply(CLUSTERROLES, role)
        return [f"ClusterRole {name(role)}"]

    def write_binding(
        self,
        served: Resource,
        standing: Standing,
        claims: Sequence[AcceptablePermissionClaim],
        *,
        secret: str,
    ) -> tuple[Object, list[str]]:
        """Create the binding, or bring the claims of the existing one up to date.

        Returns:
            The binding as the server holds it, and what was written in words.
        """
        wanted, existing = standing.wanted, standing.binding
        if existing is not None:
            if same_entries(standing.claims, claims):
                self._progress.step(f"binding {wanted.name} stands already")
                return existing, []
            patch = {
                "metadata": {"uid": uid(existing), "resourceVersion": resource_version(existing)},
                "spec": {"permissionClaims": wire(claims)},
            }
            updated = self.cluster.merge_patch(served, wanted.name, patch, namespace=_namespace(served))
            self._progress.step(f"claims of binding {wanted.name} updated")
            return updated, [f"{keys.KIND_BINDING} {wanted.name} (claims updated)"]
        created = self.cluster.create(
            served,
            binding_manifest(served, wanted, claims, secret=secret),
            namespace=_namespace(served),
        )
        self._progress.step(f"binding {wanted.name} created")
        self._mark_pending(served, created)
        return created, [f"{keys.KIND_BINDING} {wanted.name}"]

    def _mark_pending(self, served: Resource, created: Object) -> None:
        """Ready=False/Pending until the konnector has looked; a konnector that was faster is left alone."""
        pending = conditions.false("Ready", "Pending", "Info", "Pending")
        status = {"conditions": conditions.set_condition([], pending, datetime.now(UTC))}
        patch = {
            "metadata": {"uid": uid(created), "resourceVersion": resource_version(created)},
            "status": status,
        }
        try:
            self.cluster.merge_patch(
                served, name(created), patch, namespace=_namespace(served), subresource="status"
            )
        except CliError as error:
            self._progress.detail(f"initial status not written: {error.message}")

    def tables(self, served: Resource, wanted: Sequence[Wanted]) -> list[Object]:
        """The server's own tables of the bindings."""
        return [self.cluster.table(served, one.name, namespace=_namespace(served)) for one in wanted]


def namespace_manifest() -> Object:
    """The namespace that holds bindings and credentials."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": keys.CONSUMER_NAMESPACE}}


def secret_manifest(kubeconfig: Kubeconfig, *, redacted: bool = False) -> Object:
    """The Secret of a provider's kubeconfig.

    Args:
        kubeconfig: the provider's.
        redacted: for showing: the content is left out.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "generateName": keys.KUBECONFIG_PREFIX,
            "namespace": keys.CONSUMER_NAMESPACE,
            "labels": {keys.MANAGED_BY: keys.MANAGER},
        },
        "type": "Opaque",
        "data": {keys.KUBECONFIG: "PHJlZGFjdGVkPg==" if redacted else kubeconfig.encoded()},
    }


def role_manifest(wanted: Wanted, claims: Sequence[AcceptablePermissionClaim]) -> Object:
    """The ClusterRole of one binding; objects that the provider made are adopted, as konnectors do."""
    resource = Resource(wanted.group, "v1", wanted.plural)
    return binding_cluster_role(wanted.name, resource, wire(claims), adopt=True)


def binding_manifest(
    served: Resource, wanted: Wanted, claims: Sequence[AcceptablePermissionClaim], *, secret: str
) -> Object:
    """The APIServiceBinding of one API."""
    metadata = {"name": wanted.name} | ({"namespace": _namespace(served)} if served.namespaced else {})
    spec: dict[str, Any] = {
        "kubeconfigSecretRef": {
            "namespace": keys.CONSUMER_NAMESPACE,
            "name": secret,
            "key": keys.KUBECONFIG,
        }
    }
    if claims:
        spec["permissionClaims"] = wire(claims)
    return {"apiVersion": keys.API_VERSION, "kind": keys.KIND_BINDING, "metadata": metadata, "spec": spec}


def _namespace(served: Resource) -> str:
    return keys.CONSUMER_NAMESPACE if served.namespaced else ""


def _secret_of(binding: Object) -> tuple[str, str]:
    """Namespace and name of the Secret that a binding uses."""
    spec = binding.get("spec")
    reference = spec.get("kubeconfigSecretRef") if isinstance(spec, dict) else None
    reference = reference if isinstance(reference, dict) else {}
    return str(reference.get("namespace") or ""), str(reference.get("name") or "")


def _choose(matching: Sequence[Object], preferred: Sequence[str]) -> Object | None:
    """The Secret to use: the first preferred one that matches, else the oldest match."""
    by_name = {name(one): one for one in matching}
    for candidate in preferred:
        if candidate in by_name:
            return by_name[candidate]
    return matching[0] if matching else None
