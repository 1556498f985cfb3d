"""The one door to API servers: pykube-ng behind an adaptor that fits a careful, short-lived program.

pykube brings the addressing of API endpoints and the HTTP session; the adaptor takes over what it
leaves open:

* credentials and TLS are settled here (`cli.access`). pykube never sees a key, so none of its world-readable
  temporary files is written; keys touch a private file only while OpenSSL reads them;
* each call has a deadline, and each answer a greatest size, whoever the other side is;
* redirects are not followed, environment proxies and ``.netrc`` are not consulted by accident;
* failures become the errors of `cli.errors`. What a server says about a Secret is withheld, for it may quote
  values.

The verbs stand in `cli.cluster`. Nothing else imports pykube.
"""

import json
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import pykube
import requests
import urllib3
from pykube.http import KubernetesHTTPAdapter

from bind_agent.api.meta import Object
from bind_agent.api.refusals import known_reason
from cli.access import Access
from cli.bounded import PLAIN, AnswerTooLargeError, read
from cli.errors import ExitCode, RequestRefusedError, UnreachableError
from cli.output import inert

_MAX_ANSWER: Final = 32 * 1024 * 1024
_MAX_MESSAGE: Final = 400
_PATIENCE: Final = 30.0
"""Seconds in which a server that refuses calls for load (429) may recover."""

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


class Session:
    """Calls to one API server, one at a time.

    Args:
        access: where it is and how to log in.
        label: what people call it in messages: ``app cluster`` or ``provider``.
        timeout: seconds that one call may take as a whole.
        trace: told one line per call (method, path, status, time), never a body.
        sleep: replaced in tests.
    """

    def __init__(
        self,
        access: Access,
        *,
        label: str,
        timeout: float,
        trace: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._label = label
        self._access = access
        self._timeout = timeout
        self._trace = trace
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
        self._api.session.headers.update({"User-Agent": access.user_agent, **PLAIN})
        if not access.verifies:
            # The person asked for it; being told with each call helps nobody.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def close(self) -> None:
        """Close the connections."""
        self._api.session.close()

    def request(
        self,
        method: str,
        api_version: str,
        url: str,
        *,
        what: str,
        right: str = "",
        secret: bool = False,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """One call, with its few repetitions: refused for load, or a credential that had run out.

        Args:
            method: HTTP method.
            api_version: ``group/version``, or ``v1``.
            url: what follows it in the path, percent-encoded; empty for the group itself.
            what: the call in words, for messages: ``reading secrets/klutch-bind/x``.
            right: the right that the call takes, for a refusal: ``get secrets in namespace klutch-bind``.
            secret: the answer may hold Secrets: nothing of a refusal's text is shown.
            params: query.
            body: JSON content.
            headers: on top of the usual ones.

        Returns:
            The decoded answer.

        Raises:
            RequestRefusedError: the server answered with a failure.
            UnreachableError: no usable answer came.
        """
        started = time.monotonic()
        fresh = False
        while True:
            status, answer, pause = self._send(
                method, api_version, url, what=what, params=params, body=body, headers=headers, fresh=fresh
            )
            if status < 400:
                return answer
            if status == 401 and not fresh and self._access.can_refresh:
                fresh = True
            elif status == 429 and time.monotonic() - started + pause < _PATIENCE:
                self._sleep(pause)
            else:
                raise self._refused(status, answer, what=what, right=right, secret=secret)

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
                raw = read(response, limit=_MAX_ANSWER, deadline=started + self._timeout)
        except (requests.RequestException, OSError) as error:
            raise self._unreachable(error, what=what) from None
        self._trace(
            f"{self._label}: {method} {inert(response.url)} {response.status_code} "
            f"{(time.monotonic() - started) * 1000:.0f}ms"
        )
        return response.status_code, self._decode(response, raw, what=what), _pause(response)

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
            f"{self._label}: {what}: {inert(self._access.server)} does not answer like an API server",
            next_step="check the server address in the kubeconfig",
        )

    def _refused(
        self, status: int, answer: Object, *, what: str, right: str, secret: bool
    ) -> RequestRefusedError:
        reason = str(answer.get("reason") or "")
        # A webhook may put any word there.
        reason = (known_reason(reason) if secret else reason) or str(status)
        # What lacks for a role that grants too much, the server lists line by line.
        said = "" if secret else " ".join(str(answer.get("message") or "").split())
        message = f"{self._label}: {what} was refused: {inert(reason, limit=64)}"
        if said:
            message += f": {inert(said, limit=_MAX_MESSAGE)}"
        next_step = _NEXT.get(status, "")
        if status == 403:
            next_step = _ESCALATION if _ESCALATES in said else f"{next_step}{right and f': {right}'}"
        return RequestRefusedError(message, status=status, reason=reason, next_step=next_step, answer=answer)

    def _unreachable(self, error: Exception, *, what: str) -> UnreachableError:
        server = inert(self._access.server)
        if isinstance(error, requests.exceptions.SSLError):
            return UnreachableError(
                f"{self._label}: {what}: no trusted connection to {server}",
                next_step="compare the certificate authority in the kubeconfig with the server's certificate",
            )
        if isinstance(error, requests.exceptions.Timeout):
            return UnreachableError(
                f"{self._label}: {what}: no complete answer from {server} within {self._timeout:.0f}s",
                next_step="check that the server is up, or give --request-timeout more time",
                code=ExitCode.TIMEOUT,
            )
        if isinstance(error, AnswerTooLargeError):
            return UnreachableError(
                f"{self._label}: {what}: the answer of {server} is too large or garbled",
                next_step="check the server address in the kubeconfig",
            )
        return UnreachableError(
            f"{self._label}: {what}: no connection to {server}",
            next_step="check that the server is up and reachable from here",
        )


_NEXT: Final = {
    401: "the credential is not accepted or has expired; log in again or get a new kubeconfig",
    403: "ask an administrator of that cluster for the missing right",
    404: "check the address of the server, and that it serves this kind",
    409: "somebody else changed it at the same time; run the command again",
    429: "the server is overloaded; try again later",
    500: "the server failed; try again later, and look at its logs if it goes on",
    503: "the server is not ready; try again later",
}


_ESCALATES: Final = "attempting to grant RBAC permissions not currently held"
_ESCALATION: Final = (
    "have an administrator of that cluster run the command, or ask for the roles in manifests/rbac/binder.yaml: a"
    " role can be made only by those who have its rights"
)


def _pause(response: requests.Response) -> float:
    try:
        asked = float(response.headers.get("Retry-After", "1"))
    except ValueError:
        asked = 1.0
    return min(max(asked, 0.1), _MAX_PAUSE)
