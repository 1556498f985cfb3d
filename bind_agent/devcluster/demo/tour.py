"""The demonstration: the whole product on two real clusters, with a real service, step by step.

`run` tells the story; its steps are in `tour_setup` and `tour_life`. Whatever happens, everything that was
started has ended when it returns, and does not outlive this process if it is killed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bind_agent.devcluster.binaries import ControlPlane
from bind_agent.devcluster.daemon import ENDING, describe, forget, owning, unless
from bind_agent.devcluster.demo.tour_commands import Command, typed, use_no_proxy
from bind_agent.devcluster.demo.tour_failures import EXPECTED, ended, explain, keep_logs
from bind_agent.devcluster.demo.tour_hints import hints, search_path
from bind_agent.devcluster.demo.tour_scene import Scene
from bind_agent.devcluster.demo.tour_steps import CLUSTERS, STEPS, STOP
from bind_agent.devcluster.demo.tour_telling import Narrator, Summary, columns
from bind_agent.devcluster.issuer.people import ACCOUNTS
from bind_agent.devcluster.playground import Playground

LOGS: Final = "logs"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        directory: where kubeconfigs go; None for a temporary folder that goes at the end.
        keep: leave everything running at the end of the story.
    """

    directory: Path | None = None
    keep: bool = False

    @property
    def count(self) -> int:
        """How many steps there will be."""
        return 1 + len(STEPS) + (0 if self.keep else 1)


async def run(
    options: Options,
    control_plane: ControlPlane,
    narrator: Narrator,
    *,
    kept: Callable[[Summary], None] = lambda _: None,
) -> Summary:
    """Tell the story, and stop everything at its end, at a failure, and at SIGINT, SIGTERM or SIGHUP.

    Args:
        options: what is wanted.
        control_plane: the programs of the clusters.
        narrator: whom the story is told to.
        kept: called when the story is over and everything is left running.

    Returns:
        What happened, a failure included.

    Raises:
        PlaygroundError: the directory is in use.
    """
    use_no_proxy()
    with owning(options.directory) if options.directory else nullcontext(), _ending() as told:
        tour = _Tour(options, control_plane, narrator)
        try:
            if not await unless(told, tour.tell()):
                narrator.summary.interrupted = True
            elif narrator.summary.ok and options.keep:
                kept(narrator.summary)
                await unless(told, tour.keep())
        finally:
            await tour.stop()
        if narrator.summary.interrupted:
            narrator.line("interrupted")
        if options.keep or not narrator.summary.ok:
            narrator.line("everything is stopped")
    return narrator.summary


class _Tour:
    """One run of the story."""

    def __init__(self, options: Options, control_plane: ControlPlane, narrator: Narrator) -> None:
        self._options = options
        self._control_plane = control_plane
        self._narrator = narrator
        self._playground = Playground(control_plane=control_plane, directory=options.directory)
        self._scene: Scene | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def tell(self) -> None:
        """All steps; a failure is told and kept in the summary."""
        narrator = self._narrator
        name: str = CLUSTERS[0]
        logs: tuple[str, ...] = ()
        try:
            with narrator.step(*CLUSTERS):
                scene = self._scene = await self._clusters()
            for step in STEPS:
                name, logs = step.name, step.logs
                with narrator.step(step.name, step.title):
                    await _unless_trouble(step.work(scene), scene)
            if not self._options.keep:
                name, logs = STOP[0], ()
                with narrator.step(*STOP):
                    await self.stop()
        except EXPECTED as error:
            self._fail(name, error, logs)

    async def keep(self) -> None:
        """Stay until something ends by itself; that is a failure."""
        assert self._scene is not None  # noqa: S101 - the story is over
        self._narrator.line(hints(self._scene))
        self._narrator.line("\nrunning until Ctrl-C")
        self._fail("keep", ended(await self._scene.trouble()), ())

    async def stop(self) -> None:
        """Stop everything. May be called again, also while it is under way."""
        # A task of its own: whoever asks may be cancelled meanwhile, the stopping goes on.
        self._stopping = self._stopping or asyncio.create_task(self._stop(), name="stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._scene is None:
            # Logs of a start that failed stay in a directory; nothing runs any more.
            if self._narrator.summary.interrupted:
                await self._playground.stop()
            return
        await self._scene.stop()
        await self._playground.stop()
        if self._options.directory is not None:
            forget(self._options.directory)

    async def _clusters(self) -> Scene:
        narrator, playground, directory = self._narrator, self._playground, self._options.directory
        if directory is not None:
            forget(directory)
        await playground.start()
        scene = self._scene = Scene(playground, narrator)
        await scene.issuer.start(playground)
        scene.watch(scene.issuer.server)
        # Without the issuer: who looks it up there is told how to start a backend for it, and this one has one.
        describe(playground, self._control_plane).write(playground.directory)
        words = ("kubectl", "bind", "dev", "up", "--login", "--dir", str(playground.directory))
        narrator.command(typed(Command(words)))
        clusters = [(cluster.name, cluster.server, cluster.kubeconfig) for cluster in playground]
        narrator.outcome(
            columns(
                [*clusters, ("sign-in service", scene.issuer.url, f"for {', '.join(ACCOUNTS)}; no passwords")]
            )
        )
        narrator.outcome("to type along in another terminal:")
        narrator.outcome(f"  {search_path(self._control_plane.kubectl)}")
        narrator.fact("issuer", scene.issuer.url)
        narrator.fact("kubeconfigs", {cluster.name: str(cluster.kubeconfig) for cluster in playground})
        return scene

    def _fail(self, name: str, error: Exception, logs: Sequence[str]) -> None:
        tails = self._scene.logs(*logs) if self._scene is not None else {}
        folder = None
        if self._options.directory is not None and self._scene is not None:
            folder = self._options.directory / LOGS
            keep_logs(self._scene, folder)
        self._narrator.failed(explain(name, error, tails=tails, folder=folder))


async def _unless_trouble(work: Awaitable[None], scene: Scene) -> None:
    """Do the work unless a server or program ends meanwhile.

    Raises:
        ServerError: one ended by itself.
    """
    task, trouble = asyncio.ensure_future(work), asyncio.ensure_future(scene.trouble())
    try:
        await asyncio.wait({task, trouble}, return_when=asyncio.FIRST_COMPLETED)
        # A step fails because of a program that ended more often than the other way round.
        if trouble.done():
            raise ended(trouble.result())
        await task
    finally:
        for each in (task, trouble):
            each.cancel()
        await asyncio.gather(task, trouble, return_exceptions=True)


@contextmanager
def _ending() -> Iterator[asyncio.Event]:
    """An event that signals set."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)
