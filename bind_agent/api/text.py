"""Text of the other side, made fit to be shown (threats A39)."""

import unicodedata
from typing import Final

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that move the cursor, reverse the order of letters, break lines or show
nothing."""


def printable(text: object, limit: int = 256) -> str:
    """One line of text for a terminal, a log, a condition or a page.

    Control characters, escape sequences' first characters, bidirectional overrides and line breaks become
    spaces, and runs of spaces one; what is longer than the limit is cut with a visible mark. Escaping for
    HTML is the page's job.

    Args:
        text: anything; its `str` is used.
        limit: most characters of the result, at least 2.
    """
    # Cut first: normalising a megabyte to show a line of it is the other side's joke at our cost.
    raw = str(text)[: limit * 4]
    # Nearly all text has none of these characters, and asking for each one costs thirty times as much.
    clean = (
        raw
        if raw.isprintable()
        else "".join(" " if unicodedata.category(char) in _UNSAFE else char for char in raw)
    )
    line = " ".join(clean.split())
    if len(line) <= limit and len(raw) == len(str(text)):
        return line
    return line[: limit - 1] + "\u2026"
