"""What a consumer reads of a text that was written for the platform team: pure.

Conditions and failures name the command that helps. Consumers cannot run it; they are told whom to ask.
"""

import re
from typing import Final

ASK: Final = "ask the operators of this provider"

_COMMAND: Final = re.compile(r"`bind-backend [^`]*`")
_BREAK: Final = re.compile(r"[:;.] ")


def for_consumers(text: str) -> str:
    """A text without the part that names a command of the platform team."""
    found = _COMMAND.search(text)
    if found is None:
        return text
    ends = [one.start() for one in _BREAK.finditer(text, 0, found.start())]
    full_stop = "." if text.endswith(".") else ""
    return f"{text[: ends[-1]]}; {ASK}{full_stop}" if ends else f"{ASK[0].upper()}{ASK[1:]}{full_stop}"
