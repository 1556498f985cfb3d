"""What can go wrong with clusters on one machine; every message names the next step.

```
DevClusterError
├── ControlPlaneUnavailable      no source gave the programs
│   ├── IncompleteAssets         an explicit folder lacks a program
│   ├── DownloadFailed           the release servers refuse, stall or do not have the version
│   │   └── ChecksumMismatch     what came is not what was published
│   └── BuildFailed              no Go toolchain, or the compiler failed
├── ServerFailed                 a server ended, or is not ready in time
└── PlaygroundState              the directory is in use, or nothing runs in it
```
"""

from pathlib import Path


class DevClusterError(Exception):
    """Root of the tree; the text is for people and complete."""


class ControlPlaneUnavailable(DevClusterError):
    """None of the sources gave the control plane programs."""


class IncompleteAssets(ControlPlaneUnavailable):
    """A folder that was named explicitly lacks a program that is needed."""


class DownloadFailed(ControlPlaneUnavailable):
    """A release could not be fetched: refused, not there, cut off or too slow."""


class ChecksumMismatch(DownloadFailed):
    """A fetched file does not have the published SHA-256."""


class BuildFailed(ControlPlaneUnavailable):
    """The programs could not be built from the Go module."""


class ServerFailed(DevClusterError):
    """A server ended by itself or did not become ready.

    Attributes:
        server: Its name, for instance ``provider/kube-apiserver``.
        log: Its log file; it is gone when the playground's directory was temporary.
        tail: The last lines of the log.
    """

    def __init__(self, server: str, reason: str, *, log: Path, tail: str) -> None:
        self.server = server
        self.log = log
        self.tail = tail
        text = f"{server} {reason}; its log is {log}"
        super().__init__(f"{text} and ends with:\n{tail}" if tail else text)


class PlaygroundState(DevClusterError):
    """A directory already holds running clusters, or holds none."""
