"""The provider's kubeconfig: checked before its first use, compared with stored ones, stored in a clean form.

What is written to the app cluster is built anew from the few fields that passed the check; nothing
else of the given document gets there.
"""

import base64
import dataclasses
from dataclasses import dataclass
from pathlib import Path

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.naming import is_label
from bind_agent.api.resource import SECRETS
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.intake import IntakeError, ProviderKubeconfig, accept_kubeconfig
from cli.cluster import Cluster
from cli.errors import CliError, UsageError
from cli.output import inert

_MAX_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """A provider's kubeconfig that passed the check.

    Attributes:
        checked: its parts.
    """

    checked: ProviderKubeconfig

    @property
    def namespace(self) -> str:
        """The tenant's namespace on the provider."""
        return self.checked.namespace

    @property
    def digest(self) -> str:
        """Stands for everything in it, the credential included."""
        return self.checked.digest

    def config(self) -> ClusterConfig:
        """What a client needs."""
        return self.checked.config()

    def same_place(self, other: "Kubeconfig") -> bool:
        """Whether both lead to the same server and namespace (spec 7.2.12); credentials may differ."""
        return (self.checked.server, self.namespace) == (other.checked.server, other.namespace)

    def document(self) -> bytes:
        """The clean document: what is stored on the app cluster."""
        return self.checked.document()

    def encoded(self) -> str:
        """The clean document as the value of a Secret's key."""
        return base64.b64encode(self.document()).decode()


def read_kubeconfig(path: str) -> bytes:
    """A kubeconfig file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(_MAX_FILE + 1)
    except OSError as error:
        raise UsageError(
            f"the kubeconfig {inert(path)} cannot be read: {error.strerror}",
            next_step="check the path given with --remote-kubeconfig",
        ) from None


def fetch_kubeconfig(cluster: Cluster, namespace: str, secret_name: str) -> bytes:
    """A kubeconfig from a Secret of the app cluster.

    Raises:
        CliError: there is no such Secret, or it has no kubeconfig.
    """
    secret = cluster.get(SECRETS, secret_name, namespace=namespace)
    where = f"{inert(namespace)}/{inert(secret_name)}"
    if secret is None:
        raise CliError(
            f"the app cluster has no Secret {where}",
            next_step="check --remote-kubeconfig-namespace and --remote-kubeconfig-name",
        )
    data = _content(secret)
    if data is None:
        raise CliError(
            f"the Secret {where} holds nothing under the key {keys.KUBECONFIG}",
            next_step=f"put the provider's kubeconfig there under the key {keys.KUBECONFIG}",
        )
    return data


def accept(data: bytes, *, namespace: str, allow_private: bool) -> Kubeconfig:
    """Check a kubeconfig of the other side (threats A41 to A45).

    Args:
        data: the document.
        namespace: ``--remote-namespace``; empty takes the namespace of its context.
        allow_private: private and loopback addresses are fine.

    Raises:
        UsageError: it is refused, or names no namespace; nothing was run, read or connected to.
    """
    try:
        checked = accept_kubeconfig(
            data,
            allow_private_addresses=allow_private,
            allow_loopback=allow_private,
            require_namespace=not namespace,
        )
    except IntakeError as error:
        hint = "; or give --remote-namespace" if error.reason == "NamespaceMissing" else ""
        what = str(error).removesuffix(f"; {error.next_step}")
        raise UsageError(
            f"the provider's kubeconfig is refused ({error.reason}): {inert(what)}",
            next_step=inert(error.next_step) + hint,
        ) from None
    if namespace and not is_label(namespace):
        raise UsageError(
            f"--remote-namespace {inert(namespace)!r} is not the name of a namespace",
            next_step="give the namespace that the provider assigned",
        )
    return Kubeconfig(dataclasses.replace(checked, namespace=namespace) if namespace else checked)


def stored_kubeconfig(secret: Object) -> Kubeconfig | None:
    """The kubeconfig in a Secret of the app cluster; None when it holds none that is usable (W-C8)."""
    data = _content(secret)
    if data is None:
        return None
    try:
        return Kubeconfig(accept_kubeconfig(data, allow_loopback=True))
    except IntakeError:
        return None


def stored_trouble(secret: Object) -> str:
    """Why a Secret of the app cluster holds no usable kubeconfig; empty when it holds one."""
    data = _content(secret)
    if data is None:
        return f"nothing under the key {keys.KUBECONFIG} that can be read"
    try:
        accept_kubeconfig(data, allow_loopback=True)
    except IntakeError as error:
        return f"{error.reason}: {inert(str(error).removesuffix(f'; {error.next_step}'))}"
    return ""


def _content(secret: Object) -> bytes | None:
    data = secret.get("data")
    value = data.get(keys.KUBECONFIG) if isinstance(data, dict) else None
    if not isinstance(value, str) or not value:
        return None
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return None
