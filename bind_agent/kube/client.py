"""The verbs of one cluster.

Objects are plain decoded JSON (`dict`).  The path from a call to the socket is short on purpose: a checked
path, one `orjson.dumps`, one request, one `orjson.loads`.

Writes ask the server not to validate fields beyond the schema (`fieldValidation=Ignore`): what is mirrored
was written by somebody else against the same schema, the server prunes unknown fields either way, and its
warnings would have no reader.
"""

from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from typing import Any, Final

from bind_agent._version import __version__
from bind_agent.api.resource import SERVICEACCOUNTS, Resource
from bind_agent.kube import access, lists, paths
from bind_agent.kube.access import AccessReview
from bind_agent.kube.codec import Object, decode, encode
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.discovery import Discovery
from bind_agent.kube.errors import ConfigError, InvalidName, MalformedAnswer, NotFound
from bind_agent.kube.lists import ObjectList, RawPage
from bind_agent.kube.transport import Transport
from bind_agent.kube.watch import Watch, open_watch

_MERGE: Final = "application/merge-patch+json"
_JSON: Final = "application/json-patch+json"
# JSON is YAML; the server knows no other name for this kind of patch.
_APPLY: Final = "application/apply-patch+yaml"


def user_agent(component: str) -> str:
    """What server logs and audit rules see of one program: `bind-agent-<component>/<version>`."""
    return f"bind-agent-{component}/{__version__}"


