"""Program of the background process: takes an order on standard input, tells on a pipe how starting went.

One line is written to the descriptor given as argument: ``ready``, or the reason as a JSON string.
"""

import asyncio
import json
import os
import sys

from bind_agent.devcluster.daemon import serve
from bind_agent.devcluster.detached import decode
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.state import State


def main() -> int:
    """Run the order until told to end."""
    answer = int(sys.argv[1])
    os.set_inheritable(answer, False)  # the servers must not hold the pipe open
    order, control_plane = decode(sys.stdin.read())
    started = False

    def ready(_: State) -> None:
        nonlocal started
        started = True
        os.write(answer, b"ready\n")
        os.close(answer)

    try:
        asyncio.run(serve(order, control_plane, ready))
    except DevClusterError as error:
        sys.stderr.write(f"{error}\n")
        if not started:
            os.write(answer, json.dumps(str(error)).encode() + b"\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
