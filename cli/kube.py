"""The one door to API servers: pykube-ng behind an adaptor that fits a careful, short-lived program.

pykube brings the addressing of API endpoints and the HTTP session; the adaptor takes over what it
leaves open:

* credentials and TLS are settled here (`cli.access`). pykube never sees a key, so none of its world-readable
  temporary files is written; keys touch a private file only while OpenSSL reads them;
* each call has a deadline, and each answer a greatest size, whoever the other side is;
* redirects are not followed, environment proxies and ``.netrc`` are not consulted by accident;
* failures become the errors of `cli.errors`. What a server says about a Secret is withheld, it may
  quote values;
* writing is server-side apply, or a creation that refuses unknown fields.

Nothing else imports pykube.
"""

import json
import ssl
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import pykube
import requests
from pykube.http import KubernetesHTTPAdapter

from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from cli.access import Access
from cli.errors import ExitCode, RequestRefusedError, UnreachableError
from cli.output import inert

FIELD_MANAGER: Final = "kubectl-bind"
"""Manager of the fields that the CLI writes."""

TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_MAX_ANSWER: Final = 32 * 1024 * 1024
_MAX_MESSAGE: Final = 400
_PAGE: Final = 500
_MAX_PAGES: Final = 200
_TRIES: Final = 4
_MAX_PAUSE: Final = 10.0


