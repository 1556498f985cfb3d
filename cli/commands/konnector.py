"""``kubectl bind konnector``: the agent that runs in the app cluster."""

import click

from cli.binding.install import check_image, default_image, manifests
from cli.options import output
from cli.output import render_object


@click.group()
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
@output("yaml", "json", default="yaml")
def show_manifests(image: str, form: str) -> None:
    r"""Print what `kubectl bind apiservice` would install.

    No cluster is touched. To install it yourself, for instance with other rights than those who bind:

    \b
      kubectl bind konnector manifests | kubectl apply --server-side -f -
    """
    click.echo(render_object(manifests(check_image(image)), form), nl=False)
