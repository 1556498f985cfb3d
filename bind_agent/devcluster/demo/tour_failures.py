"""When the demonstration fails: what a person is told, and the logs that are kept for her."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bind_agent.devcluster.demo.bundle import ServerFailed
from bind_agent.devcluster.demo.databases import ServerError as DatabaseError
from bind_agent.devcluster.demo.tour_commands import CommandFailed
from bind_agent.devcluster.demo.tour_scene import Scene
from bind_agent.devcluster.demo.tour_telling import Failure
from bind_agent.devcluster.errors import DevClusterError, ServerError
from bind_agent.devcluster.server import Server

#: What a step may end with; anything else is a defect of this program.
EXPECTED: Final = (DevClusterError, DatabaseError, ServerFailed, OSError)


def explain(step: str, error: Exception, *, tails: Mapping[str, str], folder: Path | None) -> Failure:
    """What a failure means for a person.

    Args:
        step: name of the one that failed.
        error: why.
        tails: last lines of the logs of its programs.
        folder: where all logs were kept, None if nowhere.
    """
    reason = str(error)
    if isinstance(error, ServerError):
        reason = reason.partition("; its log is ")[0]
        tails = {error.server: error.tail} if error.tail else tails
    elif isinstance(error, CommandFailed) and error.said:
        reason = f"{reason}:\n{error.said}"
    return Failure(
        step,
        reason,
        dict(tails),
        f"read the logs of all programs in {folder}, and run it again"
        if folder is not None
        else "run it again with --dir DIR: the logs of all programs then stay in DIR/logs",
    )


def ended(server: Server) -> ServerError:
    """The error that a server ended that nobody asked to end."""
    return ServerError(server.name, "ended by itself", log=server.log, tail=server.tail())


def keep_logs(scene: Scene, folder: Path) -> None:
    """Copy the logs of all servers and programs into a folder; the clusters' own folder goes with them."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, log in scene.log_files.items():
        if log.exists():
            shutil.copy(log, folder / f"{name.replace('/', '-')}.log")
