"""What the copies of one claimed kind take of a provider's quota on the app cluster, counted as they come and go."""

from collections.abc import Callable, Mapping
from typing import Any

from bind_agent.api import keys, meta
from bind_agent.api.resource import Resource
from bind_agent.kube.codec import encode
from bind_agent.runtime.store import Entry
from konnector.sync import model
from konnector.sync.claim_quota import Quota
from konnector.sync.reports import Reports


class ClaimRoom:
    """The copies of one kind. A key is that of the object on the app cluster."""

    def __init__(
        self,
        quota: Quota,
        resource: Resource,
        label: str,
        *,
        shown: Callable[[str], Entry | None],
        wake: Callable[[str], None],
        reports: Reports,
    ) -> None:
        """Nothing is counted yet.

        Args:
            quota: of the provider, shared by all kinds.
            resource: the kind.
            label: value of the label on our copies.
            shown: what the watches of the app cluster show of an object.
            wake: has an object looked at again.
            reports: where it is told that the quota is used up.
        """
        self._quota = quota
        self._resource = resource
        self._label = label
        self._mark = label.encode()
        self._shown = shown
        self._wake = wake
        self._reports = reports
        self._counted: set[str] = set()
        self._beyond: set[str] = set()

    def look(self, key: str) -> None:
        """Count a copy, or that there is none, by what all watches show together."""
        entry = self._shown(key)
        # Most objects that are watched are no copies, which a look at the bytes tells without decoding.
        if entry is not None and self._mark in entry.body and self._is_copy(entry.object()):
            self.hold(key, len(entry.body))
        else:
            self._drop(key)

    def known(self, key: str, obj: Mapping[str, Any] | None) -> None:
        """The newest that is known of an object; own writes that no watch has shown yet included."""
        if obj is None or not self._is_copy(obj):
            self._drop(key)

    def refuses(self, key: str, copy: Mapping[str, Any]) -> bool:
        """Whether a copy would be too much; then it is woken when there is room, and the binding tells of it."""
        message = self._quota.refusal((self._resource, key), len(encode(copy)))
        if not message:
            return False
        self._beyond.add(key)
        self._quota.wait((self._resource, key), lambda: self._wake(key))
        self._reports.hinder(model.Reason.LIMIT, message)
        return True

    def take(self, key: str, copy: Mapping[str, Any]) -> None:
        """A copy is about to be written. Counted before it is there: several workers are at it."""
        self.hold(key, len(encode(copy)))

    def hold(self, key: str, size: int) -> None:
        """A copy takes so many bytes."""
        self._counted.add(key)
        self._quota.hold((self._resource, key), size)

    def settled(self, key: str) -> None:
        """An object is as it should be: it does not wait for room (any more)."""
        self._quota.settled((self._resource, key))
        self._beyond.discard(key)
        if not self._beyond:
            self._reports.unhinder()

    def close(self) -> None:
        """Nothing of this kind is followed any more."""
        for key in tuple(self._beyond):
            self.settled(key)
        for key in tuple(self._counted):
            self._drop(key)

    def _drop(self, key: str) -> None:
        if key in self._counted:
            self._counted.discard(key)
            self._quota.release((self._resource, key))

    def _is_copy(self, obj: Mapping[str, Any]) -> bool:
        return meta.labels(obj).get(keys.COPY) == self._label
