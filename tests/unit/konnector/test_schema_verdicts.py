"""What is said of a binding whose API cannot be brought to the app cluster."""

from types import SimpleNamespace
from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.api.conditions import Condition
from bind_agent.kube.errors import Invalid
from bind_agent.runtime.store import Store, make_entry
from konnector.controllers import schema

pytestmark = pytest.mark.unit

NAME = "dbs.example.com"
KEY = f"klutch-bind/{NAME}"


def collection(*objects: dict[str, Any]) -> Any:
    store = Store()
    for obj in objects:
        store.put(make_entry(obj))

    async def synced() -> None:
        """It is."""

    def added(_: Any) -> Any:
        return lambda: None

    return SimpleNamespace(
        store=store, resource_version="1", wait_synced=synced, add_handler=added, add_list_handler=added
    )


async def _verdicts(
    monkeypatch: pytest.MonkeyPatch, *, crds: Any, exports: Any
) -> dict[str, tuple[str, str, str]]:
    """Status, reason and severity of what one look states, by type."""
    owner = {"apiVersion": keys.API_VERSION, "kind": keys.KIND_BINDING, "name": NAME, "uid": "b"}
    wanted = {"metadata": {"name": NAME, "ownerReferences": [owner]}, "spec": {"group": "example.com"}}
    monkeypatch.setattr(schema, "desired_crd", lambda *_, **__: wanted)
    stated: dict[str, tuple[str, str, str]] = {}

    def state(_: list[str], *conditions: Condition) -> None:
        stated.update({c.type: (c.status, c.reason, c.severity) for c in conditions})

    async def create(*_: Any, **__: Any) -> None:
        raise Invalid("spec.versions: too wrong", code=422)

    pool = SimpleNamespace(acquire=lambda *_, **__: crds, release=lambda _: None)
    app: Any = SimpleNamespace(pool=pool, client=SimpleNamespace(create=create), control_plane="")
    status: Any = SimpleNamespace(state=state, state_provider=lambda *_: None)
    binding = {"metadata": {"name": NAME, "namespace": "klutch-bind", "uid": "b"}}
    schemas = schema.Schemas(
        app,
        exports,
        collection(binding),
        "cns",
        served=lambda: frozenset({KEY}),
        status=status,
        pretty_name=str,
    )
    await schemas._reconcile(KEY)
    return stated


EXPORT = {"metadata": {"name": NAME, "namespace": "cns"}}


async def test_a_refused_crd_is_not_in_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = ("False", "CustomResourceDefinitionCreateFailed", "Error")
    found = await _verdicts(monkeypatch, crds=collection(), exports=collection(EXPORT))
    assert found == {"Connected": failed, "SchemaInSync": failed}


async def test_a_foreign_crd_is_not_in_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {"metadata": {"name": NAME, "uid": "x", "resourceVersion": "1"}, "spec": {}}
    failed = ("False", "ForeignCustomResourceDefinition", "Error")
    found = await _verdicts(monkeypatch, crds=collection(foreign), exports=collection(EXPORT))
    assert found == {"Connected": failed, "SchemaInSync": failed}


async def test_of_a_missing_export_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await _verdicts(monkeypatch, crds=collection(), exports=collection())
    assert found == {"Connected": ("False", "APIServiceExportNotFound", "Error")}
