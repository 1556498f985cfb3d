"""Opening the person's browser, where there is one."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Final

_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def can_open(environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether a browser with a window can be expected; browsers inside a terminal would take it over.

    Args:
        environment: of this process.
        platform: as in `sys.platform`.
    """
    return platform in {"darwin", "win32"} or any(environment.get(name) for name in _DISPLAYS)


def open_address(url: str) -> None:
    """Open an address in the background; that nothing opens is no failure, the address is printed as well.

    A process of its own, so that what browsers print does not get between the results on stdout.
    """
    try:
        subprocess.Popen(  # noqa: S603 - our own interpreter; the address is an argument and was checked
            [sys.executable, "-m", "webbrowser", "-t", url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return
