"""Thousands of finished tenants, after the model of one that the backend made itself.

Everything that the backend wrote for the model is read, and written again for each further tenant with its own
names, identity and UIDs. To the backend they look as if it had made them; only the tokens in their Secrets are
copies, which nobody uses.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    CLUSTERROLES,
    EXPORTS,
    NAMESPACES,
    ROLEBINDINGS,
    SECRETS,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.backend.tenancy.identity import Identity, namespace_candidates
from bind_agent.kube.client import Client

PREFIX: Final = "cluster"
PER_PERSON: Final = 3
"""App clusters of one person."""

_SERVER_SIDE: Final = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "selfLink",
)


def subject(number: int) -> str:
    """The name of a person at the issuer."""
    return f"person-{number:05d}"


def owner(tenant: int) -> str:
    """Whose app cluster a tenant is."""
    return subject(tenant // PER_PERSON)


@dataclass(frozen=True, slots=True)
class Part:
    """One object of the model, as JSON."""

    resource: Resource
    text: str


@dataclass(frozen=True, slots=True)
class Model:
    """All that belongs to one tenant.

    Attributes:
        who: its identity.
        namespace: its Namespace.
        parts: everything else, in the order in which it is made.
    """

    who: Identity
    namespace: Part
    parts: Sequence[Part]


async def model(admin: Client, who: Identity, namespace: str) -> Model:
    """Read a tenant; it must have settled."""
    found = await admin.get(NAMESPACES, namespace)
    parts = [Part(CLUSTERROLES, _text(await admin.get(CLUSTERROLES, keys.dynamic_role(namespace))))]
    for resource in (SERVICEACCOUNTS, SECRETS, ROLEBINDINGS, EXPORTS, CLUSTER_BINDINGS):
        found_here = (await admin.list(resource, namespace=namespace)).items
        parts += [
            Part(resource, _text({**one, "kind": resource.kind}))
            for one in found_here
            # What every namespace gets by itself.
            if (resource, meta.name(one)) != (SERVICEACCOUNTS, "default")
        ]
    return Model(who, Part(NAMESPACES, _text(found)), parts)


def tenants(
    admin: Client, like: Model, count: int, *, now: Callable[[], str]
) -> list[Callable[[], Awaitable[None]]]:
    """Work that makes tenants, one each."""
    return [
        lambda number=number: _tenant(admin, like, number, now())  # type: ignore[misc]
        for number in range(count)
    ]


async def _tenant(admin: Client, like: Model, number: int, now: str) -> None:
    who = Identity(owner(number), f"cluster-{number:05d}", like.who.issuer)
    old = json.loads(like.namespace.text)
    words = {
        meta.name(old): namespace_candidates(PREFIX, who)[0],
        like.who.subject: who.subject,
        like.who.cluster_id: who.cluster_id,
    }
    made = await admin.create(NAMESPACES, bare(renamed(like.namespace.text, words)))
    words[meta.uid(old)] = meta.uid(made)
    for part in like.parts:
        wanted = renamed(part.text, words)
        namespace = meta.namespace(wanted) or None
        stored = await admin.create(part.resource, bare(wanted), namespace=namespace)
        if status := wanted.get("status"):
            if part.resource is CLUSTER_BINDINGS:
                status["lastHeartbeatTime"] = now
            await admin.replace(
                part.resource, {**stored, "status": status}, namespace=namespace, subresource="status"
            )


def renamed(text: str, words: dict[str, str]) -> Object:
    """An object of the model under other names, in the contents of Secrets as well."""
    found: Object = json.loads(_replaced(text, words))
    data = found.get("data")
    if found["kind"] == SECRETS.kind and isinstance(data, dict):
        found["data"] = {
            key: base64.b64encode(
                _replaced(base64.b64decode(value).decode("utf-8"), words).encode("utf-8")
            ).decode("ascii")
            for key, value in data.items()
        }
    return found


def bare(obj: Object) -> Object:
    """An object without what the server adds."""
    metadata = {key: value for key, value in meta.metadata(obj).items() if key not in _SERVER_SIDE}
    kept: dict[str, Any] = {key: value for key, value in obj.items() if key != "status"}
    return {**kept, "metadata": metadata}


def _replaced(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def _text(obj: Object) -> str:
    return json.dumps(obj)
