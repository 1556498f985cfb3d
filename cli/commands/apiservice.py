"""``kubectl bind apiservice``: bind an API of a provider into the app cluster."""

import sys

import click

from bind_agent.goflags import GoCommand
from cli.binding import dryrun
from cli.binding.consumer import ConsumerSide
from cli.binding.flow import Flow
from cli.binding.request import ExportRequest, parse_request
from cli.binding.source import read_file, read_url
from cli.commands.choices import MOVE_PROVIDER, Choices, asker, choices, provider_side, result
from cli.commands.remote import Remote, remote
from cli.errors import UsageError
from cli.go_plugin import print_flags
from cli.options import FORMS, Connection, connection, output


@click.command(cls=GoCommand)
@click.argument("url", required=False, metavar="[URL]")
@click.option("-f", "--file", "file", metavar="FILE", help="File with the request; - is standard input.")
@click.option("--dry-run", is_flag=True, help="Write nothing anywhere; print what would be written.")
@click.option("--wait", is_flag=True, help="Wait until the bindings are ready.")
@click.option("--downgrade-konnector", is_flag=True, hidden=True, help="Accepted for older scripts.")
@click.option("--no-banner", is_flag=True, hidden=True, help="Accepted for older scripts.")
@MOVE_PROVIDER
@output(*FORMS, default="table")
@print_flags
@remote
@choices
@connection
def apiservice(
    *,
    connection: Connection,
    choices: Choices,
    remote: Remote,
    url: str | None,
    file: str | None,
    dry_run: bool,
    wait: bool,
    move_provider: bool,
    downgrade_konnector: bool,
    no_banner: bool,
    form: str,
    show_managed_fields: bool,
) -> None:
    """Bind an API of a provider into this cluster.

    The request comes from a file, from standard input or from an https URL. Nothing is written to this
    cluster before the provider has agreed and you have answered what the provider may copy. Running
    the command again is
    harmless: it takes up what stands, refreshes the credential, and asks only about claims that are new.

    \b
      kubectl bind apiservice --remote-kubeconfig provider.kubeconfig -f - --accept-claims secrets <<END
      apiVersion: klutch.anynines.com/v1alpha1
      kind: APIServiceExportRequest
      metadata:
        name: postgresqls.example.com
      spec:
        resources:
        - group: example.com
          resource: postgresqls
      END

    Exit codes: 0 done, 1 failed, 2 wrong options or input, 3 refused by you, 4 timed out, 130 interrupted.
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    del downgrade_konnector, no_banner
    choices.check()
    request = _request(url, file, choices, timeout=connection.request_timeout)
    progress = connection.progress()
    if remote.unused:
        progress.note(remote.unused)
    with connection.app_cluster(progress) as app_cluster:
        kubeconfig = remote.read(app_cluster, choices)
        plan = choices.plan(
            request,
            kubeconfig,
            wait=wait,
            move_provider=move_provider,
            prefer_secret=remote.preferred_secret,
        )
        with provider_side(connection, kubeconfig, progress) as provider:
            consumer = ConsumerSide(app_cluster, progress)
            if dry_run:
                steps = dryrun.plan_steps(plan, provider, consumer, progress)
                click.echo(dryrun.render(steps, form), nl=False)
                return
            outcome = Flow(provider, consumer, asker(), progress).run(plan)
            click.echo(result([outcome], consumer, form, managed_fields=show_managed_fields), nl=False)


def _request(url: str | None, file: str | None, choices: Choices, *, timeout: float) -> ExportRequest:
    if bool(url) == bool(file):
        raise UsageError(
            "exactly one of URL and --file is needed" if url else "the request is missing",
            next_step="give the request with --file FILE, on standard input with --file -, or as a URL",
        )
    if url:
        return parse_request(read_url(url, timeout=timeout), origin=url, claimable=choices.claimable)
    assert file is not None  # noqa: S101 - exactly one of the two is given
    data = read_file(file, sys.stdin.buffer)
    origin = "standard input" if file == "-" else file
    return parse_request(data, origin=origin, claimable=choices.claimable)
