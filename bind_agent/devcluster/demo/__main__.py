"""Command line of the operator: ``python -m bind_agent.devcluster.demo --kubeconfig PATH``."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import click
import kopf

from bind_agent.devcluster.demo.app import InvalidOption, Options, run
from bind_agent.devcluster.demo.bundle import ServerFailed
from bind_agent.devcluster.demo.databases import ServerError
from bind_agent.kube.errors import KubeError


@click.command(context_settings={"auto_envvar_prefix": "POSTGRESQL_OPERATOR"})
@click.option("--kubeconfig", help="The cluster to serve. Default: $KUBECONFIG or the pod's service account.")
@click.option(
    "--dsn",
    default="",
    help="Administrator's connection string of a server of your own. Give a password by $PGPASSWORD or "
    "$POSTGRESQL_OPERATOR_DSN, which other users of the machine cannot see. Default: the bundled server.",
)
@click.option("--advertise", default="", metavar="HOST[:PORT]", help="Where users find the server of --dsn.")
@click.option("--sslmode", default="", help="What users of the server of --dsn are told to use.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the bundled server keeps its data. Default: a temporary folder, gone at the end.",
)
@click.option(
    "--resync",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="Seconds between two looks at an object that nobody changed.",
)
@click.option("--verbose", is_flag=True, help="Show the framework's own messages too.")
def main(*, verbose: bool, **options: Any) -> None:
    """Give each postgresqls object a database and a role on a PostgreSQL server."""
    kopf.configure(log_prefix=True)
    logging.getLogger("kopf").setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        asyncio.run(run(Options(**options)))
    except (InvalidOption, ServerFailed, ServerError, KubeError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
