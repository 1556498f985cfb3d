"""Becomes the PostgreSQL server: gives up root, ties its life to the operator's, and executes the program.

Runs as a script of its own, with the standard library only: ``launch.py PARENT_PID UID GID PROGRAM
[ARGUMENT...]``. PostgreSQL refuses to run as root. A kernel death signal must be set after the change of the
user, which clears it, and in a program without threads; so it happens here and not in the operator.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns, but for a parent that is gone already."""
    parent, uid, gid = (int(argument) for argument in sys.argv[1:4])
    program = sys.argv[4:]
    os.umask(0o077)
    if os.geteuid() == 0 and uid != 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # SIGINT is what PostgreSQL calls a fast shutdown: sessions end, nothing is left in shared memory.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:  # it died before the signal was set
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    main()
