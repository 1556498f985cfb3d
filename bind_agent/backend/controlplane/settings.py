"""What the operator of the backend decides about control plane mode."""

from dataclasses import dataclass

from bind_agent.backend.controlplane import deployment


@dataclass(frozen=True, slots=True)
class Settings:
    """Decisions that hold for all AppClusterBindings.

    Attributes:
        konnector_image: of konnectors whose overrides name none.
        secret_namespaces: namespaces whose Secrets every AppClusterBinding may refer to, besides its own; `*` for
            any.
        allow_loopback: app clusters may be on this machine (playgrounds).
    """

    konnector_image: str = deployment.IMAGE
    secret_namespaces: frozenset[str] = frozenset()
    allow_loopback: bool = False
