"""Costly steps begin one in each round of the event loop, in the order of their coming."""

import asyncio

import pytest

from bind_agent.aio.turns import Turns

pytestmark = pytest.mark.unit


async def test_a_crowd_lets_others_through() -> None:
    turns, order = Turns(), list[str]()

    async def login(number: int) -> None:
        await turns.wait()
        order.append(f"login {number}")

    async def page() -> None:
        await asyncio.sleep(0)
        order.append("page")

    crowd = [asyncio.create_task(login(number)) for number in range(50)]
    await asyncio.gather(asyncio.create_task(page()), *crowd)
    assert order.index("page") <= 1, "the page came between the first logins"
    assert [one for one in order if one != "page"] == [f"login {number}" for number in range(50)]


async def test_who_gives_up_does_not_block_the_others() -> None:
    turns = Turns()
    first, second, third = (asyncio.create_task(turns.wait()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([first, second, third])
    assert [one.cancelled() for one in (first, second, third)] == [False, True, False]


async def test_alone_one_waits_for_nobody() -> None:
    async with asyncio.timeout(20):
        await Turns().wait()
