"""Where the user's caches and playgrounds lie."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from bind_agent.devcluster.errors import PlaygroundError

CACHE_VARIABLE = "BIND_AGENT_CACHE"
PLAYGROUND_VARIABLE = "BIND_AGENT_DEV_DIR"
_PRODUCT = "bind-agent"


def cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return ``$BIND_AGENT_CACHE``, else ``bind-agent`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if own := environment.get(CACHE_VARIABLE):
        return Path(own).expanduser().absolute()
    return _base(environment, "XDG_CACHE_HOME", ".cache") / _PRODUCT


def playground(environment: Mapping[str, str] = os.environ) -> Path:
    """Return ``$BIND_AGENT_DEV_DIR``, else ``bind-agent/dev`` in ``$XDG_STATE_HOME`` or ``~/.local/state``.

    One place per user, so that every command finds the playground from whatever folder it is called in.
    """
    if own := environment.get(PLAYGROUND_VARIABLE):
        return Path(own).expanduser().absolute()
    return _base(environment, "XDG_STATE_HOME", ".local/state") / _PRODUCT / "dev"


def option(directory: Path, environment: Mapping[str, str] = os.environ) -> str:
    """Return what a command needs besides to mean this playground: `` --dir DIR``, or nothing for the usual place."""
    return "" if directory == playground(environment) else f" --dir {shlex.quote(str(directory))}"


def make(directory: Path) -> None:
    """Make the directory of a playground, if it is not there.

    Raises:
        PlaygroundError: That is not possible.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        usable = os.access(directory, os.W_OK | os.X_OK)
    except OSError as error:
        raise PlaygroundError(
            f"the directory {directory} cannot be made ({error.strerror}): name another one with --dir"
        ) from error
    if not usable:
        raise PlaygroundError(f"the directory {directory} cannot be written to: name another one with --dir")


def taken(directory: Path) -> PlaygroundError:
    """Say that a playground runs there already."""
    where = option(directory)
    return PlaygroundError(
        f"a playground runs in {directory} already: see `kubectl bind dev status{where}`, stop it with "
        f"`kubectl bind dev down{where}`, or name another directory with --dir"
    )


def _base(environment: Mapping[str, str], variable: str, default: str) -> Path:
    # The base directory specification has relative paths in these variables ignored.
    value = environment.get(variable, "")
    return Path(value) if value.startswith("/") else Path.home() / default
