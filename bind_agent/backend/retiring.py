"""Announcing the end of exports, and taking it back: the shell around `retirement`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS, EXPORTS
from bind_agent.backend import names, retirement
from bind_agent.backend.access import Kind
from bind_agent.backend.retirement import Planned
from bind_agent.kube.client import Client
from bind_agent.kube.errors import Conflict

log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 5


class RetiringError(Exception):
    """Nothing to retire or restore; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An export, or a kind that has retired.

    Attributes:
        namespace: of the tenant.
        name: `P.G`.
        export: None when it has retired.
        retired: when it did, or empty.
    """

    namespace: str
    name: str
    export: Object | None
    retired: str = ""


class Retirements:
    """Ends exports in good time."""

    def __init__(self, client: Client) -> None:
        """Set up.

        Args:
            client: of the provider cluster.
        """
        self._client = client

    async def list(self, namespaces: Sequence[str]) -> Sequence[Offer]:
        """Exports and retired kinds of tenants, by namespace and name.

        Args:
            namespaces: of the tenants.

        Raises:
            KubeError: a request failed.
        """
        exports = (await self._client.list(EXPORTS)).items
        bindings = (await self._client.list(CLUSTER_BINDINGS)).items
        found = [Offer(meta.namespace(one), meta.name(one), one) for one in exports]
        present = {(one.namespace, one.name) for one in found}
        for binding in bindings:
            if meta.name(binding) != keys.CLUSTER_BINDING_NAME:
                continue
            namespace = meta.namespace(binding)
            found += [
                Offer(namespace, name, None, time)
                for name, time in retirement.retired(binding).items()
                if (namespace, name) not in present
            ]
        wanted = set(namespaces)
        return sorted(
            (one for one in found if one.namespace in wanted), key=lambda one: (one.namespace, one.name)
        )

    async def retire(
        self, namespace: str, kind: Kind, *, at: datetime, note: str = "", by: str = names.BY_OPERATOR
    ) -> Planned:
        """Announce the end of an export, or another time of it.

        Args:
            namespace: of the tenant.
            kind: the exported kind.
            at: when it ends.
            note: what to tell the consumer.
            by: who announces it; a person does not change what an operator has announced.

        Raises:
            RetiringError: the tenant has no such export, or its end is not this one's to change.
            KubeError: a request failed.
        """
        planned = Planned(at, note, by)
        if not await self._annotate(namespace, kind, retirement.marks(planned), by):
            raise RetiringError(f"{namespace} has no export {kind}: `bind-backend export list` shows all")
        log.info("retirement announced", namespace=namespace, export=str(kind))
        return planned

    async def restore(self, namespace: str, kind: Kind, *, by: str = names.BY_OPERATOR) -> bool:
        """Take an announcement back, or let a retired kind be requested again.

        Args:
            namespace: of the tenant.
            kind: the kind.
            by: who takes it back; a person takes back only what a person has announced.

        Returns:
            Whether the export still stands; False: it has retired, and may be requested again from now on.

        Raises:
            RetiringError: the kind neither retires nor has retired for this tenant, or its end is not this
                one's to take back.
            KubeError: a request failed.
        """
        # The export first: once its announcement is gone, nobody notes any more that it has retired.
        stands = await self._annotate(namespace, kind, {}, by)
        lifted = by == names.BY_OPERATOR and await self._lift(namespace, kind)
        if not lifted and stands is not True:
            raise RetiringError(f"{kind} neither retires nor has retired for {namespace}")
        log.info("retirement taken back", namespace=namespace, export=str(kind))
        return stands is not None

    async def _annotate(self, namespace: str, kind: Kind, marks: dict[str, str], by: str) -> bool | None:
        """Put an announcement on an export; None: there is no export, False: nothing was to be changed."""
        for _ in range(_ATTEMPTS):
            # A list, because the backend's account has no right to read single ones besides.
            found = (await self._client.list(EXPORTS, namespace=namespace)).items
            export = next((one for one in found if meta.name(one) == str(kind)), None)
            if export is None or meta.is_deleting(export):
                return None
            announced = retirement.planned(export)
            if announced is not None and by not in {names.BY_OPERATOR, announced.by}:
                raise RetiringError(f"the provider itself has announced the end of {kind}: ask its operators")
            others = {
                key: value
                for key, value in meta.annotations(export).items()
                if key not in {names.RETIRE_AT, names.RETIRE_NOTE, names.RETIRE_BY}
            }
            if {**others, **marks} == dict(meta.annotations(export)):
                return bool(marks)
            metadata = {**meta.metadata(export), "annotations": {**others, **marks}}
            try:
                await self._client.replace(EXPORTS, {**export, "metadata": metadata}, namespace=namespace)
            except Conflict:
                continue
            return True
        raise RetiringError(f"the export {kind} of {namespace} keeps changing: try again")

    async def _lift(self, namespace: str, kind: Kind) -> bool:
        for _ in range(_ATTEMPTS):
            found = (await self._client.list(CLUSTER_BINDINGS, namespace=namespace)).items
            binding = next((one for one in found if meta.name(one) == keys.CLUSTER_BINDING_NAME), None)
            kinds = retirement.retired(binding)
            if binding is None or kinds.pop(str(kind), None) is None:
                return False
            patch = {
                "metadata": {
                    "resourceVersion": meta.resource_version(binding),
                    "annotations": {names.RETIRED: retirement.retired_mark(kinds)},
                }
            }
            try:
                await self._client.merge_patch(
                    CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, patch, namespace=namespace
                )
            except Conflict:
                continue
            return True
        raise RetiringError(f"the ClusterBinding of {namespace} keeps changing: try again")
