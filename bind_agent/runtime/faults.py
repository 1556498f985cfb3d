"""Errors as log fields that cannot carry content of objects."""

import traceback
from pathlib import Path
from typing import Final

from bind_agent.kube.errors import KubeError, clean
from bind_agent.runtime.listening import ListenError
from bind_agent.runtime.reconcile import LostLease, TerminalError, leaves

_TOLD: Final = (KubeError, TerminalError, LostLease, ListenError)
_FRAMES: Final = 4


def describe(error: BaseException) -> str:
    """One line about an error for a log or a health page.

    Errors of our own types speak for themselves. The text of any other error may quote what it choked on (a
    decoder the document, `KeyError` the key, base64 the value), so only its type and the place are told.
    """
    told = [_describe_one(leaf) for leaf in leaves(error)]
    text = "; ".join(dict.fromkeys(told[:8]))
    return text if len(told) <= 8 else f"{text}; and {len(told) - 8} more"


def _describe_one(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, _TOLD):
        text = clean(str(error))
        return f"{name}: {text}" if text else name
    where = place(error)
    return f"{name} at {where}" if where else name


def place(error: BaseException) -> str:
    """Innermost frames of an error, `file:line in function`, innermost first; empty when never raised."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno} in {f.name}" for f in reversed(frames))
