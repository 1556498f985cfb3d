"""What a controller adds to each reconcile (queue, limit, context, metrics), beside the barest loop that does the work.

Processor time per key in one run of both, the best of some rounds because machines are shared.

    python tests/bench/controller.py [--keys 1000] [--rounds 12]
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

if not __package__:  # started as a file: the packages are found from the top of the checkout
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bind_agent.runtime.controller import Controller


class Work:
    """Does nothing, and knows when it was done often enough."""

    def __init__(self) -> None:
        self.left = 0
        self.finished = asyncio.Event()

    def expect(self, keys: int) -> None:
        """Begin a round."""
        self.left = keys
        self.finished.clear()

    async def one(self, _: str) -> None:
        """One reconcile."""
        self.left -= 1
        if self.left == 0:
            self.finished.set()


async def bare(keys: int) -> float:
    """Seconds of processor time per key for an asyncio queue and a loop."""
    work, queue = Work(), asyncio.Queue[str]()
    work.expect(keys)
    for number in range(keys):
        queue.put_nowait(f"ns/{number}")
    started = time.process_time()
    while work.left:
        await work.one(await queue.get())
    return (time.process_time() - started) / keys


async def controlled(controller: Controller, work: Work, keys: int) -> float:
    """The same through a running controller."""
    work.expect(keys)
    for number in range(keys):
        controller.enqueue(f"ns/{number}")
    started = time.process_time()
    await work.finished.wait()
    return (time.process_time() - started) / keys


async def measure(keys: int, rounds: int) -> tuple[float, float]:
    """The best of all rounds: bare, controlled."""
    work = Work()
    controller = Controller("bench-overhead", work.one, workers=4)
    running = asyncio.create_task(controller.run())
    try:
        plain = min([await bare(keys) for _ in range(rounds)])
        ours = min([await controlled(controller, work, keys) for _ in range(rounds)])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return plain, ours


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    plain, ours = asyncio.run(measure(arguments.keys, arguments.rounds))
    print(f"bare loop   {plain * 1e6:6.2f} us per key")
    print(f"controller  {ours * 1e6:6.2f} us per key, {ours / plain:.1f} times the bare loop")


if __name__ == "__main__":
    main()
