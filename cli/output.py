"""What people and programs read: progress on stderr, results on stdout, foreign text made harmless.

Text that comes from the other side (names, messages, column titles) may hold control characters, escape
sequences or direction marks that repaint a terminal or turn a sentence around (threat A39); `inert`
shows them as escapes. Every function here that prints such text passes it through `inert`.
"""

import json
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from bind_agent.manifests import dump

_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAX_TEXT = 1000


def inert(text: object, *, limit: int = _MAX_TEXT) -> str:
    r"""The text with everything that could steer a terminal written as an escape (threat A39).

    Control and format characters (escape sequences, direction overrides, zero-width marks) and line breaks
    become ``\x1b``-like escapes; longer texts are cut. Letters of all languages stay.

    Args:
        text: anything; what is not a string is converted.
        limit: the greatest number of characters of the source that are shown.
    """
    source = text if isinstance(text, str) else str(text)
    shown = "".join(_visible(character) for character in source[:limit])
    return shown + "…" if len(source) > limit else shown


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE_CATEGORIES:
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class Progress:
    """Tells on stderr what is going on: one line per step.

    On a terminal a wait is one line that is refreshed with the seconds; elsewhere (pipelines, log files) each
    new state is a plain line once. Verbose lines appear with ``-v``.

    Args:
        stream: where to write, stderr by default.
        verbosity: 0 steps only, 1 requests as well.
        quiet: say nothing but notes.
    """

    def __init__(self, stream: TextIO | None = None, *, verbosity: int = 0, quiet: bool = False) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._tty = bool(getattr(self._stream, "isatty", lambda: False)())
        self._verbosity = verbosity
        self._quiet = quiet
        self._last_wait = ""

    def step(self, text: str) -> None:
        """A step that was done or is about to be done."""
        if not self._quiet:
            self._line(text)

    def note(self, text: str) -> None:
        """Something the person should know, shown also when quiet."""
        self._line(f"note: {text}")

    def detail(self, text: str) -> None:
        """Shown with ``-v``: requests and the like; never bodies or credentials."""
        if self._verbosity >= 1:
            self._line(f"  {text}")

    def waiting(self, text: str, *, since: float) -> None:
        """Refresh the line of a wait.

        Args:
            text: what is waited for, and why it takes time as far as known.
            since: `time.monotonic` of the start of the wait.
        """
        if self._quiet:
            return
        if self._tty:
            line = f"{text} ({time.monotonic() - since:.0f}s)"
            self._stream.write("\r\x1b[2K" + line)
            self._stream.flush()
            self._last_wait = line
        elif text != self._last_wait:
            self._line(text)
            self._last_wait = text

    def _line(self, text: str) -> None:
        if self._tty and self._last_wait:
            self._stream.write("\n")
        self._last_wait = ""
        self._stream.write(text + "\n")
        self._stream.flush()


def render_object(obj: Any, form: str) -> str:
    """Objects for programs.

    Args:
        obj: one object, or a list of objects (YAML: a stream of documents; JSON: a ``List``).
        form: ``json`` or ``yaml``.
    """
    many = isinstance(obj, list)
    if form == "json":
        value = {"apiVersion": "v1", "kind": "List", "items": obj} if many else obj
        return json.dumps(value, indent=2, ensure_ascii=True) + "\n"
    return dump(obj if many else [obj])


def without_managed_fields(obj: Any) -> Any:
    """An object of an API server without its field managers, which say nothing about it to a person."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def qualified_name(obj: Any, name: str) -> str:
    """``kind.group/name``, as kubectl prints names; ``kind/name`` in the core group."""
    group = str(obj.get("apiVersion") or "").rpartition("/")[0]
    kind = str(obj.get("kind") or "").lower()
    return inert(f"{kind}.{group}/{name}" if group else f"{kind}/{name}")


def render_columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table for people, columns padded to their widest cell.

    Args:
        header: column titles.
        rows: cells, as many as there are titles; ``None`` is shown as nothing.
    """
    cells = [[inert(title) for title in header]]
    cells += [["" if cell is None else inert(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "".join(line.rstrip() + "\n" for line in lines)


def with_cell(table: dict[str, Any], column: str, text: str) -> dict[str, Any]:
    """A server's table of one object with another text in a column; for what an API server cannot put into a cell.

    Of several values that a path selects, most versions show the first only.
    """
    columns = [
        one.get("name") if isinstance(one, dict) else "" for one in table.get("columnDefinitions") or []
    ]
    if column not in columns:
        return table
    place = columns.index(column)
    rows = [
        {**row, "cells": [text if i == place else cell for i, cell in enumerate(row.get("cells") or [])]}
        for row in table.get("rows") or []
    ]
    return {**table, "rows": rows}


def render_server_tables(tables: Sequence[dict[str, Any]], *, wide: bool = False) -> str:
    """The API server's own tables (``meta.k8s.io/v1`` Table), several of one kind below one header.

    Args:
        tables: what the server answered; columns of a priority above 0 show only when wide.
        wide: show every column.
    """
    header: list[str] = []
    rows: list[list[object]] = []
    for table in tables:
        columns = [column for column in table.get("columnDefinitions") or [] if isinstance(column, dict)]
        shown = [i for i, column in enumerate(columns) if wide or not column.get("priority")]
        header = header or [str(columns[i].get("name", "")).upper() for i in shown]
        for row in table.get("rows") or []:
            cells = row.get("cells") or []
            rows.append([cells[i] if i < len(cells) else None for i in shown][: len(header)])
    return render_columns(header, rows) if header else ""


def echo(text: str, write: Callable[[str], object] | None = None) -> None:
    """Write a result to stdout, as is."""
    (write or sys.stdout.write)(text)
