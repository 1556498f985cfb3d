"""Clusters of their own for the CLI: it installs cluster-wide things that other tests must not see."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from bind_agent.devcluster import ClusterOptions, Playground
from tests.fakes.bindlab import Lab
from tests.fakes.tenant import install_crds


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab(clusters: Playground, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """Two clusters; the provider has our kinds, the app cluster serves bindings."""
    provider = await clusters.add(ClusterOptions("cli-provider", audit=True))
    consumer = await clusters.add(ClusterOptions("cli-consumer", audit=True))
    await install_crds(provider)
    await install_crds(consumer, only="apiservicebindings.klutch.anynines.com")
    yield Lab(provider, consumer, tmp_path_factory.mktemp("cli"))
    await clusters.remove("cli-consumer")
    await clusters.remove("cli-provider")


@pytest.fixture
def api(unique: Callable[[str], str]) -> str:
    """An API that no other test binds."""
    return f"widgets.{unique('g')}.example"
