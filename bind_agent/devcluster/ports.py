"""Free ports on the loopback address.

Ports are drawn below the range that the kernel gives to outgoing connections: a server that is down for a
moment then finds its port still free when it comes back.
"""

import random
import socket
from collections.abc import Container

LOOPBACK = "127.0.0.1"
RANGE = range(16000, 32000)
_DRAWS = 200
# Whoever seeds the common generator, as test runners do, would have all its processes draw the same ports.
_DRAWING = random.SystemRandom()


def is_free(port: int) -> bool:
    """Tell whether a server could listen on ``127.0.0.1:port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of the past that lingers on the port is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(taken: Container[int] = ()) -> int:
    """Draw a port that is free now and not in ``taken``.

    Somebody else can still take it before the server does; whoever starts the server tries again then.
    """
    for _ in range(_DRAWS):
        port = _DRAWING.choice(RANGE)
        if port not in taken and is_free(port):
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