class _Adapter(KubernetesHTTPAdapter):  # type: ignore[misc]
    """Connections with a TLS context made elsewhere; pykube's handling of keys and certificates is out."""

    def __init__(self, config: pykube.KubeConfig, context: ssl.SSLContext, tls_server_name: str) -> None:
        self._context = context
        self._names = (
            {"server_hostname": tls_server_name, "assert_hostname": tls_server_name}
            if tls_server_name
            else {}
        )
        super().__init__(config)

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The context alone decides whom to trust: no bundle of public authorities is added to it."""
        del verify, cert
        host, pool = super().build_connection_pool_key_attributes(request, self._verifies, None)
        pool.pop("ca_certs", None)
        if host["scheme"] == "https":
            pool |= {"ssl_context": self._context, **self._names}
        return host, pool

    @property
    def _verifies(self) -> bool:
        return self._context.verify_mode is not ssl.CERT_NONE

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to add to the connection: its context is complete."""

    def _setup_request_certificates(self, config: Any, request: Any, kwargs: Any) -> None:
        """Nothing to set up: pykube is given no certificates."""


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
        self.namespace = access.namespace
        self._access = access
        self._timeout = timeout
        self._trace = trace
        self._resources: dict[str, dict[str, Resource]] = {}
        config = pykube.KubeConfig(
            {
                "clusters": [{"name": "it", "cluster": {"server": access.server}}],
                "users": [{"name": "it", "user": {}}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                "current-context": "it",
            }
        )
        adapter = _Adapter(config, access.ssl_context(), access.tls_server_name)
        self._api = pykube.HTTPClient(config, timeout=timeout, http_adapter=adapter)
        self._api.session.trust_env = False
        self._api.session.proxies = dict(access.proxies)
        self._api.session.headers["User-Agent"] = access.user_agent

    def __enter__(self) -> Self:
        """Nothing is opened before the first call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._api.session.close()

    # --- reading ----------------------------------------------------------------------------------

    def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object | None:
        """One object, or None when the server has no such object (or no such resource)."""
        try:
            return self._call("GET", resource, name, namespace=namespace)
        except RequestRefusedError as error:
            if error.status == 404:
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
            answer = self._request("GET", api_version, "", what=f"looking up {api_version}")
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

    def forget_served(self, api_version: str) -> None:
        """Look an API group up anew next time: somebody may have installed a kind."""
        self._resources.pop(api_version, None)

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
            if error.status not in {404, 409}:
                raise

    # --- the request itself -----------------------------------------------------------------------

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
        shown = "/".join(piece for piece in (resource.group_resource, namespace, name, subresource) if piece)
        return self._request(
            method,
            resource.api_version,
            "/".join(quote(piece, safe="") for piece in pieces),
            what=f"{_DOING[method]} {inert(shown)}",
            secret=not resource.group and resource.plural == "secrets",
            params=params,
            body=body,
            headers=headers,
        )

    def _request(
        self,
        method: str,
        api_version: str,
        url: str,
        *,
        what: str,
        secret: bool = False,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """One call with its few repetitions: refused for load, or a credential that had run out."""
        fresh = False
        for attempt in range(1, _TRIES + 1):
            status, answer, pause = self._send(
                method, api_version, url, what=what, params=params, body=body, headers=headers, fresh=fresh
            )
            if status < 400:
                return answer
            if status == 401 and not fresh and self._access.can_refresh:
                fresh = True
            elif status == 429 and attempt < _TRIES:
                time.sleep(pause)
            else:
                raise self._refused(status, answer, what=what, secret=secret)
        raise self._refused(status, answer, what=what, secret=secret)

    def _send(
        self,
        method: str,
        api_version: str,
        url: str,
        *,
        what: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        fresh: bool,
    ) -> tuple[int, Object, float]:
        started = time.monotonic()
        sent = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        sent |= self._access.authorization(fresh=fresh)
        try:
            response = self._api.request(
                method,
                version=api_version,
                url=url,
                params=dict(params or {}),
                data=None if body is None else json.dumps(body).encode(),
                headers=sent,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout,
            )
            with response:
                raw = self._read(response, deadline=started + self._timeout)
        except (requests.RequestException, OSError) as error:
            raise self._unreachable(error, what=what) from None
        self._trace(
            f"{self.label}: {method} {inert(response.url)} {response.status_code} "
            f"{(time.monotonic() - started) * 1000:.0f}ms"
        )
        return response.status_code, self._decode(response, raw, what=what), _pause(response)

    def _read(self, response: requests.Response, *, deadline: float) -> bytes:
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_content(65536):
            size += len(chunk)
            if size > _MAX_ANSWER:
                raise requests.exceptions.ContentDecodingError(f"more than {_MAX_ANSWER} bytes")
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout("slow answer")
            chunks.append(chunk)
        return b"".join(chunks)

    def _decode(self, response: requests.Response, raw: bytes, *, what: str) -> Object:
        try:
            value = json.loads(raw) if raw else {}
        except ValueError:
            value = None
        if isinstance(value, dict) and not 300 <= response.status_code < 400:
            return value
        if response.status_code >= 400:
            return {}
        raise UnreachableError(
            f"{self.label}: {what}: what answers at {inert(self._access.server)} is no Kubernetes API server",
            next_step="check the server address in the kubeconfig",
        )

    def _refused(self, status: int, answer: Object, *, what: str, secret: bool) -> RequestRefusedError:
        reason = str(answer.get("reason") or "") or str(status)
        said = "" if secret else str(answer.get("message") or "")
        message = f"{self.label}: {what} was refused: {inert(reason, limit=64)}"
        if said:
            message += f": {inert(said, limit=_MAX_MESSAGE)}"
        return RequestRefusedError(message, status=status, reason=reason, next_step=_NEXT.get(status, ""))

    def _unreachable(self, error: Exception, *, what: str) -> UnreachableError:
        server = inert(self._access.server)
        if isinstance(error, requests.exceptions.SSLError):
            return UnreachableError(
                f"{self.label}: {what}: no trusted connection to {server}",
                next_step="compare the certificate authority in the kubeconfig with the server's certificate",
            )
        if isinstance(error, requests.exceptions.Timeout):
            return UnreachableError(
                f"{self.label}: {what}: no complete answer from {server} within {self._timeout:.0f}s",
                next_step="check that the server is up, or give --request-timeout more time",
                code=ExitCode.TIMEOUT,
            )
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return UnreachableError(
                f"{self.label}: {what}: the answer of {server} is too large or garbled",
                next_step="check the server address in the kubeconfig",
            )
        return UnreachableError(
            f"{self.label}: {what}: no connection to {server}",
            next_step="check that the server is up and reachable from here",
        )


_DOING: Final = {"GET": "reading", "POST": "creating", "PATCH": "writing", "DELETE": "deleting"}

_NEXT: Final = {
    401: "the credential is not accepted or has expired; log in again or get a new kubeconfig",
    403: "ask an administrator of that cluster for the missing right",
    409: "somebody else changed it at the same time; run the command again",
    429: "the server is overloaded; try again later",
    500: "the server failed; try again later, and look at its logs if it goes on",
    503: "the server is not ready; try again later",
}


def _pause(response: requests.Response) -> float:
    try:
        asked = float(response.headers.get("Retry-After", "1"))
    except ValueError:
        asked = 1.0
    return min(max(asked, 0.1), _MAX_PAUSE)
