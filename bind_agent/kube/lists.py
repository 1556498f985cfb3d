"""Lists, page by page, with bounds on what a server may send.

A page is at most 64 MiB, or less where the caller wants it so; when that does not suffice the same page is asked for
in smaller portions.  A server that hands out continue tokens without end, or the same one again, is noticed.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final

from bind_agent.api.resource import Resource
from bind_agent.kube import paths
from bind_agent.kube.asked import Asked
from bind_agent.kube.codec import Object, decode, decode_page
from bind_agent.kube.errors import AnswerTooLarge, Gone, MalformedAnswer
from bind_agent.kube.transport import MAX_PAGE, Transport

# Bounds far beyond sense: etcd's largest recommended database holds fewer objects, and fewer bytes. For who takes in
# page by page and keeps what it will; see `bind_agent.runtime.budget` for servers that are not trusted.
MAX_OBJECTS: Final = 2_000_000
MAX_BYTES: Final = 8 * 1024**3
# Whoever asks for a whole list gets it decoded, which takes ten times its length.
MAX_COLLECTED_OBJECTS: Final = 100_000
MAX_COLLECTED_BYTES: Final = 256 * 1024**2
# A selector may leave a page empty, but servers fill pages up, so a long run of empty ones is no progress.
MAX_EMPTY_PAGES: Final = 50
# Times that a whole list is begun.
_RESTARTS: Final = 3


@dataclass(frozen=True, slots=True)
class ObjectList:
    """Decoded objects, and the resource version at which they were listed."""

    items: list[Object] = field(repr=False)
    resource_version: str


@dataclass(frozen=True, slots=True)
class RawPage:
    """One page of a list.

    Attributes:
        items: exact bytes of each object, with apiVersion and kind (lists of built-in kinds omit them on the
            wire).
        resource_version: of the whole list, the same on every page.
        last: no page follows.
    """

    items: list[bytes] = field(repr=False)
    resource_version: str
    last: bool


async def pages(
    transport: Transport,
    resource: Resource,
    *,
    namespace: str | None,
    label_selector: str,
    field_selector: str,
    resource_version: str,
    page_size: int,
    page_bytes: int | None = None,
    max_objects: int = MAX_OBJECTS,
    max_bytes: int = MAX_BYTES,
) -> AsyncGenerator[RawPage, None]:
    """The pages of a list; see `Client.pages`."""
    path = paths.collection(resource, namespace)
    sensitive = paths.is_secret(resource)
    asked = Asked("list", resource, namespace or "")
    size, token = page_size, ""
    objects = total = empty = 0
    while True:
        query = paths.query(
            limit=size,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            # A continue token carries its version; giving both is refused.
            resourceVersion="" if token else resource_version,
            **{"continue": token},
        )
        try:
            body = await transport.call(
                "list", path + query, limit=page_bytes or MAX_PAGE, sensitive=sensitive, asked=asked
            )
        except AnswerTooLarge:
            if size <= 1:
                raise
            size = max(1, size // 10)
            continue
        items, version, following = decode_page(body, resource.api_version, resource.kind)
        objects += len(items)
        total += len(body)
        empty = 0 if items else empty + 1
        if objects > max_objects or total > max_bytes or (following and empty > MAX_EMPTY_PAGES):
            raise MalformedAnswer(f"the list of {resource.plural} does not end")
        if following and following == token:
            raise MalformedAnswer(f"the list of {resource.plural} repeats itself")
        token = following
        yield RawPage(items, version, not token)
        if not token:
            return


async def collect(
    transport: Transport,
    resource: Resource,
    *,
    namespace: str | None,
    label_selector: str,
    field_selector: str,
    resource_version: str,
    page_size: int,
) -> ObjectList:
    """A whole list; see `Client.list`."""
    attempts = 0
    while True:
        attempts += 1
        found: list[Object] = []
        version = ""
        try:
            async for page in pages(
                transport,
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                resource_version=resource_version,
                page_size=page_size,
                max_objects=MAX_COLLECTED_OBJECTS,
                max_bytes=MAX_COLLECTED_BYTES,
            ):
                found.extend(decode(raw) for raw in page.items)
                version = page.resource_version
        except Gone:
            # Pages live as long as the server's history.  Half a list is never handed out.
            if attempts == _RESTARTS:
                raise
            continue
        return ObjectList(found, version)
