"""The konnector's schema controller with one binding, between a provider and an app cluster that tests play."""

import copy
import re
from types import SimpleNamespace
from typing import Any

from bind_agent.api import keys
from bind_agent.api.conditions import Condition
from bind_agent.api.resource import Resource
from bind_agent.kube.lists import RawPage
from bind_agent.runtime.controller import Result
from bind_agent.runtime.store import make_entry
from konnector.controllers import schema
from konnector.schema.crd import desired_crd
from tests.fakes.collections import collection

NAME = "dbs.example.com"
KEY = f"klutch-bind/{NAME}"
DBS = Resource("example.com", "v1", "dbs")
ESTABLISHED = {"type": "Established", "status": "True"}


def offer(*fields: str, **changes: Any) -> dict[str, Any]:
    """An export with these fields in its schema."""
    properties = {"spec": {"type": "object", "properties": {name: {"type": "string"} for name in fields}}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    }
    spec = {
        "group": "example.com",
        "names": {"plural": "dbs", "kind": "Db"},
        "scope": "Namespaced",
        "informerScope": "Cluster",
        "versions": [version],
    }
    return {"metadata": {"name": NAME, "namespace": "cns"}, "spec": {**spec, **changes}}


class World:
    """A schema controller with one binding; writes and lists are noted."""

    def __init__(
        self, offered: dict[str, Any], installed: dict[str, Any], *, control_plane: str = ""
    ) -> None:
        self.binding = {"metadata": {"name": NAME, "namespace": "klutch-bind", "uid": "b", "generation": 1}}
        crd = desired_crd(installed, self.binding, control_plane=control_plane)
        crd["metadata"] |= {"uid": "c", "resourceVersion": "1", "generation": 1}
        crd["status"] = {"conditions": [ESTABLISHED], "storedVersions": ["v1"]}
        self.crds = collection(crd)
        self.exports = collection(offered)
        self.bindings = collection(self.binding)
        self.objects: bool | Exception = True
        self.listed: list[Resource] = []
        self.written: list[dict[str, Any]] = []
        self.conditions: dict[str, Condition] = {}
        pool = SimpleNamespace(acquire=lambda *_, **__: self.crds, release=lambda _: None)
        client = SimpleNamespace(replace=self._replace, pages=self._pages)
        app: Any = SimpleNamespace(
            pool=pool, client=client, control_plane=control_plane, root="klutch-bind", roles=""
        )
        status: Any = SimpleNamespace(state=self._state, state_provider=lambda *_: None)
        self.schemas = schema.Schemas(
            app,
            self.exports,
            self.bindings,
            "cns",
            served=lambda: frozenset({KEY}),
            status=status,
            pretty_name=str,
        )

    def _state(self, _: list[str], *stated: Condition) -> None:
        self.conditions.update({one.type: one for one in stated})

    async def _replace(self, _: Resource, crd: dict[str, Any]) -> dict[str, Any]:
        self.written.append(crd)
        installed = self.crds.store.get(NAME).object()
        version = int(installed["metadata"]["resourceVersion"]) + 1
        answer = copy.deepcopy({**crd, "status": installed["status"]})
        answer["metadata"] |= {"resourceVersion": str(version), "generation": version}
        self.crds.store.put(make_entry(answer))
        return answer

    async def _pages(self, resource: Resource, *, page_size: int) -> Any:
        self.listed.append(resource)
        assert page_size == 1
        if isinstance(self.objects, Exception):
            raise self.objects
        yield RawPage([b"{}"] if self.objects else [], "1", last=True)

    def serve(self, *stated: dict[str, Any]) -> None:
        """Have the API server say this of the CRD."""
        crd = self.crds.store.get(NAME).object()
        crd["status"]["conditions"] = list(stated)
        self.crds.store.put(make_entry(crd))

    async def look(self, offered: dict[str, Any] | None = None, *, accepted: str = "") -> Result | None:
        """One reconcile, after what the provider or a person changed."""
        if offered is not None:
            self.exports.store.put(make_entry(offered))
        if accepted:
            self.binding["metadata"]["annotations"] = {keys.ACCEPT_SCHEMA: accepted}
            self.bindings.store.put(make_entry(self.binding))
        return await self.schemas._reconcile(KEY)

    @property
    def named(self) -> str:
        """What the command in the message says."""
        found = re.search(rf"{keys.ACCEPT_SCHEMA}=(\S+) --overwrite$", self.message)
        assert found is not None, self.message
        return found[1]

    @property
    def verdict(self) -> tuple[str, str, str]:
        found = self.conditions["SchemaInSync"]
        return found.status, found.reason, found.severity

    @property
    def message(self) -> str:
        return self.conditions["SchemaInSync"].message
