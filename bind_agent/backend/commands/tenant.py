"""`bind-backend tenant`: onboarding without a browser."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import orjson
import yaml

from bind_agent import handout
from bind_agent.api import conditions, goduration, meta, naming
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.text import printable
from bind_agent.backend import names
from bind_agent.backend.allowed import EVERYTHING
from bind_agent.backend.commands import bundle
from bind_agent.backend.commands.output import table
from bind_agent.backend.commands.session import Session, run
from bind_agent.backend.options.connection import Connection, connection_options
from bind_agent.backend.options.tenancy import Tenancy, check_issuer, reaper_options, tenancy_options
from bind_agent.backend.options.types import Duration
from bind_agent.backend.tenancy.address import AddressError, is_local
from bind_agent.backend.tenancy.credentials import REVOKED_WITHIN
from bind_agent.backend.tenancy.identity import Identity, IdentityError, distinguished, identity
from bind_agent.backend.tenancy.kubeconfig import Issued
from bind_agent.backend.tenancy.provision import Added, Tenant
from bind_agent.backend.tenancy.reaper import Limits, judge
from bind_agent.goflags import GoGroup

_OVERLAP = timedelta(minutes=10)
_COLUMNS = (
    "namespace",
    "name",
    "clusterId",
    "issuer",
    "ready",
    "konnector",
    "lastHeartbeat",
    "silence",
    "credential",
)


@click.group(name="tenant", cls=GoGroup)
def tenant() -> None:
    """Consumers of this provider: one tenant is a person or team with one app cluster."""


@tenant.command(name="add")
@click.argument("name")
@click.option(
    "--cluster-id",
    required=True,
    help="Which app cluster: any text that tells it from others, say the UID of its namespace kube-system.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the kubeconfig (mode 0600); default: standard output.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="RESOURCE.GROUP|*",
    help="What the tenant may request; without it all APIs that are open to everybody. Replaces what an"
    " earlier --allow said.",
)
@click.option(
    "--issuer",
    default="",
    metavar="URL",
    help="NAME is the subject of an account at this issuer, which finds the tenant when it logs in.",
)
@bundle.options
@connection_options
@tenancy_options
def add(
    name: str,
    cluster_id: str,
    out: Path | None,
    allow: tuple[str, ...],
    issuer: str,
    bundle_: bundle.Handout | None,
    connection: Connection,
    tenancy: Tenancy,
) -> None:
    """Add the tenant NAME, or hand its kubeconfig out again.

    The kubeconfig is what `kubectl bind apiservice --remote-kubeconfig` takes. It holds a token that expires;
    the konnector follows its renewal by itself. With --bundle and --api, the APIs are asked for as well, and the file
    is all that the app cluster needs: `kubectl apply --server-side -f FILE` binds there.

    A tenant that is added without --issuer belongs to the command line: no login reaches it, whatever its
    subject.
    """
    try:
        who = identity(name, cluster_id, check_issuer(issuer, "--issuer"))
    except IdentityError as error:
        raise click.UsageError(str(error)) from None
    kinds = _allowed(allow, who)

    namesakes: list[str] = []

    async def work(session: Session) -> Added:
        if isinstance(session.endpoint, AddressError):
            raise session.endpoint
        namesakes.extend(
            f"note: {one.namespace} is another tenant of that name and cluster id ({distinguished(one.who)}); if you"
            f" meant that one: {session.tenants.add_command(one.who)}"
            for one in await session.tenants.namesakes(who)
        )
        added = await session.tenants.add(
            who, prefix=tenancy.namespace_prefix, pretty_name=tenancy.pretty_name, allow=kinds
        )
        if bundle_ is not None:
            await bundle_.make(session, added)
        return added

    added = run(connection, tenancy, work)
    if out is not None:
        try:
            handout.write(out, added.kubeconfig)
        except handout.HandoutError as error:
            raise click.ClickException(
                f"{error}; the tenant {added.namespace} exists, repeat this with another --out"
            ) from None
    elif bundle_ is None:
        sys.stdout.buffer.write(added.kubeconfig)
        sys.stdout.buffer.flush()
    if bundle_ is not None:
        bundle_.say(added)
    else:
        _say_added(added, out)
    for note in namesakes:
        click.echo(note, err=True)


def _allowed(allow: tuple[str, ...], who: Identity) -> frozenset[str]:
    """Check `--allow`.

    Raises:
        click.UsageError: one of them is no resource, or the tenant is an account's.
    """
    if allow and who.issuer:
        raise click.UsageError(
            "--allow is for tenants of the command line: what an account may bind is up to spec.allowed of"
            " the templates"
        )
    for one in allow:
        plural, _, group = one.partition(".")
        if one != EVERYTHING and not (naming.is_resource(plural) and group and naming.is_group(group)):
            raise click.UsageError(
                f"--allow {one!r} is no resource: write plural.group, for instance databases.example.org, or *"
            )
    return frozenset(allow)


def _say_added(added: Added, out: Path | None) -> None:
    """Tell on standard error, because standard output may be the kubeconfig."""
    verb = "added" if added.created else "exists"
    expires = conditions.timestamp(added.credential.expires) if added.credential.expires else "never"
    click.echo(
        f"tenant {verb}: namespace {added.namespace}, token until {expires} (renewed before)", err=True
    )
    issued = added.credential.issued
    if isinstance(issued, Issued) and is_local(issued.endpoint.server):
        click.echo(
            f"note: {issued.endpoint.server} is reachable from this machine only;"
            " --external-address sets another",
            err=True,
        )
    where = out or "FILE"
    click.echo(
        f"next, with a kubeconfig of the app cluster: kubectl bind apiservice --remote-kubeconfig {where}"
        " -f REQUEST.yaml",
        err=True,
    )


@tenant.command(name="list")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True
)
@reaper_options
@connection_options
def list_(output: str, reaper: Limits, connection: Connection) -> None:
    """Show all tenants and whether their konnectors are alive.

    With the reaper's flags it also shows what a backend with these flags would do, and when at the earliest;
    nothing is changed.
    """
    now = datetime.now(UTC)

    async def work(session: Session) -> Sequence[Tenant]:
        return await session.tenants.list()

    rows = [_row(one, reaper, now) for one in run(connection, Tenancy(), work)]
    if output == "json":
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    elif output == "yaml":
        click.echo(yaml.safe_dump(rows, sort_keys=False), nl=False)
    elif not rows:
        click.echo("no tenants yet: `bind-backend tenant add NAME --cluster-id ID`", err=True)
    else:
        click.echo(table(_COLUMNS, rows))


@tenant.command(name="rotate")
@click.argument("tenant_", metavar="NAME|NAMESPACE")
@click.option("--now", is_flag=True, help="End the old credential at once, without overlap.")
@click.option(
    "--overlap",
    type=Duration(timedelta(0), timedelta(days=7)),
    default=None,
    show_default=goduration.format(_OVERLAP),
    help="How long the old credential goes on working.",
)
@connection_options
@tenancy_options
def rotate(
    tenant_: str, now: bool, overlap: timedelta | None, connection: Connection, tenancy: Tenancy
) -> None:
    """Issue a new credential for NAME (a tenant's name, namespace or NAME#CLUSTER-ID).

    Konnectors that are connected pick it up by themselves. One that is cut off while `--now` is given needs
    the output of `bind-backend tenant add` again.
    """
    if now and overlap is not None:
        raise click.UsageError(
            "--now ends the old credential at once, --overlap lets it go on for a while: give one of them"
        )
    span = timedelta(0) if now else _OVERLAP if overlap is None else overlap

    async def work(session: Session) -> tuple[Tenant, str]:
        found = await session.tenants.find(tenant_)
        state = await session.tenants.rotate(found, overlap=span)
        return found, conditions.timestamp(state.expires) if state.expires else "never"

    found, expires = run(connection, tenancy, work)
    old = "ended" if not span else f"works for another {goduration.format(span)}, if a backend runs"
    click.echo(f"{found.namespace}: new credential until {expires}; the old one {old}")


@tenant.command(name="revoke")
@click.argument("tenant_", metavar="NAME|NAMESPACE")
@click.option("--delete", is_flag=True, help="Also delete the tenant with everything in its namespaces.")
@click.option("--yes", is_flag=True, help="Do not ask before --delete.")
@connection_options
def revoke(tenant_: str, delete: bool, yes: bool, connection: Connection) -> None:
    """End every credential of a tenant at once.

    Without --delete its namespaces and objects stay as they are; `tenant add` lets it back in.
    """

    async def find(session: Session) -> Tenant:
        return await session.tenants.find(tenant_)

    found = run(connection, Tenancy(), find)
    question = (
        f"Delete namespace {found.namespace}, its service namespaces and every service instance in them?"
    )
    if delete and not yes and not click.confirm(question, err=True):
        raise click.ClickException("nothing was revoked and nothing deleted")

    async def work(session: Session) -> None:
        await session.tenants.revoke(found, delete=delete)

    run(connection, Tenancy(), work)
    click.echo(
        f"{found.namespace}: all credentials ended; API servers remember a token for up to"
        f" {goduration.format(REVOKED_WITHIN)}, and a watch that is open goes on until its time is up: after a"
        " theft restart them before `tenant add`"
    )
    if delete:
        click.echo(f"{found.namespace}: being deleted; the running backend deletes its service namespaces")
    else:
        click.echo(
            f"what stays: namespace {found.namespace}, its exports, and service namespaces with"
            " their content;"
            f" `bind-backend tenant revoke --delete {found.namespace}` removes them"
        )


def _silence(one: Tenant, limits: Limits, now: datetime) -> str:
    """What follows from a consumer's silence: by these limits, or as the running backend announced it."""
    if one.binding is None:
        return ""
    if limits.revoke_after is None:
        announced = conditions.get(conditions.of(one.binding), names.CONSUMER_SEEN)
        return "" if announced is None else printable(announced.reason, 32)
    due = judge(one.binding, limits, now=now, watched=limits.notice).due
    return "" if due is None else f"{due[0]} {conditions.timestamp(due[1])}"


def _row(one: Tenant, limits: Limits, now: datetime) -> dict[str, Any]:
    binding = one.binding or {}
    status = binding.get("status") or {}
    ready = conditions.get(conditions.of(binding), ConditionType.READY)
    issued = conditions.get(conditions.of(binding), names.CREDENTIAL_ISSUED)
    who = one.who or Identity("", "")
    state = "" if issued is None else ("issued" if issued.status == "True" else issued.reason)
    return {
        "namespace": one.namespace,
        "name": printable(who.subject, 80),
        "clusterId": printable(who.cluster_id, 64),
        "issuer": printable(who.issuer, 80),
        "allowed": printable(meta.annotation(binding, names.ALLOWED_KINDS), 256),
        "ready": "" if ready is None else ready.status,
        "message": "" if ready is None else printable(ready.message),
        "konnector": printable(status.get("konnectorVersion") or "", 32),
        "lastHeartbeat": printable(status.get("lastHeartbeatTime") or "", 32),
        "silence": _silence(one, limits, now),
        "credential": "revoked" if meta.annotation(binding, names.REVOKED) else state,
    }
