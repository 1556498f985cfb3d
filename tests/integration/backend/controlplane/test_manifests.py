"""The overlay as a platform team applies it."""

import pytest
import yaml

from bind_agent.manifests import load_manifests, manifests_dir
from tests.fakes.control_plane_lab import OVERLAY, Plane

pytestmark = pytest.mark.integration


async def test_kustomize_builds_what_is_tested(plane: Plane) -> None:
    built = await plane.lab.stage.kubectl(plane.lab.cluster, "kustomize", str(manifests_dir() / OVERLAY))
    found = [one for one in yaml.safe_load_all(built) if one]
    assert sorted((one["kind"], one["metadata"]["name"]) for one in found) == sorted(
        (one["kind"], one["metadata"]["name"]) for one in load_manifests(OVERLAY)
    )
