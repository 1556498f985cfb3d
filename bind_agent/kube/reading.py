"""The reading verbs of one cluster."""

from collections.abc import AsyncGenerator, Callable

from bind_agent.api.resource import Resource
from bind_agent.kube import access, lists, paths
from bind_agent.kube.access import AccessReview
from bind_agent.kube.asked import Asked
from bind_agent.kube.codec import Object, decode, decode_object, encode
from bind_agent.kube.errors import AbsenceUnproven, InvalidName, NotFound
from bind_agent.kube.lists import ObjectList, RawPage
from bind_agent.kube.transport import Transport
from bind_agent.kube.watch import Watch, open_watch


class Reading:
    """Get, list, watch, and what we may do."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

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
            AbsenceUnproven: 404, but not the word that there is no such object.
            NotFound: there is no such object.
            KubeError: any other failure.
        """
        path = paths.item(resource, name, namespace, subresource)
        asked = Asked("get", resource, namespace or "", name, subresource)
        return decode_object(
            await self._transport.call("get", path, sensitive=paths.is_secret(resource), asked=asked)
        )

    async def get_or_none(
        self, resource: Resource, name: str, *, namespace: str | None = None, subresource: str = ""
    ) -> Object | None:
        """As `get`, with None for an object of which the server says that it does not exist."""
        try:
            return await self.get(resource, name, namespace=namespace, subresource=subresource)
        except AbsenceUnproven:
            raise
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
        page_bytes: int | None = None,
    ) -> AsyncGenerator[RawPage, None]:
        """As `list`, page by page with each object as exact bytes.

        Args:
            resource: the kind.
            namespace: one namespace; None for all.
            label_selector: as in the API.
            field_selector: likewise.
            resource_version: as in the API.
            page_size: objects per page.
            page_bytes: most bytes of one page, 64 MiB unless given; of larger objects fewer are asked for.

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
            page_bytes=page_bytes,
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
        on_half: Callable[[int], None] | None = None,
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
            on_half: told how many bytes are held of an event that has not come in full, 0 at the end; what it raises
                ends the watch.

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
            on_half=on_half,
        )

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
