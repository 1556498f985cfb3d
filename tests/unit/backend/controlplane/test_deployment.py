"""The konnector's Deployment (spec 5.5), and when it is written (W-B12)."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from bind_agent._version import __version__
from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.backend.controlplane import deployment
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.manifests import load_manifests

pytestmark = pytest.mark.unit

IMAGE = "registry.example/konnector:v9"


@pytest.fixture
def shipped() -> Object:
    """The Deployment of the konnector's manifests."""
    (found,) = [one for one in load_manifests("konnector/workload.yaml") if one["kind"] == "Deployment"]
    return found


def container(obj: Object) -> dict[str, Any]:
    (found,) = obj["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_what_the_wire_says(shipped: Object, wanted: Wanted) -> None:
    found = deployment.konnector(shipped, wanted, IMAGE)
    labels = {"app": "konnector", **wanted.labels}
    assert (meta.name(found), meta.namespace(found)) == ("konnector-prod", "klutch-bind-team-prod")
    assert found["spec"]["replicas"] == 2
    assert found["spec"]["selector"] == {"matchLabels": labels}
    assert labels.items() <= found["spec"]["template"]["metadata"]["labels"].items()
    assert labels.items() <= meta.labels(found).items()
    assert found["spec"]["template"]["spec"]["serviceAccountName"] == "klutch-binder"
    konnector = container(found)
    assert konnector["image"] == IMAGE
    assert konnector["args"] == [
        "--control-plane-mode",
        "--app-cluster-kubeconfig-secret-name=app",
        "--app-cluster-kubeconfig-secret-namespace=klutch-bind-team-prod",
        "--app-cluster-kubeconfig-secret-key=kubeconfig",
        "--binding-root-namespace=klutch-bind-team-prod",
        "--lease-namespace=$(POD_NAMESPACE)",
    ]
    assert [one["name"] for one in konnector["env"]] == ["POD_NAME", "POD_NAMESPACE"]


def test_hardening_and_probes_are_those_of_the_manifest(shipped: Object, wanted: Wanted) -> None:
    found, original = container(deployment.konnector(shipped, wanted, IMAGE)), container(shipped)
    for field in ("securityContext", "resources", "readinessProbe", "livenessProbe", "volumeMounts", "ports"):
        assert found[field] == original[field]


def test_the_default_image_is_the_konnector_of_this_version() -> None:
    assert f"bind-agent/konnector:v{__version__}" == deployment.IMAGE


def test_overrides(shipped: Object, wanted: Wanted) -> None:
    changed = replace(wanted, overrides={"image": "mine:v1", "env": [{"name": "X", "value": "1"}]})
    found = container(deployment.konnector(shipped, changed, IMAGE))
    assert found["image"] == "mine:v1"
    assert [one["name"] for one in found["env"]] == ["POD_NAME", "POD_NAMESPACE", "X"]


def test_the_manifest_is_not_changed(shipped: Object, wanted: Wanted) -> None:
    before = copy.deepcopy(shipped)
    deployment.konnector(shipped, replace(wanted, overrides={"env": [{"name": "X"}]}), IMAGE)
    assert shipped == before


def test_a_manifest_without_replicas_and_constraints(shipped: Object, wanted: Wanted) -> None:
    del shipped["spec"]["replicas"], shipped["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert deployment.konnector(shipped, wanted, IMAGE)["spec"]["replicas"] == 2


class TestInSync:
    @pytest.fixture(autouse=True)
    def _objects(self, shipped: Object, wanted: Wanted) -> None:
        self.wanted = deployment.konnector(shipped, wanted, IMAGE)
        self.live = copy.deepcopy(self.wanted)
        self.live["metadata"].update(uid="u", generation=3)
        # What an API server adds.
        self.live["spec"]["strategy"] = {"type": "RollingUpdate"}
        self.live["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"

    def in_sync(self, settled: tuple[str, int] | None = None) -> bool:
        return deployment.in_sync(self.live, self.wanted, settled=settled)

    def test_defaults_of_the_server_are_no_difference(self) -> None:
        assert self.in_sync()

    def test_nothing_there(self) -> None:
        assert not deployment.in_sync(None, self.wanted, settled=None)

    def test_on_its_way_out(self) -> None:
        self.live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        assert not self.in_sync()

    def test_something_else_was_applied_last(self) -> None:
        self.live["metadata"]["annotations"][keys.CONTENT_DIGEST] = "other"
        assert not self.in_sync(("u", 3))

    def test_a_label_was_removed(self) -> None:
        del self.live["metadata"]["labels"]["app"]
        assert not self.in_sync(("u", 3))

    def test_somebody_changed_it(self) -> None:
        self.live["spec"]["replicas"] = 0
        assert not self.in_sync()
        assert not self.in_sync(("u", 2))
        assert not self.in_sync(("another", 3))

    def test_what_the_server_wrote_in_another_form_is_settled(self) -> None:
        container(self.live)
        self.live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "500m"
        self.wanted["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "0.5"
        assert not self.in_sync()
        assert self.in_sync(("u", 3))