class Client:
    """A connection to one cluster.  Make it inside a running loop with `open`, and close it.

    Attributes:
        config: the configuration in force.
        discovery: what the cluster serves.
    """

    def __init__(self, config: ClusterConfig, transport: Transport) -> None:
        self.config = config
        self.discovery = Discovery(transport)
        self._transport = transport

    @classmethod
    def open(
        cls, config: ClusterConfig, *, user_agent: str, max_in_flight: int = 64, cluster: str = "cluster"
    ) -> "Client":
        """A client; it connects with the first request.

        Args:
            config: which cluster, and how to prove who we are.
            user_agent: sent with every request (see `user_agent` of this module).
            max_in_flight: bound on requests that wait for an answer; watches do not count.
            cluster: label of its metrics: the role of the cluster, such as `consumer` or `provider`.

        Returns:
            The client; close it, or use it as an asynchronous context manager.

        Raises:
            ConfigError: the CA cannot be used.
        """
        transport = Transport(config, user_agent=user_agent, max_in_flight=max_in_flight, cluster=cluster)
        return cls(config, transport)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; calls and watches under way fail."""
        await self._transport.close()

    def update_credential(self, config: ClusterConfig) -> None:
        """Go on with a rotated credential; calls and watches under way are not disturbed.

        Args:
            config: a configuration of the same cluster.

        Raises:
            ConfigError: it is of another server or CA: that takes a new client.
        """
        old = self.config
        if (config.server, config.ca_pem, config.tls_server_name) != (
            old.server,
            old.ca_pem,
            old.tls_server_name,
        ):
            raise ConfigError(
                "the new configuration is of another server or CA; only the credential can be replaced"
            )
        self.config = config
        self._transport.source.replace(config.credential)

    async def get(
        self, resource: Resource, name: str, *, namespace: str | None = None, subresource: str = ""
    ) -> Object:
        """One object.

        Args:
            resource: its kind.
            name: its name.
            namespace: its namespace, for namespaced kinds.
            subresource: such as `status`.

        Returns:
            The object.

        Raises:
            NotFound: there is no such object (or no such resource).
            KubeError: any other failure.
        """
        path = paths.item(resource, name, namespace, subresource)
        return _object(await self._transport.call("get", path, sensitive=paths.is_secret(resource)))

    async def get_or_none(
        self, resource: Resource, name: str, *, namespace: str | None = None, subresource: str = ""
    ) -> Object | None:
        """As `get`, with None for an object that does not exist."""
        try:
            return await self.get(resource, name, namespace=namespace, subresource=subresource)
        except NotFound:
            return None

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        page_size: int = 500,
    ) -> ObjectList:
        """All objects of a kind, fetched page by page.

        Args:
            resource: their kind.
            namespace: one namespace; None for all.
            label_selector: as in the API; empty for all.
            field_selector: likewise.
            resource_version: `""` for the latest state, `"0"` for whatever the server has at hand.
            page_size: objects per request.

        Returns:
            The objects and the list's resource version.

        Raises:
            Gone: the pages expired under way, several times.
            KubeError: any other failure.
        """
        return await lists.collect(
            self._transport,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            page_size=page_size,
        )

    def pages(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        page_size: int = 500,
    ) -> AsyncIterator[RawPage]:
        """As `list`, page by page with each object as exact bytes.

        Raises:
            Gone: the pages expired under way: start again.
            KubeError: any other failure.
        """
        return lists.pages(
            self._transport,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            page_size=page_size,
        )

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
        path = paths.collection(resource, _namespace(resource, obj, namespace))
        return await self._write("create", resource, path + _write_query(dry_run, field_manager), obj)

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
        path = paths.item(resource, _name(obj), _namespace(resource, obj, namespace), subresource)
        return await self._write("update", resource, path + _write_query(dry_run), obj)

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
            None when there is no such object; otherwise what the server answers: the object while finalizers
            hold it, else a Status.

        Raises:
            Conflict: the object has another UID or resource version.
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
                    "delete", path, body=encode(options), sensitive=paths.is_secret(resource)
                )
            )
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
        return await self._write("patch", resource, path + _write_query(dry_run), patch, _MERGE)

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
        return await self._write("patch", resource, path + _write_query(dry_run), [*patch], _JSON)

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
        path = paths.item(resource, _name(obj), _namespace(resource, obj, namespace), subresource)
        return await self._write(
            "apply", resource, path + _write_query(dry_run, field_manager, force), obj, _APPLY
        )

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
        answer = decode(await self._transport.call("create", path, body=encode(body), sensitive=True))
        status = answer.get("status")
        if not isinstance(status, dict) or not all(
            isinstance(status.get(key), str) and status[key] for key in ("token", "expirationTimestamp")
        ):
            raise MalformedAnswer("the answer to the token request carries no token")
        return answer

    async def can_i(
        self,
        *,
        verb: str,
        group: str,
        resource: str,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> AccessReview:
        """Whether we may do something (SelfSubjectAccessReview).

        Args:
            verb: such as `list`, or `*`.
            group: API group, empty for the core group.
            resource: plural, or `*`.
            namespace: empty for all namespaces, or a cluster-scoped resource.
            name: one object; empty for all.
            subresource: such as `status`.

        Returns:
            The verdict.

        Raises:
            KubeError: the server could not be asked.
        """
        review = access.access_review(
            verb=verb, group=group, resource=resource, namespace=namespace, name=name, subresource=subresource
        )
        path = paths.collection(access.SELF_SUBJECT_ACCESS_REVIEWS)
        return access.read_access_review(
            decode(await self._transport.call("create", path, body=encode(review)))
        )

    def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        initial_events: bool = False,
        inactivity: float | None = None,
    ) -> Watch:
        """Follow a kind over one connection.

        Args:
            resource: the kind.
            namespace: one namespace; None for all.
            resource_version: where to start: that of a list, or of the last event processed.
            label_selector: as in the API; empty for all.
            field_selector: likewise.
            initial_events: begin with an ADDED event for each existing object and a bookmark with
                `initial_events_end` (streaming list).  Servers that cannot refuse with `Invalid` or
                `BadRequest`: list instead.
            inactivity: seconds without a byte after which the connection counts as dead; the default lies
                beyond the time at which the server ends a watch by itself.

        Returns:
            An asynchronous iterator; see `bind_agent.kube.watch` for the ways it ends.

        Raises:
            InvalidName: a part cannot stand in a path.
        """
        return open_watch(
            self._transport,
            resource,
            namespace=namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            initial_events=initial_events,
            inactivity=inactivity,
        )

    async def raw_get(self, path: str) -> Object:
        """JSON of a fixed path such as `/version`.

        Args:
            path: encoded path; never put a name of the other side into it.

        Raises:
            KubeError: any failure.
        """
        if not path.startswith("/"):
            raise InvalidName("the path must start with a slash")
        return decode(await self._transport.call("get", path))

    async def _write(
        self, verb: str, resource: Resource, path: str, value: Any, content_type: str = "application/json"
    ) -> Object:
        return _object(
            await self._transport.call(
                verb,
                path,
                body=encode(value),
                content_type=content_type,
                sensitive=paths.is_secret(resource),
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


def _object(body: bytes) -> Object:
    obj = decode(body)
    if not isinstance(obj.get("metadata"), dict):
        raise MalformedAnswer("the answer is no object: it has no metadata")
    return obj


def _name(obj: Object) -> str:
    metadata = obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
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
