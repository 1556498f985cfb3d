"""Tables for people."""

import re
from collections.abc import Mapping, Sequence
from typing import Any


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows under headings made of the columns' names, as wide as their content.

    Args:
        columns: keys of the rows, in camelCase.
        rows: one mapping per line; empty values show as a dash.
    """
    heads = tuple(re.sub("([A-Z])", r" \1", column).upper() for column in columns)
    lines = [heads, *(tuple(str(row[column]) or "-" for column in columns) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(heads))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
