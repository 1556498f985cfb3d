"""One named cluster: an API server, a controller-manager, their keys and the admin's kubeconfig."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bind_agent.devcluster import adminhttp, arguments, audit
from bind_agent.devcluster.arguments import ClusterFiles
from bind_agent.devcluster.audit import AuditEvent
from bind_agent.devcluster.binaries import ControlPlane
from bind_agent.devcluster.errors import DevClusterError, ServerError
from bind_agent.devcluster.identity import Identity
from bind_agent.devcluster.kubeconfig import kubeconfig
from bind_agent.devcluster.pki import KeyPair, write_private
from bind_agent.devcluster.ports import LOOPBACK, free_port, is_free
from bind_agent.devcluster.server import READY_TIMEOUT, Server
from bind_agent.devcluster.supervision import Supervision

#: Ranks of ending: managers before API servers before etcd.
RANK_ETCD, RANK_APISERVER, RANK_MANAGER = range(3)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_PORT_ATTEMPTS = 4
_ADDRESS_IN_USE = "address already in use"
#: What exists in a cluster only after its bootstrap hooks and the controller-manager have done their work.
_BOOTSTRAPPED = (
    "/api/v1/namespaces/default",
    "/api/v1/namespaces/kube-system",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/edit",
)
#: What the controller-manager puts back when it has begun to work, and nobody here ever reads.
_PUT_BACK = "/api/v1/namespaces/kube-node-lease/configmaps/kube-root-ca.crt"
_MANAGED = ("/api/v1/namespaces/default/serviceaccounts/default", _PUT_BACK)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What a cluster is to be like.

    Attributes:
        name: DNS label of at most 40 characters; names the kubeconfig file and the prefix in etcd.
        audit: Write an audit log (Metadata level).
        port: Port of the API server on the loopback address; a free one is drawn when None.
        apiserver_flags: Further flags like ``--min-request-timeout=5``,
            ``--max-mutating-requests-inflight=10`` or ``--etcd-compaction-interval=30s``; a later flag wins
            over an earlier one.
        controller_manager: False leaves it out: namespaces then never go and token Secrets stay empty.
        controller_manager_flags: Further flags of the controller-manager.
    """

    name: str
    audit: bool = False
    port: int | None = None
    apiserver_flags: Sequence[str] = ()
    controller_manager: bool = True
    controller_manager_flags: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the name, and settle the types.

        Raises:
            ValueError: The name cannot name a file and an etcd prefix.
        """
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"cluster name {self.name!r} is not allowed: use at most 40 lower-case letters, digits and "
                "hyphens, with a letter or digit at both ends"
            )
        # Any sequence will do for the caller, and equal options are equal.
        object.__setattr__(self, "apiserver_flags", tuple(self.apiserver_flags))
        object.__setattr__(self, "controller_manager_flags", tuple(self.controller_manager_flags))


class Cluster:
    """A running cluster. Made by `Playground`; the attributes hold from then until it stops.

    Attributes:
        name: Its name.
        options: What it was asked to be like; the port is the one in use.
        kubeconfig: File with the admin's kubeconfig (mode 0600).
        admin: Client certificate of the admin, in group ``system:masters``.
        apiserver: The API server, to be broken and repaired.
        controller_manager: The controller-manager; None when left out.
    """

    def __init__(
        self,
        options: ClusterOptions,
        *,
        files: ClusterFiles,
        kubeconfig: Path,
        control_plane: ControlPlane,
        supervision: Supervision,
        etcd_socket: Path,
    ) -> None:
        self.name = options.name
        self.options = options
        self.kubeconfig = kubeconfig
        self._files = files
        self._programs = control_plane
        self._supervision = supervision
        self._etcd_socket = etcd_socket
        self._identity = Identity.prepare(files.pki, self.name)
        self._tls = ssl.create_default_context(cadata=self.ca_pem)
        self.admin = self._identity.authority.client("admin", ["system:masters"])
        self._load_admin_certificate()
        self.apiserver = self._make_apiserver(self._choose_port())
        self.controller_manager = self._make_manager() if options.controller_manager else None

    @property
    def port(self) -> int:
        """Port of the API server."""
        if self.options.port is None:
            raise DevClusterError(f"cluster {self.name} has no port yet: start it first")
        return self.options.port

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def ca_pem(self) -> str:
        """Certificate authority of the cluster."""
        return self._identity.authority.cert_pem

    @property
    def audit_log(self) -> Path:
        """The audit log file; missing unless the cluster was started with ``audit``."""
        return self._files.audit_log

    @property
    def servers(self) -> tuple[Server, ...]:
        """Its servers, in the order of starting."""
        return (
            (self.apiserver,)
            if self.controller_manager is None
            else (self.apiserver, self.controller_manager)
        )

    def kubeconfig_text(self, *, namespace: str = "default") -> str:
        """Return the admin's kubeconfig."""
        return kubeconfig(
            cluster=self.name,
            server=self.server,
            ca_pem=self.ca_pem,
            user=f"{self.name}-admin",
            namespace=namespace,
            certificate=self.admin,
        )

    def kubeconfig_for(self, *, token: str, namespace: str = "default", user: str = "token") -> str:
        """Return a kubeconfig for a bearer token, for instance of a service account."""
        return kubeconfig(
            cluster=self.name,
            server=self.server,
            ca_pem=self.ca_pem,
            user=user,
            namespace=namespace,
            token=token,
        )

    def user_kubeconfig(
        self, username: str, groups: Sequence[str] = (), *, namespace: str = "default"
    ) -> str:
        """Return a kubeconfig with a new client certificate for a user and groups."""
        return kubeconfig(
            cluster=self.name,
            server=self.server,
            ca_pem=self.ca_pem,
            user=username,
            namespace=namespace,
            certificate=self.user_certificate(username, groups),
        )

    def user_certificate(self, username: str, groups: Sequence[str] = ()) -> KeyPair:
        """Sign a client certificate for a user and groups."""
        return self._identity.authority.client(username, groups)

    async def request(
        self, method: str, path: str, body: object = None, *, timeout: float = 10.0
    ) -> tuple[int, Any]:
        """Make one request as admin, for set-up and for looking at the truth in tests.

        Args:
            method: HTTP method.
            path: Path and query.
            body: Sent as JSON.
            timeout: Seconds that connecting and each read may take.

        Returns:
            Status code and decoded answer.

        Raises:
            OSError: The API server cannot be reached or does not answer in time.
        """
        return await adminhttp.request(self.port, method, path, tls=self._tls, body=body, timeout=timeout)

    async def service_account_token(self, namespace: str, name: str, *, seconds: int = 3600) -> str:
        """Have a token of a service account issued (TokenRequest).

        Args:
            namespace: Namespace of the service account.
            name: Its name.
            seconds: Lifetime; the API server takes no less than 600.

        Raises:
            DevClusterError: The API server refuses.
        """
        path = f"/api/v1/namespaces/{quote(namespace)}/serviceaccounts/{quote(name)}/token"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        status, answer = await self.request("POST", path, body)
        if status != 201:
            reason = answer.get("message", "") if isinstance(answer, dict) else ""
            raise DevClusterError(
                f"no token for service account {namespace}/{name} (HTTP {status}): {reason}"
            )
        return str(answer["status"]["token"])

    def audit_mark(self) -> int:
        """Return the present end of the audit log, for ``since``."""
        return audit.mark(self.audit_log)

    def audit_events(self, *, since: int = 0) -> Iterator[AuditEvent]:
        """Read the audit events from a mark on; a watch has one when it begins and one when it ends."""
        return audit.events(self.audit_log, since=since)

    def audit_requests(self, *, since: int = 0) -> list[AuditEvent]:
        """Read one audit event per request: what to count when requests are counted."""
        return audit.requests(self.audit_log, since=since)

    async def start(self) -> None:
        """Start the servers, wait until the cluster is bootstrapped, write the kubeconfig.

        A port that somebody took in the meantime is replaced by another one, unless it was asked for.

        Raises:
            ServerError: A server does not come up.
        """
        await self._start_apiserver()
        write_private(self.kubeconfig, self.kubeconfig_text())
        write_private(self._files.root / "port", str(self.port))
        if self.controller_manager is not None:
            write_private(
                self._files.manager_kubeconfig, self.user_kubeconfig(arguments.CONTROLLER_MANAGER_USER)
            )
            await self.controller_manager.start()

    async def stop(self) -> None:
        """Stop the servers, the manager first."""
        for server in reversed(self.servers):
            await server.stop(grace=3.0)

    async def _start_apiserver(self) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                return await self.apiserver.start()
            except ServerError as error:
                if _ADDRESS_IN_USE not in error.tail or self._pinned or attempt == _PORT_ATTEMPTS:
                    raise
            self.apiserver = self._make_apiserver(free_port())
        return None

    def _choose_port(self) -> int:
        self._pinned = self.options.port is not None
        if self.options.port is not None:
            return self.options.port
        try:  # data that is used again keeps its address, so that kubeconfigs handed out stay good
            port = int((self._files.root / "port").read_text())
        except (OSError, ValueError):
            return free_port()
        return port if is_free(port) else free_port()

    def _make_apiserver(self, port: int) -> Server:
        self.options = replace(self.options, port=port)
        write_private(self._files.audit_policy, audit.POLICY)
        return Server(
            self._supervision,
            name=f"{self.name}/kube-apiserver",
            argv=arguments.apiserver(
                self._programs.kube_apiserver,
                cluster=self.name,
                files=self._files,
                etcd_socket=self._etcd_socket,
                port=port,
                audit=self.options.audit,
                flags=self.options.apiserver_flags,
            ),
            log=self._files.log("kube-apiserver"),
            rank=RANK_APISERVER,
            ready=self._apiserver_ready,
        )

    def _make_manager(self) -> Server:
        return Server(
            self._supervision,
            name=f"{self.name}/kube-controller-manager",
            argv=arguments.controller_manager(
                self._programs.kube_controller_manager,
                cluster=self.name,
                files=self._files,
                flags=self.options.controller_manager_flags,
            ),
            log=self._files.log("kube-controller-manager"),
            rank=RANK_MANAGER,
            ready=lambda: self._all_exist(_MANAGED),
            prepare=self._ask_for_a_sign,
        )

    async def _ask_for_a_sign(self) -> None:
        """Delete what a manager makes again, so that what is there afterwards is the work of the next one.

        One that has not begun to work yet ends by itself when the API server is unhealthy for ten seconds.
        """
        with contextlib.suppress(OSError):  # without an API server there will be no work either
            await self.request("DELETE", _PUT_BACK, timeout=5.0)

    async def _apiserver_ready(self) -> bool:
        status, _ = await self.request("GET", "/readyz", timeout=5.0)
        return status == 200 and await self._all_exist(_BOOTSTRAPPED)

    async def _all_exist(self, paths: Sequence[str]) -> bool:
        answers = await asyncio.gather(*(self.request("GET", path, timeout=5.0) for path in paths))
        return all(status == 200 for status, _ in answers)

    async def wait_ready(self, *, timeout: float = READY_TIMEOUT) -> None:
        """Wait until every server of the cluster serves, for instance after a fault.

        Raises:
            ServerError: One does not.
        """
        for server in self.servers:
            await server.wait_ready(timeout=timeout)

    def _load_admin_certificate(self) -> None:
        # The ssl module reads certificates from files only; this one lies in the private folder of the
        # cluster.
        path = self._files.pki / "admin.pem"
        write_private(path, self.admin.cert_pem + self.admin.key_pem)
        self._tls.load_cert_chain(path)
