"""Where the user's caches and playgrounds lie."""

import os
from collections.abc import Mapping
from pathlib import Path

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


def _base(environment: Mapping[str, str], variable: str, default: str) -> Path:
    # The base directory specification has relative paths in these variables ignored.
    value = environment.get(variable, "")
    return Path(value) if value.startswith("/") else Path.home() / default
