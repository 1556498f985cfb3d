"""Entry point of `bind-backend`.

Without a command it serves, so that the arguments of a Go backend work as they are.
"""

import sys
from collections.abc import Sequence

import click

from bind_agent._version import __version__
from bind_agent.backend import serve
from bind_agent.backend.commands.export import export
from bind_agent.backend.commands.rbac import rbac
from bind_agent.backend.commands.tenant import tenant
from bind_agent.backend.options.serve import serve_command
from bind_agent.goflags import GoGroup

_DEFAULT = "serve"
_INTERRUPTED = 130


class DefaultGroup(GoGroup):
    """A group whose default command need not be written."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `serve` in front of bare flags."""
        own = set(ctx.help_option_names) | {"--version"}
        if not args or (args[0].startswith("-") and args[0] not in own):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=DefaultGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="bind-backend")
def cli() -> None:
    """Offer APIs of this cluster to app clusters. Without a command: serve."""


cli.add_command(serve_command(serve.run))
cli.add_command(tenant)
cli.add_command(export)
cli.add_command(rbac)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what stands after the program's name; ``sys.argv`` by default.

    Returns:
        The exit code; 130 after Ctrl-C, as shells have it.
    """
    try:
        result = cli.main(arguments, prog_name="bind-backend", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("\ninterrupted", err=True)
        return _INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
