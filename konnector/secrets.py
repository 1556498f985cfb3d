"""The Secrets that may hold kubeconfigs, on the cluster with the bindings."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bind_agent.api import keys
from bind_agent.kube.intake_fields import IntakeError
from bind_agent.runtime.informer import Handler, Informer
from bind_agent.runtime.store import Entry


class Secrets:
    """One view on all collections of Secrets that a konnector follows."""

    def __init__(self, informers: Iterable[Informer]) -> None:
        """Look into these.

        Args:
            informers: of Secrets; where two show the same one, the first is believed.
        """
        self._informers = tuple(informers)

    def get(self, key: str) -> Entry | None:
        """The Secret ``namespace/name`` as it is known, None when there is none."""
        return next((found for one in self._informers if (found := one.store.get(key)) is not None), None)

    def add_handler(self, handler: Handler) -> Callable[[], None]:
        """Have a handler told of each Secret and each change; returns the function that ends it."""
        removers = [informer.add_handler(handler) for informer in self._informers]

        def remove() -> None:
            for one in removers:
                one()

        return remove


def kubeconfig_of(secret: Mapping[str, Any], key: str = keys.KUBECONFIG) -> bytes:
    """The kubeconfig inside a Secret.

    Args:
        secret: the Secret.
        key: which entry of it.

    Raises:
        IntakeError: there is none.
    """
    encoded = (secret.get("data") or {}).get(key)
    if not isinstance(encoded, str):
        raise IntakeError("EntryMissing", f"the Secret has no entry {key!r}", "put the kubeconfig there")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntakeError(
            "NotBase64", f"the Secret's entry {key!r} is not base64", "put the kubeconfig there again"
        ) from error
