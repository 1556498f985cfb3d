"""What can go wrong with clusters on one machine; every message names the next step.

```
DevClusterError
├── ControlPlaneUnavailableError      no source gave the programs
│   ├── IncompleteAssetsError         an explicit folder lacks a program
│   ├── DownloadError           the release servers refuse, stall or do not have the version
│   │   └── ChecksumError     what came is not what was published
│   └── BuildError              no Go toolchain, or the compiler failed
├── ServerError                 a server ended, or is not ready in time
└── PlaygroundError              the directory is in use, or nothing runs in it
```
"""

from pathlib import Path


class DevClusterError(Exception):
    """Root of the tree; the text is for people and complete."""


class ControlPlaneUnavailableError(DevClusterError):
    """None of the sources gave the control plane programs."""


class IncompleteAssetsError(ControlPlaneUnavailableError):
    """A folder that was named explicitly lacks a program that is needed."""


class DownloadError(ControlPlaneUnavailableError):
    """A release could not be fetched: refused, not there, cut off or too slow."""


class ChecksumError(DownloadError):
    """A fetched file does not have the published SHA-256."""


class BuildError(ControlPlaneUnavailableError):
    """The programs could not be built from the Go module."""


class ServerError(DevClusterError):
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


class PlaygroundError(DevClusterError):
    """A directory already holds running clusters, or holds none."""
