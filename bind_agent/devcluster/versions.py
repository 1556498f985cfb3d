"""Which programs in which versions, and what this machine is called in the file names of releases."""

import platform
import sys

from bind_agent.devcluster.errors import ControlPlaneUnavailableError

#: The same release stands in ``go/go.mod``.
KUBERNETES = "v1.36.3"
ETCD = "v3.6.8"
#: The oldest Go toolchain that builds them.
GO = (1, 26)

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def target(system: str = sys.platform, machine: str | None = None) -> tuple[str, str]:
    """Return operating system and architecture as Go and the releases name them, like ``("linux", "amd64")``.

    Raises:
        ControlPlaneUnavailableError: Clusters cannot run on this kind of machine.
    """
    machine = (platform.machine() if machine is None else machine).lower()
    if system != "linux" or machine not in _MACHINES:
        raise ControlPlaneUnavailableError(
            f"clusters run on Linux on amd64 and arm64, and this is {system} on {machine}: "
            "use a Linux machine, container or virtual machine"
        )
    return system, _MACHINES[machine]
