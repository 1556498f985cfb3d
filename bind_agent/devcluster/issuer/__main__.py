"""The development issuer as a program: `python -m bind_agent.devcluster.issuer PORT`; it serves until it is ended."""

import asyncio
import signal
import sys

from bind_agent.devcluster.issuer.app import DevIssuer


async def serve(port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        port: on the loopback address.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with DevIssuer(port) as issuer:
        sys.stdout.write(f"{issuer.url}\n")
        sys.stdout.flush()
        await told.wait()


def main() -> None:
    """Entry point."""
    asyncio.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
