"""One cluster: its verbs, what it serves, and the credential in force.

Objects are plain decoded JSON (`dict`).  The path from a call to the socket is short on purpose: a checked
path, one `orjson.dumps`, one request, one `orjson.loads`.
"""

from collections.abc import Callable
from dataclasses import replace

from bind_agent._version import __version__
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from bind_agent.kube.discovery import Discovery
from bind_agent.kube.errors import ConfigError, KubeError
from bind_agent.kube.reading import Reading
from bind_agent.kube.transport import MAX_OBJECT, Transport
from bind_agent.kube.writing import Writing


def user_agent(component: str) -> str:
    """What server logs and audit rules see of one program: `bind-agent-<component>/<version>`."""
    return f"bind-agent-{component}/{__version__}"


class Client(Reading, Writing):
    """A connection to one cluster.  Make it inside a running loop with `open`, and close it.

    Attributes:
        config: the configuration in force.
        discovery: what the cluster serves.
    """

    def __init__(self, config: ClusterConfig, transport: Transport) -> None:
        super().__init__(transport)
        self.config = config
        self.discovery = Discovery(transport)

    @classmethod
    def open(
        cls,
        config: ClusterConfig,
        *,
        user_agent: str,
        max_in_flight: int = 64,
        cluster: str = "cluster",
        fence: Callable[[], None] | None = None,
        max_object: int = MAX_OBJECT,
    ) -> "Client":
        """A client; it connects with the first request.

        Args:
            config: which cluster, and how to prove who we are.
            user_agent: sent with every request (see `user_agent` of this module).
            max_in_flight: bound on requests that wait for an answer; watches do not count.
            cluster: label of its metrics: the role of the cluster, such as `consumer` or `provider`.
            fence: called right before each write leaves; raises when this process may not write any more
                (`LeaderElector.check`), and then nothing is sent.
            max_object: most bytes that are read of an answer with one object.

        Returns:
            The client; close it, or use it as an asynchronous context manager.

        Raises:
            ConfigError: the CA cannot be used.
        """
        transport = Transport(
            config,
            user_agent=user_agent,
            max_in_flight=max_in_flight,
            cluster=cluster,
            fence=fence,
            max_object=max_object,
        )
        return cls(config, transport)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; calls and watches under way fail."""
        await self._transport.close()

    @property
    def trouble(self) -> KubeError | None:
        """Why the latest call failed, if the server or the credential is at fault; None when all is well."""
        return self._transport.trouble

    @property
    def waiting(self) -> float:
        """Seconds that the oldest call under way has waited for its answer, 0 without any."""
        return self._transport.waiting

    def bearing(self, token: str) -> "Client":
        """The same connections with another bearer token; closed with this client, never by itself.

        Raises:
            ConfigError: this client shows a certificate, which a server would take for both.
        """
        config = replace(self.config, credential=Credential(token=token))
        if self.config.credential.has_certificate or self.config.credential.plugin is not None:
            raise ConfigError("a client with a certificate lends its connections to nobody")
        return Client(config, self._transport.bearing(config))

    def update_credential(self, config: ClusterConfig) -> None:
        """Go on with a rotated credential; calls and watches under way are not disturbed.

        Args:
            config: a configuration of the same cluster.

        Raises:
            ConfigError: it is of another server or CA: that takes a new client.
        """
        old = self.config
        if (config.server, config.ca_pem, config.tls_server_name) != (
            old.server,
            old.ca_pem,
            old.tls_server_name,
        ):
            raise ConfigError(
                "the new configuration is of another server or CA; only the credential can be replaced"
            )
        self.config = config
        self._transport.source.replace(config.credential)
