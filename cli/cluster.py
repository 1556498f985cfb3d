"""One cluster and the verbs on its objects, as the commands need them.

Reading treats "not there" as an answer. Writing is server-side apply, or a creation that refuses
unknown fields, or a patch that a race makes fail; deleting takes exactly the object that was seen.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from bind_agent.api.meta import Object
from bind_agent.api.refusals import says_absent
from bind_agent.api.resource import Resource
from cli.access import Access
from cli.errors import RequestRefusedError, UnreachableError
from cli.kube import Session
from cli.output import inert

FIELD_MANAGER: Final = "kubectl-bind"
"""Manager of the fields that the CLI writes."""

TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_PAGE: Final = 500
_MAX_PAGES: Final = 200
_VERBS: Final = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
_DOING: Final = {"GET": "reading", "POST": "creating", "PATCH": "writing", "DELETE": "deleting"}


class Cluster:
    """One API server, for the length of a command. Use as a context manager.

    Args:
        access: where it is and how to log in.
        label: what people call it in messages: ``app cluster`` or ``provider``.
        timeout: seconds that one call may take as a whole.
        trace: told one line per call (method, path, status, time), never a body.
    """

    def __init__(
        self,
        access: Access,
        *,
        label: str,
        timeout: float = 20.0,
        trace: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.label = label
        self._session = Session(access, label=label, timeout=timeout, trace=trace)
        self._resources: dict[str, dict[str, Resource]] = {}

    def __enter__(self) -> Self:
        """Nothing is opened before the first call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    # --- reading ----------------------------------------------------------------------------------

    def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object | None:
        """One object, or None when the server says that it has no such object.

        Raises:
            RequestRefusedError: it answers with a failure; also with a 404 that is about the kind or comes from
                something in between, for then nothing is known about the object.
        """
        try:
            return self._call("GET", resource, name, namespace=namespace)
        except RequestRefusedError as error:
            if _is_absent(error, resource, name):
                return None
            raise

    def list(self, resource: Resource, *, namespace: str = "", label_selector: str = "") -> list[Object]:
        """All objects, read in pages; in all namespaces when none is given."""
        items: list[Object] = []
        params = {"limit": str(_PAGE)}
        if label_selector:
            params["labelSelector"] = label_selector
        for _ in range(_MAX_PAGES):
            page = self._call("GET", resource, "", namespace=namespace, params=params)
            items.extend(item for item in page.get("items") or [] if isinstance(item, dict))
            params["continue"] = str((page.get("metadata") or {}).get("continue") or "")
            if not params["continue"]:
                return items
        raise UnreachableError(
            f"{self.label}: the list of {resource.group_resource} does not end",
            next_step="check what answers at this address; an API server ends its lists",
        )

    def table(self, resource: Resource, name: str, *, namespace: str = "") -> Object:
        """The server's own table of one object, as kubectl shows it."""
        return self._call("GET", resource, name, namespace=namespace, headers={"Accept": TABLE})

    def served(self, group: str, version: str, plural: str) -> Resource | None:
        """What the server serves under that name, with its scope; None when it does not (yet).

        The answer is kept for the life of the command once it was positive.
        """
        api_version = f"{group}/{version}" if group else version
        return self._served(api_version).get(plural)

    def resource_of(self, obj: Mapping[str, Any]) -> Resource:
        """The endpoint of an object by its apiVersion and kind.

        Raises:
            RequestRefusedError: the server does not serve that kind.
        """
        api_version, kind = str(obj.get("apiVersion")), str(obj.get("kind"))
        for resource in self._served(api_version).values():
            if resource.kind == kind:
                return resource
        raise RequestRefusedError(
            f"{self.label}: it does not serve {inert(kind)} of {inert(api_version)}",
            status=404,
            reason="NotFound",
            next_step="use a cluster of a supported Kubernetes version (1.25 or later)",
        )

    def _served(self, api_version: str) -> dict[str, Resource]:
        if found := self._resources.get(api_version):
            return found
        group, _, version = api_version.rpartition("/")
        try:
            answer = self._session.request("GET", api_version, "", what=f"looking up {api_version}")
        except RequestRefusedError as error:
            if error.status == 404:
                return {}
            raise
        entries = [entry for entry in answer.get("resources") or [] if isinstance(entry, dict)]
        found = {
            entry["name"]: Resource(
                group,
                version,
                entry["name"],
                namespaced=bool(entry.get("namespaced")),
                kind=str(entry.get("kind") or ""),
            )
            for entry in entries
            if isinstance(entry.get("name"), str) and "/" not in entry["name"]
        }
        self._resources[api_version] = found
        return found

    # --- writing ----------------------------------------------------------------------------------

    def create(self, resource: Resource, obj: Object, *, namespace: str = "") -> Object:
        """Create an object; fields that the server does not know are refused instead of dropped."""
        return self._call(
            "POST",
            resource,
            "",
            namespace=namespace,
            params={"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"},
            body=obj,
        )

    def apply(self, resource: Resource, obj: Object, *, namespace: str = "") -> Object:
        """Create an object or bring it to this state: server-side apply, conflicts are taken over."""
        return self._call(
            "PATCH",
            resource,
            str(obj["metadata"]["name"]),
            namespace=namespace,
            params={"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"},
            body=obj,
            headers={"Content-Type": _APPLY},
        )

    def merge_patch(
        self,
        resource: Resource,
        name: str,
        patch: Mapping[str, Any],
        *,
        namespace: str = "",
        subresource: str = "",
    ) -> Object:
        """Change parts of an object; ``metadata.resourceVersion`` in the patch makes it fail on a race."""
        return self._call(
            "PATCH",
            resource,
            name,
            namespace=namespace,
            subresource=subresource,
            params={"fieldManager": FIELD_MANAGER},
            body=patch,
            headers={"Content-Type": _MERGE},
        )

    def delete(self, resource: Resource, name: str, *, namespace: str = "", uid: str) -> None:
        """Delete exactly the object with that UID; gone already is fine."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            self._call("DELETE", resource, name, namespace=namespace, body=options)
        except RequestRefusedError as error:
            # 409: there is another one of that name by now.
            if error.status != 409 and not _is_absent(error, resource, name):
                raise

    # --- the call ----------------------------------------------------------------------------------

    def _call(
        self,
        method: str,
        resource: Resource,
        name: str,
        *,
        namespace: str,
        subresource: str = "",
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        scope = ["namespaces", namespace] if namespace else []
        pieces = [*scope, resource.plural, *([name] if name else []), *([subresource] if subresource else [])]
        return self._session.request(
            method,
            resource.api_version,
            "/".join(quote(piece, safe="") for piece in pieces),
            what=_what(method, resource, name, namespace, subresource),
            right=_right(method, resource, name, namespace, subresource),
            secret=not resource.group and resource.plural == "secrets",
            params=params,
            body=body,
            headers=headers,
        )


def _is_absent(error: RequestRefusedError, resource: Resource, name: str) -> bool:
    return error.status == 404 and says_absent(error.answer, resource, name)


def _what(method: str, resource: Resource, name: str, namespace: str, subresource: str) -> str:
    """A call in words."""
    if method == "GET" and not name:
        return inert(f"listing {resource.group_resource}{_place(namespace)}")
    shown = "/".join(piece for piece in (resource.group_resource, namespace, name, subresource) if piece)
    return f"{_DOING[method]} {inert(shown)}"


def _right(method: str, resource: Resource, name: str, namespace: str, subresource: str) -> str:
    """The right that a call takes, in the words of a Role."""
    verb = "list" if method == "GET" and not name else _VERBS[method]
    kind = "/".join(piece for piece in (resource.group_resource, subresource) if piece)
    return inert(f"{verb} {kind}{_place(namespace)}")


def _place(namespace: str) -> str:
    return f" in namespace {namespace}" if namespace else ""
