"""What the demonstration tells: to people while it runs, to programs at the end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

_INDENT: Final = "        "
_BOLD, _DIM, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"


@dataclass(slots=True)
class StepReport:
    """One step: what was typed, what came of it, how long it took.

    Attributes:
        number: place in the story, from 1.
        name: short name for programs.
        title: one line for people.
        commands: what a person would have typed, ready for a shell.
        outcome: lines about what came of it.
        facts: the same for programs.
        seconds: how long it took, also when it failed.
        ok: whether it ended well.
    """

    number: int
    name: str
    title: str
    commands: list[str] = field(default_factory=list)
    outcome: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    ok: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the demonstration ended early.

    Attributes:
        step: name of the step.
        reason: what happened.
        tails: last lines of the logs that belong to it, by name of the program.
        next_step: what a person can do.
    """

    step: str
    reason: str
    tails: dict[str, str]
    next_step: str


@dataclass(slots=True)
class Summary:
    """The whole demonstration.

    Attributes:
        steps: in order; the last one is the one that failed, if any.
        failure: None when all went well.
        interrupted: somebody asked it to end before it was through.
        seconds: from the beginning to the end of the last step.
    """

    steps: list[StepReport] = field(default_factory=list)
    failure: Failure | None = None
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every step ended well."""
        return self.failure is None and not self.interrupted

    def as_data(self) -> dict[str, Any]:
        """Plain data, for programs."""
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 2),
            "steps": [
                {
                    "number": step.number,
                    "name": step.name,
                    "title": step.title,
                    "ok": step.ok,
                    "seconds": round(step.seconds, 2),
                    "commands": step.commands,
                    "outcome": step.outcome,
                    "facts": step.facts,
                }
                for step in self.steps
            ],
            "failure": None
            if self.failure is None
            else {
                "step": self.failure.step,
                "reason": self.failure.reason,
                "logs": self.failure.tails,
                "nextStep": self.failure.next_step,
            },
            "interrupted": self.interrupted,
        }


class Narrator:
    """Writes the story line by line, in colour on a terminal, and keeps it for the summary.

    Attributes:
        summary: what was told so far.
    """

    def __init__(self, stream: TextIO, *, steps: int, colour: bool = False) -> None:
        """Tell on a stream.

        Args:
            stream: where to write.
            steps: how many there will be.
            colour: whether the stream understands colours.
        """
        self._stream = stream
        self._steps = steps
        self._colour = colour
        self._begin = time.monotonic()
        self._current: StepReport | None = None
        self.summary = Summary()

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[StepReport]:
        """Tell a step: its title first, its time at the end."""
        report = StepReport(len(self.summary.steps) + 1, name, title)
        self.summary.steps.append(report)
        self._current = report
        number = f"[{report.number:>2}/{self._steps}]"
        self.line(f"{self._paint(_DIM, number)} {self._paint(_BOLD, title)}")
        begin = time.monotonic()
        try:
            yield report
            report.ok = True
        finally:
            end = time.monotonic()
            report.seconds = end - begin
            self.summary.seconds = end - self._begin
            self.line(self._paint(_DIM, f"{_INDENT}{report.seconds:.1f} s"))

    def command(self, text: str) -> None:
        """Show what a person would type."""
        assert self._current is not None  # noqa: S101 - commands stand in steps
        self._current.commands.append(text)
        first, *rest = text.split("\n")
        self.line(f"{_INDENT}$ {first}")
        for line in rest:
            self.line(f"{_INDENT}  {line}")

    def outcome(self, text: str) -> None:
        """Show what came of it."""
        assert self._current is not None  # noqa: S101 - outcomes stand in steps
        for line in text.rstrip("\n").split("\n"):
            self._current.outcome.append(line)
            self.line(f"{_INDENT}{line}".rstrip())

    def fact(self, name: str, value: Any) -> None:
        """Keep something for programs, without showing it."""
        assert self._current is not None  # noqa: S101 - facts stand in steps
        self._current.facts[name] = value

    def line(self, text: str = "") -> None:
        """Write one line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def failed(self, failure: Failure) -> None:
        """Tell a failure, after its step."""
        self.summary.failure = failure
        self.line()
        self.line(self._paint(_RED, f"failed in step {len(self.summary.steps)} ({failure.step})"))
        self.line(failure.reason)
        for name, tail in failure.tails.items():
            self.line(f"\nthe log of {name} ends with:")
            for line in tail.split("\n"):
                self.line(f"  {line}")
        self.line(f"\nnext: {failure.next_step}")

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colour else text


def table(summary: Summary) -> str:
    """The steps with their seconds, and the total."""
    titles = [step.title for step in summary.steps]
    width = max(map(len, [*titles, "total"]), default=0)
    lines = [
        f"{step.number:>4}  {step.title:<{width}}  {step.seconds:>6.1f} s{'' if step.ok else '  failed'}"
        for step in summary.steps
    ]
    lines.append(f"      {'total':<{width}}  {summary.seconds:>6.1f} s")
    return "\n".join(lines)


def columns(rows: Sequence[Sequence[object]], *, header: Sequence[str] = ()) -> str:
    """A small table, columns as wide as their widest cell."""
    cells = [[str(cell) for cell in row] for row in ((header, *rows) if header else rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))] if cells else []
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
