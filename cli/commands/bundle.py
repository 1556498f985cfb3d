"""``kubectl bind bundle``: one file with which GitOps binds, without a browser and without questions."""

import sys
from pathlib import Path

import click

from bind_agent import handout
from bind_agent.api.naming import is_subdomain
from bind_agent.goflags import GoCommand
from cli.binding import bundling
from cli.binding.credential import Kubeconfig
from cli.binding.request import ExportRequest, parse_request
from cli.binding.source import read_file
from cli.commands.choices import Choices, asker, choices, provider_side
from cli.commands.remote import Remote, remote
from cli.errors import CliError, UsageError
from cli.options import Connection, connection, output
from cli.output import Progress, inert, render_object


@click.command(cls=GoCommand)
@click.option(
    "-f",
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    required=True,
    help="File with a request; may be given more than once; - is standard input.",
)
@click.option(
    "--secret-name",
    metavar="NAME",
    default="",
    help="Name of the Secret with the kubeconfig.  [default: one that follows from provider and tenant]",
)
@click.option(
    "--without-secret",
    is_flag=True,
    help="Only refer to the Secret; you bring it on another way (sealed, from a vault).",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the bundle (mode 0600); default: standard output.",
)
@output("yaml", "json", default="yaml")
@remote
@choices
@connection
def bundle(
    *,
    connection: Connection,
    choices: Choices,
    remote: Remote,
    files: tuple[str, ...],
    secret_name: str,
    without_secret: bool,
    out: Path | None,
    form: str,
) -> None:
    """Make one file that binds APIs when it is applied, for GitOps.

    The requests are handed in at the provider now, with your kubeconfig of it; your app cluster is not touched. The
    file holds the konnector, the Secret with the provider's kubeconfig, the konnector's rights, and the bindings
    with the claims that you accepted. It can be applied again and again and in any order:

    \b
      kubectl bind bundle --remote-kubeconfig provider.kubeconfig -f request.yaml \\
          --accept-claims secrets --out bundle.yaml
      kubectl apply --server-side -f bundle.yaml

    The Secret is a credential: keep the file out of a repository, or use --without-secret. Where the kubeconfig
    comes from a Secret of the app cluster in the namespace klutch-bind, the bundle refers to that one.
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    choices.check()
    if secret_name and not is_subdomain(secret_name):
        raise UsageError(
            f"--secret-name {inert(secret_name, limit=100)!r} is not a name",
            next_step="use lower-case letters, digits, - and .",
        )
    if files.count("-") > 1:
        raise UsageError("standard input can be read once only", next_step="give --file - once")
    requests = [_request(file, choices) for file in files]
    progress = connection.progress()
    if remote.unused:
        progress.note(remote.unused)
    kubeconfig = _kubeconfig(connection, choices, remote, progress)
    # A Secret that leads to another namespace than the one that was asked for is no good to the bindings.
    referred = "" if choices.remote_namespace or secret_name else remote.preferred_secret
    wish = bundling.Wish(
        requests=requests,
        kubeconfig=kubeconfig,
        policy=choices.policy,
        conflict_policy=choices.conflict_policy or "",
        konnector=not choices.skip_konnector or bool(choices.image),
        image=choices.image,
        secret=secret_name or referred,
        with_secret=not (without_secret or referred),
        timeout=choices.timeout,
        claimable=choices.claimable,
    )
    with provider_side(connection, kubeconfig, progress) as provider:
        text = render_object(bundling.make(wish, provider, asker(), progress), form)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        handout.write(out, text.encode())
    except handout.HandoutError as error:
        raise CliError(
            inert(error), next_step="the requests stand at the provider; repeat this with another --out"
        ) from None
    progress.step(
        f"bundle written to {inert(out)}; it holds {'no' if not wish.with_secret else 'a'} credential"
    )


def _request(file: str, choices: Choices) -> ExportRequest:
    origin = "standard input" if file == "-" else file
    return parse_request(read_file(file, sys.stdin.buffer), origin=origin, claimable=choices.claimable)


def _kubeconfig(connection: Connection, choices: Choices, remote: Remote, progress: Progress) -> Kubeconfig:
    """The provider's kubeconfig; the app cluster is asked only where it is in a Secret there."""
    if remote.path:
        return remote.from_file(choices)
    with connection.app_cluster(progress) as app_cluster:
        return remote.read(app_cluster, choices)
