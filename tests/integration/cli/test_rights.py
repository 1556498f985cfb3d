"""The roles for people: what is shipped is enough to bind, and no more than Kubernetes allows to hand on."""

from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.manifests import load_manifests
from tests.fakes.bindlab import Lab, writes
from tests.fakes.tenant import expect, run_cli

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SECRETS = {"resource": "secrets", "version": "v1", "selector": {"owner": "Provider"}}


async def grant(lab: Lab, group: str, role: dict[str, Any]) -> None:
    namespace = role["metadata"].get("namespace", "")
    kind = role["kind"]
    base = f"{RBAC}/namespaces/{namespace}" if namespace else RBAC
    await expect(lab.consumer, "POST", f"{base}/{kind.lower()}s", role)
    binding = {
        "metadata": {"name": f"{role['metadata']['name']}-{group}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role["metadata"]["name"]},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
    }
    await expect(lab.consumer, "POST", f"{base}/{kind.lower()}bindings", binding)


async def test_the_shipped_role_is_enough_for_those_who_hold_what_they_hand_on(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns"), SECRETS).create()
    group, outsider = unique("binders"), unique("others")
    namespace = {"metadata": {"name": keys.CONSUMER_NAMESPACE}}
    await expect(lab.consumer, "POST", "/api/v1/namespaces", namespace)
    for one in (group, outsider):
        for role in load_manifests("rbac/binder.yaml"):
            await grant(lab, one, role)
    plural, _, api_group = api.partition(".")
    own = {
        "kind": "ClusterRole",
        "metadata": {"name": unique("own")},
        "rules": [
            {"apiGroups": [api_group], "resources": [plural, f"{plural}/status"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]},
        ],
    }
    await grant(lab, group, own)

    async def bind(user: str, of: str) -> Any:
        path = lab.folder / f"{user}.kubeconfig"
        path.write_text(lab.consumer.user_kubeconfig(user, [of]), encoding="utf-8")
        return await run_cli(
            "apiservice",
            f"--kubeconfig={path}",
            f"--remote-kubeconfig={tenant.kubeconfig}",
            f"--file={lab.request_file(api)}",
            "--accept-claims=all",
            "--skip-konnector",
        )

    async with tenant.backend():
        refused = await bind("eve", outsider)
        assert await lab.binding(api) is None
        done = await bind("ann", group)
        mark = lab.consumer.audit_mark()
        again = await bind("ann", group)
    assert refused.code == 1
    assert "attempting to grant RBAC permissions not currently held" in refused.err
    assert "left behind" in refused.err
    assert done.code == 0, done.err
    assert again.code == 0, again.err
    assert writes(lab.consumer, mark) == []
    assert await lab.binding(api) is not None
