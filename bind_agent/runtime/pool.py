"""The informers of one cluster, shared by all who follow the same collection in the same way."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.runtime.budget import Budget
from bind_agent.runtime.informer import Informer
from bind_agent.runtime.store import IndexFunction
from bind_agent.runtime.transform import Transform

__all__ = ["InformerPool"]


@dataclass(slots=True)
class _Share:
    """An informer of a pool, and how many hold it."""

    informer: Informer
    key: tuple[object, ...]
    holders: int = 1
    task: "asyncio.Task[None] | None" = None


class InformerPool:
    """Informers of one cluster, shared by all who follow the same collection in the same way.

    ```
    async with InformerPool(client) as pool:
        secrets = pool.acquire(SECRETS, label_selector="app=x")
        ...
        pool.release(secrets)
    ```

    Leaving the block stops all of them and waits for their end.
    """

    def __init__(self, client: Client, *, cluster: str = "cluster", budget: Budget | None = None) -> None:
        """Set up for one cluster.

        Args:
            client: of the cluster.
            cluster: the label of metrics, as given to `Client.open`.
            budget: bounds what all informers keep together; None for a cluster that is trusted.
        """
        self.client = client
        self._cluster = cluster
        self._budget = budget
        self._shares: dict[tuple[object, ...], _Share] = {}
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        group = asyncio.TaskGroup()
        self._group = await group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group, self._group = self._group, None
        if group is None:
            return
        for share in self._shares.values():
            if share.task is not None:
                share.task.cancel()
        self._shares.clear()
        await group.__aexit__(kind, error, trace)

    def __len__(self) -> int:
        return len(self._shares)

    def acquire(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform | None = None,
        indexes: Mapping[str, IndexFunction] | None = None,
    ) -> Informer:
        """The informer for a collection, running; each call is to be answered by one `release`.

        Args:
            resource: the kind; version and scope count, the name of the kind does not.
            namespace: one namespace; None for all.
            label_selector: as in the API; spelt differently it is another collection.
            field_selector: likewise.
            transform: what is left out; informers with different functions are not shared.
            indexes: added to the informer's own.

        Raises:
            RuntimeError: the pool is not entered, or left.
            ValueError: an index name is taken by another function.
        """
        if self._group is None:
            raise RuntimeError("the pool of informers is not running")
        key = (
            resource.group,
            resource.version,
            resource.plural,
            namespace,
            label_selector,
            field_selector,
            transform,
        )
        share = self._shares.get(key)
        if share is None:
            informer = Informer(
                self.client,
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                transform=transform,
                indexes=indexes,
                cluster=self._cluster,
                budget=self._budget,
            )
            share = _Share(informer, key)
            run = informer.run()
            try:
                share.task = self._group.create_task(run, name=f"informer {resource}")
            except RuntimeError:
                # The group is ending because something in it failed.
                run.close()
                raise
            self._shares[key] = share
            return informer
        for name, fn in (indexes or {}).items():
            share.informer.store.add_index(name, fn)
        share.holders += 1
        return share.informer

    def release(self, informer: Informer) -> None:
        """Give an informer back; the last holder stops it. Handlers are for their owners to remove, before.

        After the pool was left this does nothing.
        """
        for share in self._shares.values():
            if share.informer is informer:
                share.holders -= 1
                if share.holders == 0:
                    del self._shares[share.key]
                    if share.task is not None:
                        share.task.cancel()
                    informer.end()
                return

    def informers(self) -> tuple[Informer, ...]:
        """Those that run now."""
        return tuple(share.informer for share in self._shares.values())
