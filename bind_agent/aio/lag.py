"""How late the event loop runs: the one figure that shows a blocking call or a starved process."""

from collections.abc import Callable

from bind_agent.aio.clock import SYSTEM, Clock


async def watch_lag(report: Callable[[float], None], *, interval: float = 1.0, clock: Clock = SYSTEM) -> None:
    """Report for ever, once per interval, how many seconds late the loop woke this coroutine up.

    Args:
        report: gets seconds, 0 or more; must not block.
        interval: seconds between measurements.
        clock: where time comes from.
    """
    while True:
        before = clock.monotonic()
        await clock.sleep(interval)
        report(max(clock.monotonic() - before - interval, 0.0))
