"""An informer that has synced and hears no more."""

from types import SimpleNamespace
from typing import Any

from bind_agent.runtime.store import Store, make_entry


def collection(*objects: dict[str, Any]) -> Any:
    """An informer with these objects in its store."""
    store = Store()
    for obj in objects:
        store.put(make_entry(obj))

    async def synced() -> None:
        """It is."""

    return SimpleNamespace(
        store=store,
        resource_version="1",
        wait_synced=synced,
        add_handler=lambda _: lambda: None,
        add_list_handler=lambda _: lambda: None,
    )
