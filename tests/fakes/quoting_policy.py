"""An admission policy that quotes the content of what it refuses, as policies of careless people do."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import Forbidden
from tests.fakes.admission import admission_policy


@asynccontextmanager
async def quoting_policy(
    client: Client, namespace: str, kinds: Collection[Resource], reasons: Mapping[str, str]
) -> AsyncIterator[None]:
    """A policy for one namespace, in force while the block lasts.

    Args:
        client: of an admin.
        namespace: where it holds; names the policy, too.
        kinds: core kinds with `data`; the first one is used to see that it is in force.
        reasons: the reason that is given, by the key of `data` that is refused and quoted; one has to be Forbidden.
    """
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": [kind.plural for kind in kinds],
        "operations": ["CREATE", "UPDATE"],
    }
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceRules": [rule],
        },
        "validations": [
            {
                "expression": f"!has(object.data) || !('{key}' in object.data)",
                "reason": reason,
                "messageExpression": f"'weak password: ' + string(object.data['{key}'])",
            }
            for key, reason in reasons.items()
        ],
    }
    probed = next(iter(kinds))
    forbidden = next(key for key, reason in reasons.items() if reason == "Forbidden")
    probe = {
        "apiVersion": probed.api_version,
        "kind": probed.kind,
        "metadata": {"name": "probe"},
        "data": {forbidden: "cHJvYmU="},
    }
    async with admission_policy(
        client,
        f"quotes-{namespace}",
        spec,
        probe=(probed, namespace, probe),
        refusal=Forbidden,
        seconds=60,
    ):
        yield
