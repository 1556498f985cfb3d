"""The writing verbs of one cluster.

Writes ask the server not to validate fields beyond the schema (`fieldValidation=Ignore`): what is mirrored
was written by somebody else against the same schema, the server prunes unknown fields either way, and its
warnings would have no reader.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from bind_agent.api.resource import SERVICEACCOUNTS, Resource
from bind_agent.kube import access, paths
from bind_agent.kube.asked import Asked
from bind_agent.kube.codec import Object, decode, decode_object, encode
from bind_agent.kube.errors import AbsenceUnproven, InvalidName, MalformedAnswer, NotFound
from bind_agent.kube.transport import Transport

_MERGE: Final = "application/merge-patch+json"
_JSON: Final = "application/json-patch+json"
# JSON is YAML; the server knows no other name for this kind of patch.
_APPLY: Final = "application/apply-patch+yaml"


class Writing:
    """Create, replace, patch, apply, delete, and tokens of service accounts."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
        resource: Resource,
        obj: Object,
        *,
        namespace: str | None = None,
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Create an object.

        Args:
            resource: its kind.
            obj: the object; `generateName` works.
            namespace: its namespace; that of its metadata when absent.
            field_manager: owner of the fields.
            dry_run: the server does everything but store it.

        Returns:
            The object as stored.

        Raises:
            AlreadyExists: an object of that name is there.
            KubeError: any other failure.
        """
        namespace = _namespace(resource, obj, namespace)
        asked = Asked("create", resource, namespace or "", _name_if_any(obj))
        path = paths.collection(resource, namespace)
        return await self._write(asked, path + _write_query(dry_run, field_manager), obj)

    async def replace(
        self,
        resource: Resource,
        obj: Object,
        *,
        namespace: str | None = None,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Replace an object as a whole (PUT); the `resourceVersion` in it is the lock.

        Returns:
            The object as stored.

        Raises:
            Conflict: somebody else was faster.
            NotFound: it is gone.
            KubeError: any other failure.
        """
        name, namespace = _name(obj), _namespace(resource, obj, namespace)
        path = paths.item(resource, name, namespace, subresource)
        asked = Asked("update", resource, namespace or "", name, subresource)
        return await self._write(asked, path + _write_query(dry_run), obj)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str | None = None,
        grace: int | None = None,
        dry_run: bool = False,
    ) -> Object | None:
        """Delete an object.

        Args:
            resource: its kind.
            name: its name.
            namespace: its namespace, for namespaced kinds.
            uid: only the object with this UID.
            resource_version: only the object in this state.
            propagation: `Foreground`, `Background` or `Orphan`; None for the kind's default.
            grace: seconds.
            dry_run: the server does everything but delete it.

        Returns:
            None when the server says that there is no such object; otherwise what it answers: the object
            while finalizers hold it, else a Status.

        Raises:
            Conflict: the object has another UID or resource version.
            AbsenceUnproven: 404, but not the word that there is no such object.
            KubeError: any other failure.
        """
        preconditions = {
            key: value
            for key, value in (("uid", uid), ("resourceVersion", resource_version))
            if value is not None
        }
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if preconditions:
            options["preconditions"] = preconditions
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if dry_run:
            options["dryRun"] = ["All"]
        path = paths.item(resource, name, namespace)
        try:
            return decode(
                await self._transport.call(
                    "delete",
                    path,
                    body=encode(options),
                    sensitive=paths.is_secret(resource),
                    asked=Asked("delete", resource, namespace or "", name),
                )
            )
        except AbsenceUnproven:
            raise
        except NotFound:
            return None

    async def merge_patch(
        self,
        resource: Resource,
        name: str,
        patch: Object,
        *,
        namespace: str | None = None,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Change an object by a JSON merge patch (RFC 7386).

        `metadata.resourceVersion` and `metadata.uid` in the patch are locks.

        Returns:
            The object as stored.

        Raises:
            Conflict: a lock does not hold.
            NotFound: it is gone.
            KubeError: any other failure.
        """
        path = paths.item(resource, name, namespace, subresource)
        asked = Asked("patch", resource, namespace or "", name, subresource)
        return await self._write(asked, path + _write_query(dry_run), patch, _MERGE)

    async def json_patch(
        self,
        resource: Resource,
        name: str,
        patch: Sequence[Object],
        *,
        namespace: str | None = None,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Change an object by a JSON patch (RFC 6902); a failing `test` step is `Invalid`.

        Returns:
            The object as stored.

        Raises:
            Invalid: a test failed, or the result breaks the rules of the kind.
            NotFound: it is gone.
            KubeError: any other failure.
        """
        path = paths.item(resource, name, namespace, subresource)
        asked = Asked("patch", resource, namespace or "", name, subresource)
        return await self._write(asked, path + _write_query(dry_run), [*patch], _JSON)

    async def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        namespace: str | None = None,
        field_manager: str,
        force: bool = True,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply: the fields given become ours, those given before and now absent are removed.

        Args:
            resource: kind of the object.
            obj: the full content that we want, with `apiVersion`, `kind` and name, without managed fields.
            namespace: its namespace; that of its metadata when absent.
            field_manager: who we are.
            force: take over fields of others instead of failing.
            subresource: such as `status`.
            dry_run: the server does everything but store it.

        Returns:
            The object as stored.

        Raises:
            Conflict: without force, a field belongs to somebody else; or the UID given is not that of the
                object.
            KubeError: any other failure.
        """
        name, namespace = _name(obj), _namespace(resource, obj, namespace)
        path = paths.item(resource, name, namespace, subresource)
        asked = Asked("apply", resource, namespace or "", name, subresource)
        return await self._write(asked, path + _write_query(dry_run, field_manager, force), obj, _APPLY)

    async def create_token(
        self,
        namespace: str,
        service_account: str,
        *,
        expiration_seconds: int,
        audiences: Sequence[str] = (),
        bound_object: Object | None = None,
    ) -> Object:
        """A token for a service account (TokenRequest).

        Args:
            namespace: of the service account.
            service_account: its name.
            expiration_seconds: wished life, at least 600.
            audiences: who the token is for; empty for the API server itself.
            bound_object: reference to an object with which the token dies.

        Returns:
            The answered TokenRequest; `status.token` and `status.expirationTimestamp` are texts.

        Raises:
            NotFound: there is no such service account.
            MalformedAnswer: the answer carries no token.
            KubeError: any other failure.
        """
        path = paths.item(SERVICEACCOUNTS, service_account, namespace, "token")
        body = access.token_request(
            expiration_seconds=expiration_seconds, audiences=audiences, bound_object=bound_object
        )
        asked = Asked("create", SERVICEACCOUNTS, namespace, service_account, "token")
        answer = decode(
            await self._transport.call("create", path, body=encode(body), sensitive=True, asked=asked)
        )
        status = answer.get("status")
        if not isinstance(status, dict) or not all(
            isinstance(status.get(key), str) and status[key] for key in ("token", "expirationTimestamp")
        ):
            raise MalformedAnswer("the answer to the token request carries no token")
        return answer

    async def _write(
        self, asked: Asked, path: str, value: Any, content_type: str = "application/json"
    ) -> Object:
        return decode_object(
            await self._transport.call(
                asked.verb,
                path,
                body=encode(value),
                content_type=content_type,
                sensitive=paths.is_secret(asked.resource),
                asked=asked,
            )
        )


# A program has few field managers, and putting a query together costs as much as encoding the object.
@lru_cache(maxsize=256)
def _write_query(dry_run: bool, field_manager: str = "", force: bool = False) -> str:
    if not (dry_run or field_manager or force):
        return "?fieldValidation=Ignore"
    return paths.query(
        fieldValidation="Ignore", fieldManager=field_manager, force=force, dryRun="All" if dry_run else ""
    )


def _name_if_any(obj: Object) -> str:
    metadata = obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _name(obj: Object) -> str:
    name = _name_if_any(obj)
    if not name:
        raise InvalidName("the object has no metadata.name")
    return name


def _namespace(resource: Resource, obj: Object, namespace: str | None) -> str | None:
    if namespace or not resource.namespaced:
        return namespace
    metadata = obj.get("metadata")
    found = metadata.get("namespace") if isinstance(metadata, dict) else None
    if not isinstance(found, str) or not found:
        raise InvalidName(
            f"{resource.plural} are namespaced, but neither the call nor the object names a namespace"
        )
    return found
