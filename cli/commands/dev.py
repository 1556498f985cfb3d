"""`kubectl bind dev`: a playground of real clusters on this machine."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import yaml

from bind_agent.devcluster import detached, folders
from bind_agent.devcluster.binaries import ControlPlane, Sources, find_control_plane
from bind_agent.devcluster.cluster import ClusterOptions
from bind_agent.devcluster.daemon import Order, serve
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.issuer.launch import app_cluster_commands, command_line
from bind_agent.devcluster.progress import Progress
from bind_agent.devcluster.state import ClusterState, State
from cli.errors import CliError, UsageError
from cli.output import echo, render_columns

_DIRECTORY = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Directory of the playground.  [default: ${folders.PLAYGROUND_VARIABLE}, else "
    "~/.local/state/bind-agent/dev]",
)
ASSETS = click.option(
    "--assets",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder with etcd, kube-apiserver, kube-controller-manager and kubectl.  "
    "[default: $KUBEBUILDER_ASSETS, else the cache, else a download, else a build]",
)
NO_DOWNLOAD = click.option(
    "--no-download", is_flag=True, help="Do not fetch official releases; build instead."
)
_FORM = click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")


@click.group()
def dev() -> None:
    """Run real clusters on this machine, to try things out and to develop.

    Each cluster is a kube-apiserver with a controller-manager; all share one etcd. Nothing listens beyond
    this machine.
    """


@dev.command()
@click.option(
    "--clusters", default="provider,consumer", show_default=True, help="Names, separated by commas."
)
@_DIRECTORY
@click.option("--detach", is_flag=True, help="Return when the clusters serve; they go on in the background.")
@click.option("--keep-data", is_flag=True, help="Use the data of the last run again, and keep it at the end.")
@click.option("--audit", is_flag=True, help="Write an audit log for each cluster.")
@click.option(
    "--login",
    is_flag=True,
    help="Run a development issuer too, so that the login of bind-backend can be tried without passwords.",
)
@ASSETS
@NO_DOWNLOAD
def up(
    *,
    clusters: str,
    directory: Path | None,
    detach: bool,
    keep_data: bool,
    audit: bool,
    login: bool,
    assets: Path | None,
    no_download: bool,
) -> None:
    """Start clusters and write DIR/<cluster>.kubeconfig for each.

    Stays in the foreground until Ctrl-C, unless --detach is given. Data goes with the clusters, unless
    --keep-data is given.
    """
    order = Order(
        directory=_directory(directory),
        clusters=_clusters(clusters, audit=audit),
        keep_data=keep_data,
        login=login,
    )
    with errors():
        control_plane = find(assets, no_download=no_download)
        if detach:
            _tell(detached.up(order, control_plane))
            _say(f"in the background; stop with: kubectl bind dev down{_dir_hint(directory)}")
        else:
            _run(order, control_plane)


@dev.command()
@_DIRECTORY
@_FORM
def status(directory: Path | None, form: str) -> None:
    """Show the clusters that run; exits with 1 when none does."""
    place = _directory(directory)
    seen = detached.status(place)
    if form != "table":
        data = seen.as_data()
        echo(
            json.dumps(data, indent=2) + "\n"
            if form == "json"
            else yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False)
        )
    elif seen.running:
        rows = [
            (
                cluster.name,
                cluster.server,
                "yes" if cluster.ready else "no",
                _pids(cluster),
                cluster.kubeconfig,
            )
            for cluster in seen.clusters
        ]
        echo(render_columns(("CLUSTER", "SERVER", "READY", "PIDS", "KUBECONFIG"), rows))
        if seen.login is not None:
            shown = (
                seen.login.issuer,
                "yes" if seen.login.ready else "no",
                "-" if seen.login.pid is None else str(seen.login.pid),
                seen.login.client_id,
                ",".join(seen.login.accounts),
            )
            echo("\n" + render_columns(("ISSUER", "READY", "PID", "CLIENT ID", "ACCOUNTS"), [shown]))
            _invite(seen.login.backend, seen.clusters)
    else:
        _say(
            f"no playground runs in {seen.directory}; start one with: kubectl bind dev up{_dir_hint(directory)}"
        )
        if log := detached.last_words(place):
            _say(f"the last one in the background ended with errors, see {log}")
    if not seen.running:
        click.get_current_context().exit(1)


@dev.command()
@_DIRECTORY
def down(directory: Path | None) -> None:
    """Stop the clusters; fine when there are none."""
    place = _directory(directory)
    with errors():
        stopped = detached.down(place)
    _say(f"the playground in {place} is stopped" if stopped else f"no playground runs in {place}")


@dev.command()
@ASSETS
@NO_DOWNLOAD
@_FORM
def binaries(assets: Path | None, no_download: bool, form: str) -> None:
    """Print where the control plane programs are, fetching or building them when need be."""
    with errors():
        control_plane = find(assets, no_download=no_download)
        versions = control_plane.versions()
    rows = [(name, version, str(control_plane.folder / name)) for name, version in versions.items()]
    if form == "table":
        _say(f"from: {control_plane.origin}")
        echo(render_columns(("PROGRAM", "VERSION", "PATH"), rows))
        return
    data = {
        "origin": control_plane.origin,
        "programs": [{"name": name, "version": version, "path": path} for name, version, path in rows],
    }
    echo(json.dumps(data, indent=2) + "\n" if form == "json" else yaml.safe_dump(data, sort_keys=False))


@dev.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_DIRECTORY
@click.argument("cluster")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl(directory: Path | None, cluster: str, arguments: tuple[str, ...]) -> None:
    """Run kubectl as admin of CLUSTER: kubectl bind dev kubectl provider -- get namespaces.

    Everything after CLUSTER goes to kubectl as it is.
    """
    if arguments[:1] == ("--",):
        arguments = arguments[1:]
    with errors():
        program, kubeconfig = detached.kubeconfig_of(_directory(directory), cluster)
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, [str(program), *arguments], environment)  # noqa: S606 - no shell is what is wanted


@contextmanager
def errors() -> Iterator[None]:
    """Turn the package's errors, whose texts name the next step themselves, into the command line's."""
    try:
        yield
    except DevClusterError as error:
        raise CliError(str(error)) from error


def _directory(directory: Path | None) -> Path:
    return directory.absolute() if directory is not None else folders.playground()


def _dir_hint(directory: Path | None) -> str:
    return f" --dir {directory}" if directory is not None else ""


def _clusters(names: str, *, audit: bool) -> list[ClusterOptions]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted or len(set(wanted)) < len(wanted):
        raise UsageError(
            f"--clusters {names!r} names no cluster, or one twice",
            next_step="name each cluster once, like --clusters provider,consumer",
        )
    try:
        return [ClusterOptions(name, audit=audit) for name in wanted]
    except ValueError as error:
        raise UsageError(str(error)) from error


def find(assets: Path | None, *, no_download: bool) -> ControlPlane:
    """Find the control plane programs as the options say, and tell how it goes."""
    return find_control_plane(
        Sources.from_environment(assets=assets, download=not no_download), Progress.stderr()
    )


def _run(order: Order, control_plane: ControlPlane) -> None:
    def ready(state: State) -> None:
        _tell(state)
        _say("running until Ctrl-C")

    asyncio.run(serve(order, control_plane, ready))
    _say("stopped")


def _tell(state: State) -> None:
    rows = [(cluster.name, cluster.server, cluster.kubeconfig) for cluster in state.clusters]
    echo(render_columns(("CLUSTER", "SERVER", "KUBECONFIG"), rows))
    if state.login is not None:
        echo("\n" + render_columns(("ISSUER", "CLIENT ID"), [(state.login.issuer, state.login.client_id)]))
        _say("people sign in there without passwords")
        _invite(detached.backend_arguments(state), state.clusters)
    sys.stdout.flush()


def _invite(backend: Sequence[str], clusters: Sequence[detached.ClusterStatus | ClusterState]) -> None:
    """Tell how to try the login: each command in a terminal of its own."""
    _say(f"a backend for it:\n{command_line(backend)}")
    others = [cluster for cluster in clusters if f"--kubeconfig={cluster.kubeconfig}" not in backend]
    if others:
        _say(f"and when it offers an API, from the cluster {others[0].name}, each in a terminal of its own:")
        for command in app_cluster_commands(others[0].kubeconfig):
            _say(shlex.join(command))


def _pids(cluster: detached.ClusterStatus) -> str:
    return " ".join("-" if pid is None else str(pid) for pid in cluster.servers.values())


def _say(text: str) -> None:
    click.echo(text, err=True)
