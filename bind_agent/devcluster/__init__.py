"""Real clusters on one machine: the playground of `kubectl bind dev` and the ground of the tests.

Belongs here: finding, downloading or building the control plane programs; starting, breaking and stopping
etcd, API servers and controller-managers; their certificates, kubeconfigs, logs and audit logs.

Does not belong here: anything that knows the product's own kinds, and any client of an API server beyond the
few calls that decide whether a cluster is ready. Nothing in the product but the command line imports this
package.
"""

from bind_agent.devcluster.audit import AuditEvent
from bind_agent.devcluster.binaries import ControlPlane, Sources, find_control_plane
from bind_agent.devcluster.cluster import Cluster, ClusterOptions
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.playground import Playground
from bind_agent.devcluster.server import Server

__all__ = [
    "AuditEvent",
    "Cluster",
    "ClusterOptions",
    "ControlPlane",
    "DevClusterError",
    "Playground",
    "Server",
    "Sources",
    "find_control_plane",
]
