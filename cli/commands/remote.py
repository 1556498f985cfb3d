"""Where the provider's kubeconfig comes from: options of the commands that start from one."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from bind_agent.api import keys
from cli.binding.credential import Kubeconfig, accept, fetch_kubeconfig, read_kubeconfig
from cli.cluster import Cluster
from cli.commands.choices import Choices
from cli.errors import UsageError
from cli.output import inert

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the provider's kubeconfig comes from.

    Attributes:
        path: kubeconfig file; wins over the Secret.
        secret_namespace: namespace of a Secret on the app cluster that holds it.
        secret_name: name of that Secret.
    """

    path: str
    secret_namespace: str
    secret_name: str

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: no source, or half a Secret.
        """
        if bool(self.secret_namespace) != bool(self.secret_name):
            raise UsageError(
                "--remote-kubeconfig-namespace and --remote-kubeconfig-name belong together",
                next_step="give both, or --remote-kubeconfig with a file",
            )
        if not self.path and not self.secret_name:
            raise UsageError(
                "the provider is not named",
                next_step="give --remote-kubeconfig PATH, or --remote-kubeconfig-namespace and "
                "--remote-kubeconfig-name",
            )

    @property
    def unused(self) -> str:
        """What was given besides the file that wins, in words; the Go CLI takes both as well (spec 7.1)."""
        if not (self.path and self.secret_name):
            return ""
        return (
            f"the Secret {inert(self.secret_namespace)}/{inert(self.secret_name)} is not used:"
            " --remote-kubeconfig wins over --remote-kubeconfig-name"
        )

    def from_file(self, choices: Choices) -> Kubeconfig:
        """The checked kubeconfig of a file."""
        return self._accept(read_kubeconfig(self.path), choices)

    def read(self, consumer: Cluster, choices: Choices) -> Kubeconfig:
        """The checked kubeconfig, of wherever it is."""
        if self.path:
            return self.from_file(choices)
        return self._accept(fetch_kubeconfig(consumer, self.secret_namespace, self.secret_name), choices)

    @staticmethod
    def _accept(data: bytes, choices: Choices) -> Kubeconfig:
        return accept(data, namespace=choices.remote_namespace, allow_private=choices.allow_private_provider)

    @property
    def preferred_secret(self) -> str:
        """The Secret that was named, where konnectors read Secrets."""
        if not self.path and self.secret_namespace == keys.CONSUMER_NAMESPACE:
            return self.secret_name
        return ""


_OPTIONS: Final = (
    click.option("--remote-kubeconfig", metavar="PATH", default="", help="Kubeconfig of the provider."),
    click.option(
        "--remote-kubeconfig-namespace",
        metavar="NS",
        default="",
        help="Namespace of a Secret in the app cluster that holds the provider's kubeconfig.",
    ),
    click.option("--remote-kubeconfig-name", metavar="NAME", default="", help="Name of that Secret."),
    click.option(
        "-n",
        "--namespace",
        metavar="NS",
        default="",
        help="Namespace of that Secret, where --remote-kubeconfig-namespace is not given.",
    ),
)


def remote(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command these options, as one checked `Remote`."""

    @functools.wraps(function)
    def wrapped(
        *,
        remote_kubeconfig: str,
        remote_kubeconfig_namespace: str,
        remote_kubeconfig_name: str,
        namespace: str,
        **values: Any,
    ) -> R:
        named = remote_kubeconfig_namespace or (namespace if remote_kubeconfig_name else "")
        found = Remote(path=remote_kubeconfig, secret_namespace=named, secret_name=remote_kubeconfig_name)
        found.check()
        return function(remote=found, **values)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped
