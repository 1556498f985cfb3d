"""A provider with a backend in control plane mode, under its shipped roles."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from bind_agent.backend.options.control_plane import ControlPlane
from bind_agent.devcluster import ClusterOptions, Playground
from bind_agent.devcluster.stage import Stage
from tests.fakes.backend_lab import lab
from tests.fakes.control_plane_lab import Plane, overlay
from tests.integration.backend.conftest import QUICK

SHARED_SECRETS = "shared-kubeconfigs"

MODE = replace(QUICK, control_plane=ControlPlane(enabled=True, secret_namespaces=frozenset({SHARED_SECRETS})))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plane(clusters: Playground, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plane]:
    """The backend that the tests of this folder share."""
    cluster = await clusters.add(ClusterOptions("controlplane", audit=True))
    stage = Stage(clusters, tmp_path_factory.mktemp("controlplane"))
    try:
        async with lab(cluster, stage, MODE, overlay=overlay()) as running:
            yield Plane(running)
    finally:
        await clusters.remove("controlplane")
