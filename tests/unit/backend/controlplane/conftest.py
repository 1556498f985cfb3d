"""An AppClusterBinding to decide about."""

import pytest

from bind_agent.backend.access import Kind
from bind_agent.backend.controlplane.model import Wanted


@pytest.fixture
def wanted() -> Wanted:
    """A plain one with one API."""
    return Wanted("team", "prod", "team", "app", "kubeconfig", kinds=(Kind("example.org", "databases"),))
