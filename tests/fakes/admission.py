"""Admission policies of a platform, in force while a test needs them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import KubeError
from tests.fakes.eventually import eventually

_GROUP = "admissionregistration.k8s.io"
_POLICIES = Resource(
    _GROUP, "v1", "validatingadmissionpolicies", namespaced=False, kind="ValidatingAdmissionPolicy"
)
_BINDINGS = Resource(
    _GROUP,
    "v1",
    "validatingadmissionpolicybindings",
    namespaced=False,
    kind="ValidatingAdmissionPolicyBinding",
)


@asynccontextmanager
async def admission_policy(
    client: Client,
    name: str,
    spec: dict[str, Any],
    *,
    probe: tuple[Resource, str, Object],
    refusal: type[KubeError],
    seconds: float = 20,
) -> AsyncIterator[None]:
    """A policy that denies, in force while the block lasts.

    Args:
        client: of an admin.
        name: of the policy and of its binding.
        spec: of the policy.
        probe: kind, namespace and object that the policy refuses; it is created as a dry run only.
        refusal: what the probe is refused with; anything else is an error.
        seconds: how long an API server may take to take the policy up.
    """
    resource, namespace, obj = probe
    policy = {
        "apiVersion": _POLICIES.api_version,
        "kind": _POLICIES.kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    binding = {
        "apiVersion": _BINDINGS.api_version,
        "kind": _BINDINGS.kind,
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }

    async def in_force() -> bool:
        try:
            await client.create(resource, obj, namespace=namespace, dry_run=True)
        except refusal:
            return True
        return False

    await client.create(_POLICIES, policy)
    await client.create(_BINDINGS, binding)
    try:
        await eventually(in_force, seconds=seconds, every=0.2)
        yield
    finally:
        await client.delete(_BINDINGS, name)
        await client.delete(_POLICIES, name)
