"""Options that several commands share, and what they mean: which cluster, how much to say, in which form."""

import dataclasses
import functools
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import click

from bind_agent import goflags
from bind_agent.kube.config import ClusterConfig, load
from bind_agent.kube.credentials import Credential
from bind_agent.kube.errors import ConfigError
from cli import go_plugin
from cli.access import Access
from cli.cluster import Cluster
from cli.errors import CliError, UsageError
from cli.output import Progress, inert

P = ParamSpec("P")
R = TypeVar("R")

FORMS: Final = ("table", "wide", "json", "yaml", "name")
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s?)?")
_MAX_SECONDS: Final = 24 * 3600.0


class Seconds(click.ParamType[float]):
    """A duration: ``90``, ``90s``, ``10m`` or ``1h30m``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, more than 0 and at most a day."""
        if isinstance(value, int | float):
            return float(value)
        found = _DURATION.fullmatch(value)
        if found is None or not any(found.groups()):
            self.fail(f"{inert(value)!r} is not a duration such as 90s, 10m or 1h30m", param, ctx)
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        total = hours * 3600 + minutes * 60 + seconds
        if not 0 < total <= _MAX_SECONDS:
            self.fail("must be more than nothing and at most 24h", param, ctx)
        return total


@dataclass(frozen=True, slots=True)
class Connection:
    """Which app cluster a command works on, as the person said it.

    Attributes:
        kubeconfig: path, or None for the usual rules.
        context: name of a context in it, or None for the current one.
        user: name of a user in it, or None for the one of the context.
        server: address instead of the kubeconfig's.
        token: bearer token instead of the kubeconfig's credential.
        certificate_authority: path of a CA bundle instead of the kubeconfig's.
        tls_server_name: name to expect in the server's certificate.
        insecure_skip_tls_verify: do not check the server's certificate.
        proxy_url: proxy instead of the kubeconfig's or the environment's.
        request_timeout: seconds that one call may take.
        verbosity: how much to say.
    """

    kubeconfig: str | None
    context: str | None
    user: str | None
    server: str | None
    token: str | None = dataclasses.field(repr=False)
    certificate_authority: str | None
    tls_server_name: str | None
    insecure_skip_tls_verify: bool
    proxy_url: str | None = dataclasses.field(repr=False)
    request_timeout: float
    verbosity: int

    def progress(self) -> Progress:
        """Where the command tells what it does."""
        return Progress(sys.stderr, verbosity=self.verbosity)

    def config(self) -> ClusterConfig:
        """The app cluster's address and credential.

        Raises:
            UsageError: there is none that can be used.
        """
        try:
            config = load(self.kubeconfig, context=self.context, user=self.user)
        except ConfigError as error:
            # Whoever names a user means one that exists, also beside a server and a token.
            if self.user or not (self.server and self.token):
                raise UsageError(
                    f"no app cluster to work on: {error}",
                    next_step="give --kubeconfig and --context, or set KUBECONFIG",
                ) from None
            config = ClusterConfig(server=self.server, credential=Credential(token=self.token))
        changes: dict[str, Any] = {}
        if self.server:
            changes["server"] = self.server.rstrip("/")
        if self.token:
            changes["credential"] = Credential(token=self.token)
        if self.certificate_authority:
            changes["ca_pem"] = _read_ca(self.certificate_authority)
        if self.tls_server_name:
            changes["tls_server_name"] = self.tls_server_name
        if self.insecure_skip_tls_verify:
            changes |= {"insecure_skip_tls_verify": True, "ca_pem": None}
        if self.proxy_url:
            changes["proxy"] = self.proxy_url
        return dataclasses.replace(config, **changes)

    def app_cluster(self, progress: Progress) -> Cluster:
        """The app cluster, ready to be talked to."""
        access = Access(self.config(), environment=os.environ)
        return Cluster(access, label="app cluster", timeout=self.request_timeout, trace=progress.detail)


def _read_ca(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"the CA bundle {inert(path)} cannot be read: {error.strerror}",
            next_step="check --certificate-authority",
        ) from None


def connection(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options that say which app cluster it works on, as one `Connection`."""
    names = [field.name for field in dataclasses.fields(Connection)]

    @functools.wraps(function)
    def wrapped(**values: Any) -> R:
        chosen = {name: values.pop(name) for name in names}
        return function(connection=Connection(**chosen), **values)

    for option in reversed(_CONNECTION):
        option(wrapped)
    return wrapped


_CONNECTION: Final = (
    click.option("--kubeconfig", metavar="PATH", help="Kubeconfig of the app cluster; else $KUBECONFIG."),
    click.option("--context", metavar="NAME", help="Context in it; else the current one."),
    click.option("--user", metavar="NAME", help="User in it; else the one of the context."),
    click.option("-s", "--server", metavar="URL", help="Address of the app cluster's API server."),
    click.option("--token", metavar="TOKEN", help="Bearer token for the app cluster."),
    click.option("--certificate-authority", metavar="PATH", help="CA of the app cluster's API server."),
    click.option("--tls-server-name", metavar="NAME", help="Name to expect in the server's certificate."),
    click.option("--insecure-skip-tls-verify", is_flag=True, help="Do not check the server's certificate."),
    click.option("--proxy-url", metavar="URL", help="Proxy to the app cluster; else $HTTPS_PROXY."),
    click.option(
        "--request-timeout",
        type=Seconds(),
        default="20s",
        show_default=True,
        help="Time that one call to a cluster may take.",
    ),
    goflags.verbosity(0, help="1 shows each call to a cluster."),
    goflags.log_flags,
    go_plugin.connection_flags,
)


def output(*forms: str, default: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The option ``-o`` with the forms that a command knows."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=go_plugin.Form(forms),
        default=default,
        show_default=True,
        help="Form of the result on stdout.",
    )


def report(error: CliError) -> int:
    """Tell a failure on stderr: what happened, what to do, what was left behind.

    Returns:
        The exit code.
    """
    lines = [f"error: {error.message}"]
    if error.next_step:
        lines.append(f"next: {error.next_step}")
    if error.left:
        lines.append("left behind (running the command again goes on from there):")
        lines += [f"  {entry}" for entry in error.left]
    sys.stderr.write("\n".join(lines) + "\n")
    return int(error.code)
