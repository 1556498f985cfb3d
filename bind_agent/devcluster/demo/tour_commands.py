"""Commands of the demonstration: what a person would type is what is run, from one and the same words.

`typed` shows a command, `Runner` runs it. The words name programs as a person does (``kubectl bind``,
``bind-backend``); the runner finds them in this installation, so nothing needs to be on the ``PATH``.
"""

import asyncio
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, cast

from bind_agent.devcluster.demo import launch
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.ports import LOOPBACK

TIMEOUT: Final = 120.0
_WIDTH: Final = 108
_CHUNK: Final = 65_536
_SHORT_OPTION: Final = re.compile(r"-[a-zA-Z]")
_MODULES: Final = {
    ("kubectl", "bind"): "cli.main",
    ("bind-backend",): "bind_agent.backend.app",
    ("konnector",): "konnector.app",
}
"""Programs of the product and the module that each of them is."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command line.

    Attributes:
        words: program and arguments, without any shell quoting.
        source: a command whose output is this one's input, as in ``source | this``.
    """

    words: tuple[str, ...]
    source: Self | None = None

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """The words of each command of the pipe, the first one first."""
        return (*(self.source.stages if self.source is not None else ()), self.words)


class CommandFailed(DevClusterError):  # noqa: N818 - named by meaning
    """A command of the demonstration ended with an error.

    Attributes:
        said: the last lines that it wrote to standard error.
    """

    def __init__(self, words: Sequence[str], reason: str, said: str) -> None:
        self.said = said
        super().__init__(f"`{shlex.join(words)}` {reason}")


def typed(command: Command, *, width: int = _WIDTH) -> str:
    """The command as it can be pasted into a shell; long ones are continued on further lines.

    Args:
        command: what to show.
        width: columns of a line, which a single long word may exceed.
    """
    words: list[str] = []
    for number, stage in enumerate(command.stages):
        words += ["|"] if number else []
        words += [shlex.quote(word) for word in stage]
    return fold(words, width=width)


def fold(words: Iterable[str], *, width: int = _WIDTH) -> str:
    """Words of a shell command, broken into lines that a backslash continues.

    A short option stays with its value, and a pipe begins a line where the whole does not fit into one.
    """
    pieces: list[str] = []
    for word in words:
        if pieces and _SHORT_OPTION.fullmatch(pieces[-1]):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    if sum(map(len, pieces)) + len(pieces) - 1 <= width:
        return " ".join(pieces)
    lines: list[str] = []
    line = ""
    for piece in pieces:
        if line and (len(line) + len(piece) + 3 > width or piece == "|"):
            lines.append(line)
            line = "  "
        line += f" {piece}" if line.strip() else piece
    return " \\\n".join([*lines, line])


def program_words(argv: Sequence[str]) -> tuple[str, ...]:
    """What a person would type for a process of this interpreter (``python -m module …``)."""
    _, dash, module, *arguments = argv
    if dash != "-m":
        return tuple(argv)
    for words, its in _MODULES.items():
        if its == module:
            return (*words, *arguments)
    return ("python", "-m", module, *arguments)


def argv_of(words: Sequence[str], kubectl: Path) -> list[str]:
    """The process that stands behind what a person types.

    Raises:
        ValueError: no program of the demonstration.
    """
    for program, module in _MODULES.items():
        if tuple(words[: len(program)]) == program:
            return [sys.executable, "-m", module, *words[len(program) :]]
    if words[0] == "kubectl":
        return [str(kubectl), *words[1:]]
    raise ValueError(f"{words[0]} is no program of the demonstration")


class Runner:
    """Runs commands to their end.

    No process outlives this one, whatever happens to it: each is started by `launch`, which ties its life to
    ours.
    """

    def __init__(self, kubectl: Path, cache: Path) -> None:
        """Run with this kubectl.

        Args:
            kubectl: of the version of the clusters.
            cache: folder for what kubectl remembers of them; ports are used again by other clusters, so
                the user's own cache is left alone.
        """
        self._kubectl = kubectl
        self._environment = {**os.environ, "KUBECACHEDIR": str(cache), "KUBERC": "off"}

    async def run(
        self, command: Command, *, timeout: float = TIMEOUT, heard: Callable[[str], None] = lambda _: None
    ) -> tuple[str, str]:
        """Run a command, or a pipe of commands one after the other.

        Args:
            command: what to run.
            timeout: seconds for each process.
            heard: told each line of standard error as soon as it is written.

        Returns:
            What the last one wrote to standard output, and what it wrote to standard error.

        Raises:
            CommandFailed: one of them failed, or did not end in time.
        """
        out, err = b"", b""
        for words in command.stages:
            out, err = await self._process(words, out, timeout, heard)
        return out.decode(errors="replace"), err.decode(errors="replace")

    async def _process(
        self, words: Sequence[str], stdin: bytes, timeout: float, heard: Callable[[str], None]
    ) -> tuple[bytes, bytes]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(Path(launch.__file__))),
            *(str(os.getpid()), str(os.geteuid()), str(os.getegid())),
            *argv_of(words, self._kubectl),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for the demonstration, which then ends the command
        )
        try:
            async with asyncio.timeout(timeout):
                out, err = await _exchange(process, stdin, heard)
        except TimeoutError:
            raise CommandFailed(words, f"does not end within {timeout:.0f} s", "") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):  # the group: a child would hold the pipes open
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            raise CommandFailed(words, f"ended with {process.returncode}", _last_lines(err or out))
        return out, err


async def _exchange(
    process: asyncio.subprocess.Process, stdin: bytes, heard: Callable[[str], None]
) -> tuple[bytes, bytes]:
    """As `communicate`, but that lines of standard error are told while the process runs."""
    pipes = (process.stdin, process.stdout, process.stderr)
    assert None not in pipes  # noqa: S101 - it was started so
    into, out, err = cast("tuple[asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamReader]", pipes)
    _, printed, said = await asyncio.gather(_feed(into, stdin), out.read(), _lines(err, heard))
    await process.wait()
    return printed, said


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # it need not read to the end
        stream.write(data)
        await stream.drain()
    stream.close()


async def _lines(stream: asyncio.StreamReader, heard: Callable[[str], None]) -> bytes:
    said, told = b"", 0
    while chunk := await stream.read(_CHUNK):
        said += chunk
        end = said.rfind(b"\n") + 1
        for line in said[told:end].splitlines():
            heard(line.decode(errors="replace"))
        told = max(told, end)
    return said


def use_no_proxy() -> None:
    """Keep this process and its children from asking a proxy for the way to this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        present = os.environ.get(name, "")
        if LOOPBACK not in present.split(","):
            os.environ[name] = ",".join(filter(None, (present, LOOPBACK)))


def _last_lines(data: bytes, *, count: int = 12) -> str:
    return "\n".join(data.decode(errors="replace").strip().splitlines()[-count:])
