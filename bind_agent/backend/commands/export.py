"""`bind-backend export`: see exports, and end them in good time."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import orjson
import yaml

from bind_agent.api import conditions, goduration, meta, naming
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.text import printable
from bind_agent.backend import names, retirement
from bind_agent.backend.access import Kind
from bind_agent.backend.commands.output import table
from bind_agent.backend.commands.session import Session, run
from bind_agent.backend.options.connection import Connection, connection_options
from bind_agent.backend.options.tenancy import Tenancy
from bind_agent.backend.options.types import Duration, F
from bind_agent.backend.retiring import Offer, Retirements
from bind_agent.goflags import GoGroup

_GRACE = timedelta(days=30)
_COLUMNS = ("namespace", "export", "ready", "template", "retires", "note", "message")


@click.group(name="export", cls=GoGroup)
def export() -> None:
    """Exports of tenants: what each of them has been given."""


def _whose(command: F) -> F:
    command = click.option("--all", "everybody", is_flag=True, help="Of every tenant that has it.")(command)
    return click.option("--tenant", metavar="NAME|NAMESPACE", default="", help="Of this tenant.")(command)


@export.command(name="list")
@click.option("--tenant", metavar="NAME|NAMESPACE", default="", help="Of this tenant only.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True
)
@connection_options
def list_(tenant: str, output: str, connection: Connection) -> None:
    """Show exports, which of them retire, and what has retired."""

    async def work(session: Session) -> Sequence[Offer]:
        return await Retirements(session.client).list(await _namespaces(session, tenant))

    rows = [_row(one) for one in run(connection, Tenancy(), work)]
    if output == "json":
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    elif output == "yaml":
        click.echo(yaml.safe_dump(rows, sort_keys=False), nl=False)
    elif not rows:
        click.echo("no exports: tenants get them when they bind", err=True)
    else:
        click.echo(table(_COLUMNS, [_shown(row) for row in rows]))


@export.command(name="retire")
@click.argument("resource", metavar="RESOURCE.GROUP")
@_whose
@click.option(
    "--grace",
    type=Duration(timedelta(seconds=1), timedelta(days=3650)),
    default=goduration.format(_GRACE),
    show_default=True,
    help="How long it goes on. Consumers see the date on their binding at once.",
)
@click.option("--note", default="", help="What to tell the consumers, for instance what to use instead.")
@connection_options
def retire(
    resource: str, tenant: str, everybody: bool, grace: timedelta, note: str, connection: Connection
) -> None:
    """Announce the end of an export.

    At the end the backend deletes the export and the tenant's rights on the kind; objects in its service
    namespaces stay. Until `export restore` the tenant does not get it again.
    """
    kind, at = _kind(resource), datetime.now(UTC) + grace
    if len(note) > retirement.NOTE_LIMIT:
        raise click.UsageError(f"--note may have {retirement.NOTE_LIMIT} characters at most")

    async def one(session: Session, namespace: str) -> str:
        planned = await Retirements(session.client).retire(namespace, kind, at=at, note=note)
        return f"{namespace}: {kind} ends at {conditions.timestamp(planned.at)}, if a backend runs"

    def concerned(offer: Offer) -> bool:
        return offer.export is not None

    _each(kind, tenant, everybody, connection, concerned, one)


@export.command(name="restore")
@click.argument("resource", metavar="RESOURCE.GROUP")
@_whose
@connection_options
def restore(resource: str, tenant: str, everybody: bool, connection: Connection) -> None:
    """Take the end of an export back; after the end, let it be requested again."""
    kind = _kind(resource)

    async def one(session: Session, namespace: str) -> str:
        stands = await Retirements(session.client).restore(namespace, kind)
        after = "goes on" if stands else "may be requested again"
        return f"{namespace}: {kind} {after}"

    def concerned(offer: Offer) -> bool:
        return bool(offer.retired) or retirement.planned(offer.export or {}) is not None

    _each(kind, tenant, everybody, connection, concerned, one)


def _each(
    kind: Kind,
    tenant: str,
    everybody: bool,
    connection: Connection,
    concerned: Callable[[Offer], bool],
    one: Callable[[Session, str], Any],
) -> None:
    if bool(tenant) is everybody:
        raise click.UsageError("name one tenant with --tenant, or take --all")

    async def work(session: Session) -> list[str]:
        namespaces = await _namespaces(session, tenant)
        if everybody:
            offers = await Retirements(session.client).list(namespaces)
            namespaces = [offer.namespace for offer in offers if offer.name == str(kind) and concerned(offer)]
        return [await one(session, namespace) for namespace in namespaces]

    said = run(connection, Tenancy(), work)
    if not said:
        raise click.ClickException(f"no tenant is concerned: `bind-backend export list` shows who has {kind}")
    for line in said:
        click.echo(line)


async def _namespaces(session: Session, tenant: str) -> Sequence[str]:
    if tenant:
        return [(await session.tenants.find(tenant)).namespace]
    return [one.namespace for one in await session.tenants.list()]


def _kind(text: str) -> Kind:
    plural, _, group = text.partition(".")
    if not (naming.is_resource(plural) and group and naming.is_group(group)):
        raise click.UsageError(
            f"{text!r} is no resource: write plural.group, for instance databases.example.org"
        )
    return Kind(group, plural)


def _row(offer: Offer) -> dict[str, Any]:
    found = offer.export or {}
    ready = conditions.get(conditions.of(found), ConditionType.READY)
    planned = retirement.planned(found)
    return {
        "namespace": offer.namespace,
        "export": offer.name,
        "ready": "" if ready is None else ready.status,
        "message": "" if ready is None else printable(ready.message),
        "template": printable(meta.annotation(found, names.TEMPLATE), 120),
        "retires": printable(offer.retired, 32) if planned is None else conditions.timestamp(planned.at),
        "retired": offer.export is None,
        "note": "" if planned is None else planned.note,
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row as people read it: what has ended says so, and what is not ready says why."""
    return {
        **row,
        "ready": "retired" if row["retired"] else row["ready"],
        "message": "" if row["ready"] == "True" else row["message"],
    }
