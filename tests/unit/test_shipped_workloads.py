"""What is shipped to run has little: no root, bounded memory, only stated ports open (W-S14)."""

from typing import Any

import pytest

from bind_agent.manifests import load_manifests
from bind_agent.runtime.budget import HALVES, LISTS, PAGE
from konnector.limit_options import Limits

pytestmark = pytest.mark.unit

SETS = ("konnector", "backend")


def of_kind(folder: str, kind: str) -> list[dict[str, Any]]:
    return [one for one in load_manifests(folder) if one["kind"] == kind]


@pytest.mark.parametrize("folder", SETS)
def test_pods_have_no_way_up_and_an_end_of_memory(folder: str) -> None:
    (workload,) = of_kind(folder, "Deployment")
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not [one for one in pod["volumes"] if "hostPath" in one]
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert container["livenessProbe"]
        assert container["readinessProbe"]


def test_two_providers_that_use_up_their_budget_fit_into_the_shipped_konnector() -> None:
    (workload,) = of_kind("konnector", "Deployment")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) * 1024**2
    itself = 70 * 1024**2
    for_one = Limits().memory + Limits().memory // HALVES + LISTS * PAGE
    assert itself + 2 * for_one <= limit


@pytest.mark.parametrize("folder", SETS)
def test_only_stated_ports_are_reachable(folder: str) -> None:
    (workload,), (policy,) = of_kind(folder, "Deployment"), of_kind(folder, "NetworkPolicy")
    selected = policy["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    assert policy["metadata"]["namespace"] == workload["metadata"]["namespace"]
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    containers = workload["spec"]["template"]["spec"]["containers"]
    stated = {one["containerPort"] for container in containers for one in container["ports"]}
    opened = {one["port"] for rule in policy["spec"]["ingress"] for one in rule["ports"]}
    assert opened == stated
