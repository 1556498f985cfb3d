"""What a person sees while programs are fetched or built: lines on standard error.

On a terminal the line of a running step is rewritten in place; in a log file a new line appears every few
seconds.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TextIO

_TICK_TERMINAL = 1.0
_TICK_FILE = 15.0


class Progress:
    """Reports steps of a long preparation. Give ``stream=None`` for silence."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._terminal = stream is not None and stream.isatty()
        self._open_line = False
        self._lock = threading.Lock()

    @classmethod
    def stderr(cls) -> Self:
        """Report to standard error."""
        return cls(sys.stderr)

    @property
    def interval(self) -> float:
        """Seconds between two reports on the same step."""
        return _TICK_TERMINAL if self._terminal else _TICK_FILE

    def say(self, text: str) -> None:
        """Report something once."""
        with self._lock:
            self._write(text, final=True)

    def update(self, text: str, *, final: bool = False) -> None:
        """Report on a running step, in place where that is possible."""
        with self._lock:
            self._write(text, final=final)

    @contextmanager
    def ticking(self, text: str) -> Iterator[None]:
        """Report a step with its elapsed seconds for as long as the block runs."""
        begin = time.monotonic()
        done = threading.Event()

        def tick() -> None:
            while not done.wait(self.interval):
                self.update(f"{text} ... {time.monotonic() - begin:.0f} s")

        self.update(f"{text} ...")
        ticker = threading.Thread(target=tick, name="progress", daemon=True)
        ticker.start()
        try:
            yield
        finally:
            done.set()
            ticker.join()
        self.update(f"{text}: done in {time.monotonic() - begin:.0f} s", final=True)

    def _write(self, text: str, *, final: bool) -> None:
        if self._stream is None:
            return
        if self._terminal:
            self._stream.write(f"\r\x1b[K{text}" if self._open_line else text)
            self._open_line = not final
            if final:
                self._stream.write("\n")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


class Percentage:
    """Reports how far a transfer of known or unknown size has come.

    Attributes:
        done: Bytes so far.
    """

    def __init__(self, progress: Progress, label: str, total: int | None) -> None:
        self._progress = progress
        self._label = label
        self._total = total
        self._next = time.monotonic() + progress.interval
        self.done = 0

    def __enter__(self) -> Self:
        self._progress.update(self._text())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.update(self._text() if error is None else f"{self._text()}, given up", final=True)

    def add(self, count: int) -> None:
        """Count ``count`` more bytes."""
        self.done += count
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._progress.interval
            self._progress.update(self._text())

    def _text(self) -> str:
        mib = self.done / 2**20
        if not self._total:
            return f"{self._label}: {mib:.0f} MiB"
        return f"{self._label}: {100 * self.done // self._total:3d} % of {self._total / 2**20:.0f} MiB"
