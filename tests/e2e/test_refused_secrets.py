"""A Secret that admission refuses while quoting it: told, and quoted nowhere."""

import base64
import json
from collections.abc import Callable

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, CORE_EVENTS, SECRETS
from tests.fakes.quoting_policy import quoting_policy
from tests.fakes.system import Service, System, eventually, secret, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

CANARY = "CANARY-hunter2"


async def test_a_secret_that_a_policy_quotes_is_told_and_quoted_nowhere(
    system: System, databases: Service, unique: Callable[[str], str]
) -> None:
    here = await system.namespace(unique("quoted"))
    system.provoked.add(here)
    await system.down.create(databases.resource, thing(databases.resource, f"{here}/anchor", size=1))
    there = await system.service_namespace(here)
    async with quoting_policy(system.down, here, [SECRETS], {"weak": "Forbidden"}):
        await system.up.create(SECRETS, secret(f"{there}/weak", {"weak": CANARY}))
        # Others of the same namespace come through meanwhile.
        await system.up.create(SECRETS, secret(f"{there}/strong", {"password": "x"}))

        async def told() -> Object | None:
            events = (await system.down.list(CORE_EVENTS, namespace=here)).items
            about = [e for e in events if e["involvedObject"]["name"] == "weak"]
            return about[0] if about else None

        event = await eventually(told, what="the event about the refused Secret")
        assert event["reason"] == "ObjectRefused"
        assert f'refuses to create secrets in namespace "{here}"' in event["message"]
        assert "admission policies" in event["message"]
        await eventually(
            lambda: system.down.get_or_none(SECRETS, "strong", namespace=here), what="the other Secret"
        )
        bindings = (await system.down.list(BINDINGS, namespace=keys.CONSUMER_NAMESPACE)).items
        events = (await system.down.list(CORE_EVENTS)).items
        exported = (await system.up.list(CORE_EVENTS)).items
        mine = next(b for b in bindings if meta.name(b) == databases.name)
        stated = {c["type"]: c["status"] for c in mine["status"]["conditions"]}
        # One refused object is no matter of the whole binding.
        assert stated.get("ObjectsInSync", "True") == "True"
        said = json.dumps([bindings, events, exported])
        said += system.konnector.log.read_text(errors="replace") + system.backend.log.read_text(
            errors="replace"
        )
        for shape in (CANARY, base64.b64encode(CANARY.encode()).decode(), CANARY.encode().hex()):
            assert shape not in said
        # It is the policy that said so, and the log shows that it was met.
        assert "weak password" not in said
        assert "refuses to create secrets" in system.konnector.log.read_text(errors="replace")
    # When the policy is gone the Secret comes by itself.
    copy = await eventually(
        lambda: system.down.get_or_none(SECRETS, "weak", namespace=here), what="the Secret", timeout=60
    )
    assert copy["data"] == secret("a/b", {"weak": CANARY})["data"]
