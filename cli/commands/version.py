"""``kubectl bind version``."""

import click

from bind_agent._version import __version__
from cli.binding.install import default_image
from cli.options import output
from cli.output import render_object


@click.command()
@output("text", "json", "yaml", default="text")
def version(form: str) -> None:
    """Print the version of this program and of the konnector that belongs to it."""
    if form == "text":
        click.echo(f"kubectl-bind v{__version__}\nkonnector image {default_image()}")
    else:
        answer = {"version": f"v{__version__}", "konnectorImage": default_image()}
        click.echo(render_object(answer, form), nl=False)
