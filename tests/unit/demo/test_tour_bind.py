"""Which failure is told when the login or the command that waits for it fails; a good one is in tests/e2e."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bind_agent.devcluster.demo import tour_bind
from bind_agent.devcluster.demo.tour_commands import CommandFailed
from bind_agent.devcluster.demo.tour_login import LoginNotFollowed
from bind_agent.devcluster.demo.tour_scene import NotAsPromised, Scene

pytestmark = pytest.mark.unit

ADDRESS = "http://127.0.0.1:1/authorize?s=1"


class FakeScene:
    """A scene with one command, which prints what it is told to and ends when it is told to."""

    def __init__(self, *lines: str, ends: bool = False, error: Exception | None = None) -> None:
        self.web = "http://127.0.0.1:1"
        self.consumer = SimpleNamespace(kubeconfig="consumer.kubeconfig")
        self.issuer = SimpleNamespace(url="http://127.0.0.1:2")
        self.told: list[str] = []
        self.narrator = SimpleNamespace(outcome=self.told.append)
        self.words: tuple[str, ...] = ()
        self.cancelled = False
        self.over = asyncio.Event()
        self._lines, self._error = lines, error
        if ends:
            self.over.set()

    async def run(self, *words: str, heard: Callable[[str], None]) -> tuple[str, str]:
        self.words = words
        for line in self._lines:
            heard(line)
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self._error is not None:
            raise self._error
        return "bound\n", ""


async def bound(scene: FakeScene) -> str:
    return await tour_bind._bind(cast("Scene", scene))


def following(
    monkeypatch: pytest.MonkeyPatch, scene: FakeScene, error: Exception | None, *, ends: bool
) -> None:
    async def follow(address: str, *_: Any) -> None:
        assert address == ADDRESS
        if ends:
            scene.over.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if error is not None:
            raise error

    monkeypatch.setattr(tour_bind, "follow", follow)


async def test_the_first_address_is_followed_and_the_result_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = FakeScene("log in:", f"    {ADDRESS}", "    http://127.0.0.1:1/other")
    following(monkeypatch, scene, None, ends=True)
    assert await bound(scene) == "bound\n"
    assert scene.words[:3] == ("kubectl", "bind", "http://127.0.0.1:1/export")
    assert "--no-browser" in scene.words
    assert any("sign in as alice, press Bind at PostgreSQL" in line for line in scene.told)


async def test_a_command_that_ends_before_it_asks_is_told() -> None:
    failed = CommandFailed(["kubectl", "bind"], "ended with 1", "no connection")
    with pytest.raises(CommandFailed, match="ended with 1"):
        await bound(FakeScene(ends=True, error=failed))
    with pytest.raises(NotAsPromised, match="without having asked for a login"):
        await bound(FakeScene("nothing to do", ends=True))


async def test_a_login_that_stops_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = FakeScene(f"    {ADDRESS}")
    following(monkeypatch, scene, LoginNotFollowed("it stops here"), ends=False)
    with pytest.raises(LoginNotFollowed, match="it stops here"):
        await bound(scene)
    assert scene.cancelled


async def test_a_command_that_failed_meanwhile_says_why_nobody_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = CommandFailed(["kubectl", "bind"], "ended with 4", "timed out")
    scene = FakeScene(f"    {ADDRESS}", error=failed)
    following(monkeypatch, scene, LoginNotFollowed("no answer"), ends=True)
    with pytest.raises(CommandFailed, match="ended with 4"):
        await bound(scene)
