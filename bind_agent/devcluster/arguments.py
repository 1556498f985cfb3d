"""Command lines of the servers. Pure: paths and ports in, arguments out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bind_agent.devcluster.ports import LOOPBACK

#: Controllers that give the behaviour our product relies on: namespaces really go, owner references are
#: collected, every namespace gets its service account and root certificate, token Secrets are filled, roles
#: aggregate.
CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
)
CONTROLLER_MANAGER_USER = "system:kube-controller-manager"
SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc.cluster.local"
_NOWHERE = f"http://{LOOPBACK}:1"
_QUOTA_BYTES = 4 * 1024**3
#: Mebibytes after which the audit log would be rotated: never, readers follow one file.
_NO_ROTATION = 1_000_000


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """Where everything of one cluster lies.

    Attributes:
        root: Folder of the cluster; must exist with mode 0700.
    """

    root: Path

    @property
    def pki(self) -> Path:
        """Folder of keys and certificates."""
        return self.root / "pki"

    @property
    def audit_log(self) -> Path:
        """The audit log, one JSON event per line."""
        return self.root / "audit.log"

    @property
    def audit_policy(self) -> Path:
        """What is written to the audit log."""
        return self.root / "audit-policy.yaml"

    @property
    def manager_kubeconfig(self) -> Path:
        """Credential of the controller-manager."""
        return self.root / "controller-manager.kubeconfig"

    def log(self, program: str) -> Path:
        """Log file of a program."""
        return self.root / f"{program}.log"


def etcd(program: Path, *, data: Path, client_socket: Path, flags: Sequence[str]) -> list[str]:
    """Arguments of etcd: reachable through sockets in a private folder only, and fast rather than durable.

    Args:
        program: The executable.
        data: Data folder.
        client_socket: Unix socket for clients.
        flags: Further flags; a later one wins.
    """
    return [
        str(program),
        f"--data-dir={data}",
        "--name=playground",
        f"--listen-client-urls=unix://{client_socket}",
        # A socket for peers has to look like host and port; etcd makes it in the folder it runs in.
        "--listen-peer-urls=unix://peer.sock:0",
        # What it tells others to reach it by has to be host and port; there are no others.
        f"--advertise-client-urls={_NOWHERE}",
        f"--initial-advertise-peer-urls={_NOWHERE}",
        f"--initial-cluster=playground={_NOWHERE}",
        "--unsafe-no-fsync",
        f"--quota-backend-bytes={_QUOTA_BYTES}",
        "--log-level=warn",
        *flags,
    ]


def apiserver(
    program: Path,
    *,
    cluster: str,
    files: ClusterFiles,
    etcd_socket: Path,
    port: int,
    audit: bool,
    flags: Sequence[str],
) -> list[str]:
    """Arguments of an API server.

    Args:
        program: The executable.
        cluster: Name of the cluster, which is also its prefix in etcd.
        files: Folder with its keys.
        etcd_socket: Unix socket of etcd.
        port: Port on the loopback address.
        audit: Whether it writes an audit log.
        flags: Further flags; a later one wins.
    """
    pki = files.pki
    audit_flags = [
        f"--audit-policy-file={files.audit_policy}",
        f"--audit-log-path={files.audit_log}",
        f"--audit-log-maxsize={_NO_ROTATION}",
    ]
    return [
        str(program),
        f"--etcd-servers=unix://{etcd_socket}",
        f"--etcd-prefix=/{cluster}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--service-account-key-file={pki / 'sa.crt'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--service-account-issuer={SERVICE_ACCOUNT_ISSUER}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=RBAC",
        # No Service address leads to this server, so nobody is to announce it.
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        "--shutdown-delay-duration=0s",
        # Without a limit an orderly end waits a minute for clients that watch.
        "--shutdown-watch-termination-grace-period=1s",
        *(audit_flags if audit else ()),
        *flags,
    ]


def controller_manager(
    program: Path, *, cluster: str, files: ClusterFiles, flags: Sequence[str]
) -> list[str]:
    """Arguments of a controller-manager.

    Args:
        program: The executable.
        cluster: Name of the cluster.
        files: Folder with its keys and kubeconfig.
        flags: Further flags; a later one wins.
    """
    return [
        str(program),
        f"--kubeconfig={files.manager_kubeconfig}",
        f"--cluster-name={cluster}",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--service-account-private-key-file={files.pki / 'sa.key'}",
        f"--root-ca-file={files.pki / 'ca.crt'}",
        # Without it the controllers act as one user that has none of the rights they need.
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--concurrent-namespace-syncs=20",
        *flags,
    ]
