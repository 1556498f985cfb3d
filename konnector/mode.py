"""What differs between the two places that a konnector runs in (spec 5.6); all else is one code path.

``konnector.agent`` and ``konnector.control_plane`` implement these; nothing else asks for the mode.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from bind_agent.api import conditions
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Severity
from bind_agent.api.meta import Object
from bind_agent.kube.client import Client
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.runtime.pool import InformerPool
from konnector.clusters import Ends, Home
from konnector.secrets import Secrets


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a binding leads.

    Attributes:
        secret: the Secret (``namespace/name``) that the kubeconfig is from.
        kubeconfig: how to reach the far cluster.
    """

    secret: str
    kubeconfig: ProviderKubeconfig


class Place(Protocol):
    """A konnector that leads, where it runs.

    Attributes:
        home: the cluster that holds the bindings.
        provider_rotates: the provider offers a rotated kubeconfig in its ClusterBinding's Secret, to be copied into
            the Secrets of the bindings.
        far_is_needed: without the far cluster there is nothing that this konnector could do.
    """

    home: Home
    provider_rotates: bool
    far_is_needed: bool

    def destination(self, binding: Object, secrets: Secrets) -> Destination | Condition:
        """Where a binding leads, or what is wrong with its Secret (``SecretValid``)."""
        ...

    def connect(self, kubeconfig: ProviderKubeconfig) -> AbstractAsyncContextManager[Ends]:
        """Both ends of a session to a far cluster, open within the context."""
        ...


class Mode(Protocol):
    """A konnector process.

    Attributes:
        companions: what runs beside the work from start to end, by name.
    """

    companions: Mapping[str, Callable[[], Awaitable[None]]]

    async def prepare(self) -> None:
        """Do what each replica does before it takes part in the election."""
        ...

    def lead(self, client: Client, pool: InformerPool, fence: Callable[[], None] | None) -> Place:
        """Take the work up.

        Args:
            client: of the home cluster, for work that only the leader does.
            pool: informers on it.
            fence: for clients that write.
        """
        ...


def invalid_secret(reason: str, message: str) -> Condition:
    """``SecretValid`` of a binding that cannot be followed."""
    return conditions.false(ConditionType.SECRET_VALID, reason, Severity.ERROR, message)
