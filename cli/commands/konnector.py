"""``kubectl bind konnector``: the agent that runs in the app cluster."""

import click

from bind_agent import claim_flag
from bind_agent.api import keys
from bind_agent.api.resource import BINDINGS
from bind_agent.goflags import GoGroup
from cli.binding.install import check_image, default_image, manifests
from cli.binding.objects import conflict_policy_of, role_manifest
from cli.binding.request import Wanted
from cli.binding.survey import Standing, find_binding
from cli.commands.choices import ALLOW_CLAIM
from cli.errors import CliError
from cli.options import Connection, connection, output
from cli.output import inert, render_object


@click.group(cls=GoGroup)
def konnector() -> None:
    """The agent in the app cluster."""


@konnector.command(name="manifests")
@click.option(
    "--konnector-image",
    "image",
    metavar="IMAGE",
    default=default_image,
    show_default="the one of this version",
    help="Image of the konnector.",
)
@ALLOW_CLAIM
@output("yaml", "json", default="yaml")
def show_manifests(image: str, allow_claim: tuple[str, ...], form: str) -> None:
    """Print what `kubectl bind apiservice` would install.

    No cluster is touched. To install it yourself, for instance with other rights than those who bind:

    \b
      kubectl bind konnector manifests | kubectl apply --server-side -f -
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    arguments = claim_flag.arguments(allow_claim)
    click.echo(render_object(manifests(check_image(image), arguments), form), nl=False)


@konnector.command(name="rbac")
@click.argument("name", metavar="BINDING")
@click.option(
    "--namespace",
    metavar="NAMESPACE",
    default=keys.CONSUMER_NAMESPACE,
    show_default=True,
    help="Where the binding is; in control plane mode the root namespace.",
)
@output("yaml", "json", default="yaml")
@connection
def show_role(*, connection: Connection, name: str, namespace: str, form: str) -> None:
    """Print the role that the konnector needs for BINDING (PLURAL.GROUP).

    It is made from the binding: the bound API and the claims that were accepted. Nothing is
    written. To put back a role that was deleted or changed:

    \b
      kubectl bind konnector rbac postgresqls.example.com | kubectl apply --server-side -f -

    In control plane mode the binding is on the control plane, and the role belongs on the app
    cluster:

    \b
      kubectl bind konnector rbac postgresqls.example.com \\
        --kubeconfig CONTROL_PLANE --namespace ROOT \\
        | kubectl --kubeconfig APP_CLUSTER apply --server-side -f -
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    with connection.app_cluster(connection.progress()) as cluster:
        served = cluster.served(BINDINGS.group, BINDINGS.version, BINDINGS.plural)
        binding = find_binding(cluster, served, name, namespace=namespace)
    if binding is None:
        raise CliError(
            f"there is no binding {inert(name)} in namespace {inert(namespace)}",
            next_step="see which there are: kubectl get apiservicebindings --all-namespaces",
        )
    plural, _, group = name.partition(".")
    wanted = Wanted(group, plural)
    claims, policy = Standing(wanted, binding).claims, conflict_policy_of(binding)
    role = role_manifest(wanted, claims, conflict_policy=policy)
    click.echo(render_object(role, form), nl=False)
