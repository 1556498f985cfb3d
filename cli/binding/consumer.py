"""The app cluster's side of binding: what gets written, each object at most once and only when it differs."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bind_agent.api import conditions, identity, keys, naming
from bind_agent.api.claims import AcceptablePermissionClaim, selects
from bind_agent.api.meta import Object, annotation, labels, name, namespace, resource_version, uid
from bind_agent.api.resource import CLUSTERROLES, NAMESPACES, SECRETS, Resource
from cli.binding import objects
from cli.binding.claims import same_entries, wire
from cli.binding.credential import Kubeconfig, stored_kubeconfig
from cli.binding.moving import Move
from cli.binding.request import Wanted
from cli.binding.survey import Standing, Survey, find_binding, take_survey
from cli.cluster import Cluster
from cli.errors import CliError, RequestRefusedError
from cli.output import Progress

_TRIES: Final = 4


class ConsumerSide:
    """What the CLI does on the app cluster.

    Args:
        cluster: the app cluster.
        progress: told what is written.
    """

    def __init__(self, cluster: Cluster, progress: Progress) -> None:
        self.cluster = cluster
        self._progress = progress

    def standing_for(self) -> Object:
        """The namespace whose UID is the identity of the app cluster; the konnector marks its copies with it.

        Raises:
            CliError: there is none.
        """
        for candidate in identity.IDENTITY_NAMESPACES:
            found = self.cluster.get(NAMESPACES, candidate)
            if found is not None:
                return found
        raise CliError(identity.MISSING, next_step=identity.REMEDY)

    def survey(self, wanted: Sequence[Wanted], kubeconfig: Kubeconfig, *, prefer: str = "") -> Survey:
        """See `take_survey`."""
        return take_survey(self.cluster, wanted, kubeconfig, prefer=prefer)

    def binding(self, served: Resource, binding_name: str) -> Object | None:
        """The binding of that name, if any."""
        return find_binding(self.cluster, served, binding_name)

    def ensure_namespace(self) -> list[str]:
        """The namespace ``klutch-bind``; its labels come with the konnector's manifests."""
        try:
            self.cluster.create(NAMESPACES, objects.namespace_manifest())
        except RequestRefusedError as error:
            if error.reason == "AlreadyExists":
                return []
            raise
        return [f"Namespace {keys.CONSUMER_NAMESPACE}"]

    def store_credential(self, survey: Survey, kubeconfig: Kubeconfig) -> tuple[str, list[str]]:
        """Put the provider's kubeconfig where the konnector reads it.

        A Secret for the same place is taken and refreshed when its credential differs: the one at hand
        has just been used successfully (W-C9). One that a binding refers to and that is gone is made again.

        Returns:
            The Secret's name, and what was written in words.
        """
        if survey.secret is None:
            manifest = objects.secret_manifest(kubeconfig, name=survey.missing)
            created = self.cluster.create(SECRETS, manifest, namespace=keys.CONSUMER_NAMESPACE)
            self._progress.step(f"credential stored in Secret {keys.CONSUMER_NAMESPACE}/{name(created)}")
            return name(created), [f"Secret {keys.CONSUMER_NAMESPACE}/{name(created)}"]
        return self._refresh(survey.secret, kubeconfig, survey.move)

    def _refresh(self, secret: Object, kubeconfig: Kubeconfig, move: Move | None) -> tuple[str, list[str]]:
        secret_name = name(secret)
        places = [kubeconfig] if move is None else [kubeconfig, move.old]

        def write() -> list[str]:
            # The konnector stores rotated credentials here, so the one of the survey may be of the past.
            current = self.cluster.get(SECRETS, secret_name, namespace=keys.CONSUMER_NAMESPACE)
            if current is None or uid(current) != uid(secret):
                raise _changed(f"Secret {secret_name}")
            stored = stored_kubeconfig(current)
            if stored is None or not any(stored.same_place(place) for place in places):
                raise _changed(f"Secret {secret_name}")
            if stored.digest == kubeconfig.digest:
                return []
            patch = _locked(current) | {"data": {keys.KUBECONFIG: kubeconfig.encoded()}}
            self.cluster.merge_patch(SECRETS, secret_name, patch, namespace=keys.CONSUMER_NAMESPACE)
            done = "refreshed" if stored.same_place(kubeconfig) else f"moved to {kubeconfig.checked.server}"
            self._progress.step(f"credential {done} in Secret {keys.CONSUMER_NAMESPACE}/{secret_name}")
            return [f"Secret {keys.CONSUMER_NAMESPACE}/{secret_name} ({done})"]

        return secret_name, _retried(write)

    def apply_role(
        self,
        present: Object | None,
        wanted: Wanted,
        claims: Sequence[AcceptablePermissionClaim],
        *,
        conflict_policy: str = "",
    ) -> tuple[Object, list[str]]:
        """The rights of this one binding, added to the konnector's; nothing is sent when they are there.

        Args:
            present: the ClusterRole as last seen.
            wanted: the API.
            claims: claims with their answers; several of one kind add up.
            conflict_policy: of the binding; only with Adopt may the konnector create bound objects.

        Returns:
            The role as it is now, and what was written in words.
        """
        role = objects.role_manifest(wanted, claims, conflict_policy=conflict_policy)
        if present is not None and objects.same_role(present, role):
            return present, []
        return self.cluster.apply(CLUSTERROLES, role), [f"ClusterRole {name(role)}"]

    def has_copies(self, kubeconfig: Kubeconfig, claims: Sequence[AcceptablePermissionClaim]) -> bool:
        """Whether copies that these claims brought from this provider are on the app cluster.

        Only names and labels are looked at. A person who may not list them is told so by the refusal.
        """
        label = f"{keys.COPY}={naming.digest(uid(self.standing_for()), kubeconfig.checked.identity)}"
        return any(
            selects(claim, namespace(copy), name(copy), labels(copy))
            for claim in claims
            for copy in self.cluster.list(
                Resource(claim.group, claim.version, claim.resource), label_selector=label
            )
        )

    def write_binding(
        self,
        served: Resource,
        standing: Standing,
        claims: Sequence[AcceptablePermissionClaim],
        *,
        secret: str,
        conflict_policy: str = "",
    ) -> tuple[Object, list[str]]:
        """Create the binding, or bring the claims of the existing one up to date.

        Args:
            served: the endpoint of bindings.
            standing: the API and its binding as it was looked at.
            claims: claims with their answers.
            secret: the Secret with the kubeconfig.
            conflict_policy: what was asked for; empty leaves what an existing binding says.

        Returns:
            The binding as the server holds it, and what was written in words.
        """
        wanted = standing.wanted
        if standing.binding is not None:
            return self._update(served, standing, claims, conflict_policy)
        created = self.cluster.create(
            served,
            objects.binding_manifest(served, wanted, claims, secret=secret, conflict_policy=conflict_policy),
            namespace=objects.binding_namespace(served),
        )
        self._progress.step(f"binding {wanted.name} created")
        self._mark_pending(served, created)
        return created, [f"{keys.KIND_BINDING} {wanted.name}"]

    def _update(
        self,
        served: Resource,
        standing: Standing,
        claims: Sequence[AcceptablePermissionClaim],
        conflict_policy: str,
    ) -> tuple[Object, list[str]]:
        binding_name = standing.wanted.name
        latest: list[Object] = []

        def write() -> list[str]:
            # Its status changes all the time, so the lock is taken on what stands now; the claims must be
            # those that the person was shown.
            current = self.binding(served, binding_name)
            now = Standing(standing.wanted, current)
            if current is None or uid(current) != uid(standing.binding or {}):
                raise _changed(f"binding {binding_name}")
            if not same_entries(now.claims, standing.claims):
                raise _changed(f"claims of binding {binding_name}")
            latest[:] = [current]
            patch, changes = _locked(current), []
            if not same_entries(now.claims, claims):
                patch["spec"] = {"permissionClaims": wire(claims)}
                changes.append("claims")
            if conflict_policy and annotation(current, keys.CONFLICT_POLICY) != conflict_policy:
                patch["metadata"]["annotations"] = {keys.CONFLICT_POLICY: conflict_policy}
                changes.append("conflict policy")
            if not changes:
                self._progress.step(f"binding {binding_name} stands already")
                return []
            latest[:] = [
                self.cluster.merge_patch(
                    served, binding_name, patch, namespace=objects.binding_namespace(served)
                )
            ]
            what = " and ".join(changes)
            self._progress.step(f"{what} of binding {binding_name} updated")
            return [f"{keys.KIND_BINDING} {binding_name} ({what} updated)"]

        written = _retried(write)
        return latest[0], written

    def _mark_pending(self, served: Resource, created: Object) -> None:
        """Ready=False/Pending until the konnector has looked; a konnector that was faster is left alone."""
        pending = conditions.false("Ready", "Pending", "Info", "Pending")
        status = {"conditions": conditions.set_condition([], pending, datetime.now(UTC))}
        patch = _locked(created) | {"status": status}
        try:
            self.cluster.merge_patch(
                served,
                name(created),
                patch,
                namespace=objects.binding_namespace(served),
                subresource="status",
            )
        except CliError as error:
            self._progress.detail(f"initial status not written: {error.message}")

    def tables(self, served: Resource, wanted: Sequence[Wanted]) -> list[Object]:
        """The server's own tables of the bindings."""
        return [
            self.cluster.table(served, one.name, namespace=objects.binding_namespace(served))
            for one in wanted
        ]


def _locked(obj: Object) -> dict[str, Any]:
    """The part of a patch that makes it fail when the object has changed since it was read."""
    return {"metadata": {"uid": uid(obj), "resourceVersion": resource_version(obj)}}


def _retried(write: Callable[[], list[str]]) -> list[str]:
    """Read and write again when somebody else was faster, a few times."""
    for _ in range(_TRIES):
        try:
            return write()
        except RequestRefusedError as error:
            if error.status != 409:
                raise
            last = error
    raise last


def _changed(what: str) -> CliError:
    return CliError(
        f"the {what} was changed or replaced on the app cluster meanwhile",
        next_step="run the command again",
    )
