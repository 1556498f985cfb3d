"""The merge of `spec.konnector.overrides` into the container (spec 5.5, 9.6)."""

import copy
from typing import Any

import pytest

from bind_agent.backend.controlplane.overrides import merged, pruned, raising

pytestmark = pytest.mark.unit

BASE: dict[str, Any] = {
    "name": "konnector",
    "image": "konnector:v1",
    "args": ["--one", "--two"],
    "env": [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
    ],
    "ports": [{"name": "health", "containerPort": 8080, "protocol": "TCP"}],
    "readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}, "periodSeconds": 10},
    "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    "securityContext": {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
}
POD_NAME, POD_NAMESPACE = BASE["env"]


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        pytest.param({}, {}, id="empty"),
        pytest.param(
            {"image": "", "args": [], "resources": {}, "tty": False, "env": None}, {}, id="nothing-said"
        ),
        pytest.param({"resources": {"limits": {"memory": ""}}}, {}, id="empty-inside"),
        pytest.param({"readinessProbe": {"periodSeconds": 0}}, {}, id="zero-cannot-be-said"),
        pytest.param({"securityContext": {"readOnlyRootFilesystem": False}}, {}, id="false-cannot-be-said"),
        pytest.param({"image": "other:v2"}, {"image": "other:v2"}, id="image"),
        pytest.param({"name": "agent"}, {"name": "agent"}, id="name"),
        pytest.param({"args": ["--three"]}, {"args": ["--three"]}, id="args-are-replaced"),
        pytest.param({"command": ["/bin/x"]}, {"command": ["/bin/x"]}, id="command"),
        pytest.param(
            {"envFrom": [{"secretRef": {"name": "x"}}]},
            {"envFrom": [{"secretRef": {"name": "x"}}]},
            id="envFrom",
        ),
        pytest.param(
            {"resources": {"limits": {"memory": "1Gi", "cpu": "1"}}},
            {
                "resources": {
                    "requests": {"cpu": "50m", "memory": "128Mi"},
                    "limits": {"memory": "1Gi", "cpu": "1"},
                }
            },
            id="resources-are-merged",
        ),
        pytest.param(
            {"env": [{"name": "LOG", "value": ""}]},
            {"env": [POD_NAME, POD_NAMESPACE, {"name": "LOG", "value": ""}]},
            id="env-keeps-pod-name-and-namespace",
        ),
        pytest.param(
            {"env": [{"name": "POD_NAME", "value": "me"}]},
            {"env": [{"name": "POD_NAME", "value": "me"}, POD_NAMESPACE]},
            id="env-value-instead-of-source",
        ),
        pytest.param(
            {"env": [{"name": "X", "value": "1"}, {"name": "X", "value": "2"}]},
            {"env": [POD_NAME, POD_NAMESPACE, {"name": "X", "value": "2"}]},
            id="env-said-twice",
        ),
        pytest.param({"env": [{"value": "nameless"}, "nonsense"]}, {}, id="env-without-name"),
        pytest.param(
            {"ports": [{"containerPort": 8080, "hostPort": 80}, {"containerPort": 9}]},
            {
                "ports": [
                    {"name": "health", "containerPort": 8080, "protocol": "TCP", "hostPort": 80},
                    {"containerPort": 9},
                ]
            },
            id="ports-by-number",
        ),
        pytest.param(
            {"volumeMounts": [{"name": "big", "mountPath": "/tmp"}, {"name": "ca", "mountPath": "/ca"}]},
            {"volumeMounts": [{"name": "big", "mountPath": "/tmp"}, {"name": "ca", "mountPath": "/ca"}]},
            id="mounts-by-path",
        ),
        pytest.param(
            {"volumeDevices": [{"name": "d", "devicePath": "/dev/x"}]},
            {"volumeDevices": [{"name": "d", "devicePath": "/dev/x"}]},
            id="devices-by-path",
        ),
        pytest.param(
            {"readinessProbe": {"periodSeconds": 3}},
            {"readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}, "periodSeconds": 3}},
            id="probe-is-merged",
        ),
        pytest.param(
            {"readinessProbe": {"exec": {"command": ["true"]}}},
            {"readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 10}},
            id="probe-with-another-handler",
        ),
        pytest.param(
            {"securityContext": {"runAsUser": 7, "capabilities": {"add": ["X"]}}},
            {
                "securityContext": {
                    "readOnlyRootFilesystem": True,
                    "runAsUser": 7,
                    "capabilities": {"drop": ["ALL"], "add": ["X"]},
                }
            },
            id="security-context-is-merged",
        ),
        pytest.param({"$patch": "delete", "image": "x"}, {"image": "x"}, id="no-directives"),
    ],
)
def test_matrix(overrides: dict[str, Any], changed: dict[str, Any]) -> None:
    base, given = copy.deepcopy(BASE), copy.deepcopy(overrides)
    assert merged(base, given) == {**BASE, **changed}
    assert (base, given) == (BASE, overrides)


def test_a_container_without_lists_gets_them() -> None:
    assert merged({"name": "c"}, {"env": [{"name": "X", "value": "1"}]}) == {
        "name": "c",
        "env": [{"name": "X", "value": "1"}],
    }


def test_lists_are_not_pruned() -> None:
    assert pruned({"args": ["", "x"], "a": {"b": {"c": 0}}, "d": {"e": [0]}}) == {
        "args": ["", "x"],
        "d": {"e": [0]},
    }


@pytest.mark.parametrize(
    ("overrides", "fields"),
    [
        ({}, []),
        ({"image": "x", "resources": {"limits": {"memory": "1Gi"}}, "ports": [{"containerPort": 1}]}, []),
        ({"securityContext": {"privileged": False}, "ports": "x"}, []),
        ({"securityContext": {"privileged": True}}, ["securityContext"]),
        ({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, ["securityContext"]),
        ({"ports": [{"containerPort": 1, "hostPort": 1}, 3]}, ["ports.hostPort"]),
    ],
)
def test_what_could_ask_for_more_than_a_konnector_needs(overrides: dict[str, Any], fields: list[str]) -> None:
    assert raising(overrides) == fields
