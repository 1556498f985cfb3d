"""``kubectl bind``: the command group, and the one place where failures become exit codes."""

import sys

import click

from bind_agent._version import __version__
from cli.commands.apiservice import apiservice
from cli.commands.bundle import bundle
from cli.commands.demo import demo
from cli.commands.dev import dev
from cli.commands.konnector import konnector
from cli.commands.url import url
from cli.commands.version import version
from cli.errors import CliError, ExitCode
from cli.options import report

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class UrlGroup(click.Group):
    """A group that takes a provider's address in the place of a command (spec 7.1)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `url` in front of what begins neither with a command nor with an option of the group."""
        own = {*ctx.help_option_names, "--version"}
        if args and args[0] not in own and args[0] not in self.commands:
            args = ["url", *args]
        return super().parse_args(ctx, args)


@click.group(
    name="kubectl-bind",
    cls=UrlGroup,
    context_settings=_SETTINGS,
    no_args_is_help=True,
    subcommand_metavar="URL | COMMAND [ARGS]...",
)
@click.version_option(__version__, prog_name="kubectl-bind")
def bind() -> None:
    """Bind APIs of a provider's control plane into this cluster.

    With a provider's URL: log in there in the browser and bind what you choose; `kubectl bind url --help` lists the
    options. The binary is called kubectl-bind, so that kubectl runs it as `kubectl bind`.
    """


dev.add_command(demo)
for command in (url, apiservice, bundle, konnector, dev, version):
    bind.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with a code of `cli.errors.ExitCode`."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what stands after the program's name; ``sys.argv`` by default.

    Returns:
        The exit code.
    """
    try:
        result = bind.main(arguments, prog_name="kubectl bind", standalone_mode=False)
    except CliError as error:
        return report(error)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.stderr.write("\ninterrupted\n")
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show(sys.stderr)
        return ExitCode.USAGE
    return result if isinstance(result, int) else ExitCode.OK


if __name__ == "__main__":
    main()
