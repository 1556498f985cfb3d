"""Taking an address to listen on, and saying which one when that fails."""

import socket


class ListenError(OSError):
    """An address cannot be listened on; the message names it and the flag that sets another."""


def listener(host: str, port: int, *, flag: str, unsent: int = 0) -> socket.socket:
    """A socket bound to an address, not listening yet.

    Args:
        host: address, empty for all.
        port: port, 0 for any.
        flag: which sets the address, for the message.
        unsent: bytes of answers that the system keeps for a connection; 0 leaves that to the system.

    Raises:
        ListenError: the address is taken, or not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if unsent:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, unsent)
        made.bind((host, port))
        made.setblocking(False)
    except (OSError, OverflowError) as error:
        made.close()
        reason = getattr(error, "strerror", None) or str(error)
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise ListenError(f"cannot listen on {shown}: {reason}; name another address with {flag}") from error
    except BaseException:
        made.close()
        raise
    return made
