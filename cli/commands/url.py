"""``kubectl bind URL``: log in at a provider in the browser, and bind what is chosen there (spec 7.2)."""

import os
from dataclasses import replace

import click

from bind_agent.api import keys
from bind_agent.goflags import GoCommand
from cli.binding.consumer import ConsumerSide
from cli.binding.flow import Flow, Outcome
from cli.binding.request import ExportRequest
from cli.commands.choices import MOVE_PROVIDER, Choices, asker, choices, provider_side, result
from cli.errors import CliError, UsageError
from cli.go_plugin import Form, print_flags
from cli.login.browser import can_open, open_address
from cli.login.flow import Wish, log_in
from cli.login.response import Chosen
from cli.options import FORMS, Connection, Seconds, connection
from cli.output import Progress, inert, render_object
from cli.web import Web

SCHEMES = ("http://", "https://")
_DRY_FORMS = ("yaml", "json", "name")
_HTTP = (
    "ask the provider for an https address (a backend's --oidc-authorize-url); --allow-plain-http takes this one,"
    " for networks that you trust"
)


@click.command(name="url", cls=GoCommand, options_metavar="[OPTIONS]")
@click.argument("urls", nargs=-1, metavar="URL")
@click.option(
    "-d", "--dry-run", is_flag=True, help="Log in, print the requests, and stop: nothing is written."
)
@click.option("--no-browser", is_flag=True, help="Only print the address for the browser.")
@click.option("--login-timeout", type=Seconds(), default="10m", show_default=True, help="Time for the login.")
@click.option(
    "--provider-ca-file",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False),
    help="CA of the provider's web address, where it is a private one.",
)
@click.option(
    "--allow-plain-http",
    is_flag=True,
    help="Take web addresses of the provider that are not https; for networks that you trust.",
)
@click.option("--wait", is_flag=True, help="Wait until the bindings are ready.")
@MOVE_PROVIDER
@click.option(
    "-o",
    "--output",
    "form",
    type=Form(FORMS),
    show_default="table, with --dry-run yaml",
    help="Form of the result on stdout.",
)
@print_flags
@click.option("-n", "--namespace", default=None, hidden=True)
@click.option("--no-banner", is_flag=True, hidden=True, help="Accepted for older scripts.")
@choices
@connection
def url(
    *,
    connection: Connection,
    choices: Choices,
    urls: tuple[str, ...],
    dry_run: bool,
    no_browser: bool,
    login_timeout: float,
    provider_ca_file: str | None,
    allow_plain_http: bool,
    wait: bool,
    move_provider: bool,
    form: str | None,
    show_managed_fields: bool,
    namespace: str | None,
    no_banner: bool,
) -> None:
    """Log in at a provider in the browser, and bind what you choose there.

    URL is the provider's address, mostly one that ends in /export. The address to log in at is printed and, where
    there is a screen, opened. What happens then is what `kubectl bind apiservice` does, for each API that you chose.

    \b
      kubectl bind https://bind.example.com/export
      kubectl bind https://bind.example.com/export --dry-run -o yaml

    Exit codes: 0 done, 1 failed, 2 wrong options or input, 3 refused by you, 4 timed out, 130 interrupted.
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    del no_banner
    address = _address(urls)
    choices.check()
    if dry_run and form is not None and form not in _DRY_FORMS:
        raise UsageError(
            f"--dry-run prints requests, and these have no {form} form", next_step="use -o yaml, json or name"
        )
    progress = connection.progress()
    if namespace not in {None, keys.CONSUMER_NAMESPACE}:
        progress.note(f"--namespace has no effect here: bindings are kept in {keys.CONSUMER_NAMESPACE}")
    if len(urls) > 1:
        progress.note(f"only the first address is used: {inert(address)}")
    wish = Wish(
        url=address,
        web=Web(
            timeout=connection.request_timeout,
            ca_file=provider_ca_file or "",
            allow_http=allow_plain_http,
            http_hint=_HTTP,
            ca_hint="a private CA has to be named with --provider-ca-file",
        ),
        timeout=login_timeout,
        open_address=None if no_browser or not can_open(os.environ) else open_address,
        write=not dry_run,
        remote_namespace=choices.remote_namespace,
        allow_private=choices.allow_private_provider,
        claimable=choices.claimable,
    )
    with connection.app_cluster(progress) as app_cluster:
        consumer = ConsumerSide(app_cluster, progress)
        chosen = log_in(wish, consumer, progress)
        if dry_run:
            click.echo(_requests(chosen.requests, form or "yaml"), nl=False)
            return
        outcomes = _bind(
            connection, choices, chosen, consumer, progress, wait=wait, move_provider=move_provider
        )
        click.echo(result(outcomes, consumer, form or "table", managed_fields=show_managed_fields), nl=False)


def _address(urls: tuple[str, ...]) -> str:
    """The first address (spec 7.1).

    Raises:
        UsageError: there is none, or something else among them.
    """
    for one in urls:
        if not one.startswith(SCHEMES):
            raise UsageError(
                f"unknown argument {inert(one, limit=100)!r}",
                next_step="give a provider's https address, or a command before all options; `kubectl bind --help`"
                " lists them",
            )
    if not urls:
        raise UsageError(
            "the provider's address is missing", next_step="kubectl bind https://PROVIDER/export"
        )
    return urls[0]


def _requests(requests: tuple[ExportRequest, ...], form: str) -> str:
    manifests = [one.manifest(name=one.name, generate_name="export-") for one in requests]
    if form == "name":
        return "".join(f"{one.name or 'export-(generated)'}\n" for one in requests)
    return render_object(manifests[0] if len(manifests) == 1 else manifests, form)


def _bind(
    connection: Connection,
    choices: Choices,
    chosen: Chosen,
    consumer: ConsumerSide,
    progress: Progress,
    *,
    wait: bool,
    move_provider: bool,
) -> list[Outcome]:
    """Bind one request after the other; what an earlier one wrote is told when a later one fails."""
    outcomes: list[Outcome] = []
    questions = asker()
    claimed = frozenset(
        claim.group_resource for one in chosen.requests for api in one.wanted for claim in api.claims
    )
    try:
        with provider_side(connection, chosen.kubeconfig, progress) as provider:
            for request in chosen.requests:
                plan = choices.plan(request, chosen.kubeconfig, wait=wait, move_provider=move_provider)
                # What was chosen together is answered together: a kind may be listed for another one's claim.
                plan = replace(plan, claimed_elsewhere=claimed)
                if outcomes:
                    # The first one has installed what was asked for.
                    plan = replace(plan, image="")
                outcomes.append(Flow(provider, consumer, questions, progress).run(plan))
    except CliError as error:
        written = tuple(entry for outcome in outcomes for entry in outcome.written)
        raise error.with_left(written) from None
    return outcomes
