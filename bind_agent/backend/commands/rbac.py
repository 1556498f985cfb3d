"""`bind-backend rbac`: the ClusterRole that belongs beside a template."""

import click
import yaml

from bind_agent.api import naming
from bind_agent.api.meta import Object
from bind_agent.api.resource import EXPORT_TEMPLATES
from bind_agent.backend import access
from bind_agent.backend.access import Kind, claimed_kind
from bind_agent.backend.claims import parse_kind
from bind_agent.backend.commands.session import Session, run
from bind_agent.backend.exports import refuse_kind
from bind_agent.backend.options.connection import Connection, connection_options
from bind_agent.backend.options.tenancy import Tenancy
from bind_agent.backend.templates import Choice, choose, selected_kind
from bind_agent.goflags import GoCommand


@click.command(name="rbac", cls=GoCommand)
@click.argument("resource", metavar="RESOURCE.GROUP")
@click.option(
    "--claim",
    "extra",
    multiple=True,
    metavar="PLURAL[.GROUP]",
    help="A claimed kind; with this no cluster and no template is needed.",
)
@connection_options
def rbac(resource: str, extra: tuple[str, ...], connection: Connection) -> None:
    """Print the ClusterRole that lets the backend export RESOURCE.GROUP, with the claims of its template.

    The backend hands on what it holds and nothing else, so a platform team ships this beside each template:
    `bind-backend rbac databases.example.org | kubectl apply -f -`.
    """
    plural, _, group = resource.partition(".")
    kind = Kind(group, plural)
    if not naming.is_resource(plural) or not naming.is_group(group):
        raise click.UsageError(
            f"{resource!r} is no resource: write plural.group, for instance databases.example.org"
        )
    if (problem := refuse_kind(kind)) is not None:
        raise click.UsageError(problem.message)
    try:
        claimed = {parse_kind(one) for one in extra}
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not extra:
        claimed = _claims(connection, kind)
    click.echo(yaml.safe_dump(access.export_role(str(kind), {kind, *claimed}), sort_keys=False), nl=False)


def _claims(connection: Connection, kind: Kind) -> set[Kind]:
    async def work(session: Session) -> list[Object]:
        found = await session.client.list(EXPORT_TEMPLATES)
        return [one for one in found.items if selected_kind(one) == kind]

    choice: Choice | None = choose(run(connection, Tenancy(), work))
    if choice is None:
        raise click.ClickException(
            f"no template on the provider selects {kind}: apply it first, or name the claimed kinds"
            " with --claim"
        )
    if choice.ambiguous:
        raise click.ClickException(
            f"several templates select {kind} ({choice.all_keys}): delete all but one, or name the claimed"
            " kinds with --claim"
        )
    return {claimed_kind(claim) for claim in choice.claims}
