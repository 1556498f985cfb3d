"""Fixtures for all tests. Nothing starts until a test asks for a cluster.

The clusters are real (`bind_agent.devcluster`) and shared by all tests of a process, so a test takes names of its own
from `unique` for namespaces, groups of CRDs and everything cluster-wide. A test that breaks servers starts
its own playground or repairs them before it ends. Where no control plane can be had, the fixtures fail: a run
without clusters proves nothing.
"""

import itertools
import logging
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
import structlog
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from bind_agent.devcluster import Cluster, ClusterOptions, ControlPlane, Playground, find_control_plane
from tests.fakes.issuer import Issuer

_numbers = itertools.count(1)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has put this run into its background. Programs under test would inherit that they ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST_FIRST = ("e2e", "integration/backend", "integration/cli", "browser", "integration/postgres")


def _group(nodeid: str) -> str:
    """What has to stay in one process: tests that share clusters, and the audits of all that was asked of these."""
    path = nodeid.partition("::")[0].removeprefix("tests/")
    kind, *below = path.split("/")
    if kind == "integration":
        return f"{kind}/{below[0]}"
    return kind if kind in {"e2e", "browser"} else path


class ByGroup(LoadScopeScheduling):  # type: ignore[misc] - the library has no types
    """Hands whole groups to the processes that share a run."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup:
    """The library's own groups are suffixes of test ids, which pytest 9.2 does not let anybody change."""
    return ByGroup(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups with long waits start first."""
    rank = {group: number for number, group in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(_group(item.nodeid), len(rank)))


@pytest.fixture(scope="session", autouse=True)
def _loggers_follow_the_configuration() -> Iterator[None]:
    """Loggers keep no configuration of a test before.

    Programs cache what a logger does at its first line. A logger whose first line falls into a test that sets
    up logging would write to that test's stream for the rest of the run.
    """
    configure = structlog.configure

    def uncached(*args: Any, **options: Any) -> None:
        configure(*args, **{**options, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", uncached)
        yield


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Whatever a test sets up for its logs ends with it."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.configure(**before)


@pytest.fixture(scope="session")
def control_plane() -> ControlPlane:
    """The control plane programs, built once when the machine has none yet."""
    return find_control_plane()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clusters(control_plane: ControlPlane) -> AsyncIterator[Playground]:
    """Two clusters, ``provider`` and ``consumer``, with audit logs, for the whole run."""
    options = [ClusterOptions(name, audit=True) for name in ("provider", "consumer")]
    async with Playground(*options, control_plane=control_plane) as playground:
        yield playground


@pytest.fixture(scope="session")
def provider(clusters: Playground) -> Cluster:
    """The control plane cluster."""
    return clusters["provider"]


@pytest.fixture(scope="session")
def consumer(clusters: Playground) -> Cluster:
    """The app cluster."""
    return clusters["consumer"]


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Make DNS labels that no other test of the run uses: ``unique("ns")`` gives ``ns-update-3-1f2e``."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).removeprefix("test-")[:20].strip("-")

    def make(prefix: str = "t") -> str:
        return f"{prefix}-{words}-{next(_numbers)}-{os.getpid() % 0xFFFF:x}"

    return make


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def issuer() -> AsyncIterator[Issuer]:
    """An independent OpenID Connect provider for the whole run.

    Each test registers a client of its own; whoever rotates keys or stops it starts an `Issuer` of their own.
    """
    async with Issuer() as running:
        yield running
