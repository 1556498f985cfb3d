"""CRDs and static roles, without which nothing works: installed where allowed, else checked."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    APP_CLUSTER_BINDINGS,
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTERROLES,
    CRDS,
    EXPORT_REQUESTS,
    EXPORT_TEMPLATES,
    EXPORTS,
    SERVICE_NAMESPACES,
    Resource,
)
from bind_agent.backend import access, names
from bind_agent.backend.rights import Rights
from bind_agent.kube.client import Client
from bind_agent.kube.errors import Conflict
from bind_agent.manifests import load_manifests

log = structlog.get_logger(__name__)

REQUIRED: Final = (CLUSTER_BINDINGS, EXPORTS, EXPORT_REQUESTS, EXPORT_TEMPLATES, SERVICE_NAMESPACES)
"""Kinds that a provider needs (spec 8.3)."""

ROLES: Final = (keys.BINDER, names.BACKEND_TENANT_ROLE)


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be there before a backend works.

    Attributes:
        kinds: whose CRDs.
        roles: names of static ClusterRoles.
        folders: below `manifests`, where these roles are shipped.
    """

    kinds: tuple[Resource, ...] = REQUIRED
    roles: tuple[str, ...] = ROLES
    folders: tuple[str, ...] = ("backend",)


BASE: Final = Needs()

CONTROL_PLANE: Final = Needs(
    (*REQUIRED, BINDINGS, APP_CLUSTER_BINDINGS),
    (*ROLES, names.BACKEND_ROOT_ROLE),
    ("backend", "backend/control-plane-mode"),
)
"""In control plane mode (spec 5.1)."""

_ESTABLISH_TRIES: Final = 300
_ESTABLISH_WAIT: Final = 0.1


class NotInstalled(Exception):  # noqa: N818 - says what is the case
    """Something is missing that the backend may not install; the message says what to apply."""


async def prepare(client: Client, rights: Rights, *, install: bool, needs: Needs = BASE) -> None:
    """Bring CRDs and static roles about.

    Args:
        client: of the provider cluster.
        rights: what we may do.
        install: write what is missing or old, where that is allowed.
        needs: what this backend needs.

    Raises:
        NotInstalled: something is missing, or not served in time.
        KubeError: a request failed.
    """
    wanted = {crd["metadata"]["name"]: crd for crd in load_manifests("crds")}
    missing = [
        kind.crd_name
        for kind in needs.kinds
        if not await _crd(client, rights, wanted[kind.crd_name], install=install)
    ]
    if missing:
        raise NotInstalled(
            f"the provider lacks the CRDs {', '.join(missing)}: `kubectl apply -k manifests/crds`,"
            " or run the backend"
            " with --install-crds and the right to create CRDs"
        )
    for kind in needs.kinds:
        await _established(client, kind)
    roles = {
        role["metadata"]["name"]: role
        for folder in needs.folders
        for role in load_manifests(folder)
        if role["kind"] == CLUSTERROLES.kind
    }
    lacking = [name for name in needs.roles if not await _role(client, rights, roles[name])]
    if lacking:
        commands = " and ".join(f"`kubectl apply -k manifests/{folder}`" for folder in needs.folders)
        raise NotInstalled(f"the provider lacks the ClusterRoles {', '.join(lacking)}: {commands}")


async def _crd(client: Client, rights: Rights, wanted: Object, *, install: bool) -> bool:
    """Whether the CRD is there in the end."""
    name = meta.name(wanted)
    actual = await client.get_or_none(CRDS, name)
    if actual is None:
        if not install or not await rights.may("create", CRDS):
            return False
        log.info("installing a CRD", crd=name)
        try:
            await client.create(CRDS, wanted)
        except Conflict:
            log.info("another one installed it", crd=name)
        return True
    spec = actual.get("spec") or {}
    if contains(spec, wanted["spec"]) or spec.get("scope") != wanted["spec"]["scope"]:
        # No update changes a scope; `_established` says so.
        return True
    if not install or not await rights.may("update", CRDS, name=name):
        log.warning(
            "a CRD differs from the shipped one; `kubectl apply -k manifests/crds` brings it up to date",
            crd=name,
        )
        return True
    log.info("updating a CRD", crd=name)
    try:
        await client.replace(CRDS, {**actual, "spec": wanted["spec"]})
    except Conflict:
        log.info("another one is changing it", crd=name)
    return True


async def _established(client: Client, kind: Resource) -> None:
    name = kind.crd_name
    for _ in range(_ESTABLISH_TRIES):
        crd = await client.get_or_none(CRDS, name) or {}
        if conditions.is_true(conditions.of(crd), ConditionType.ESTABLISHED):
            if (crd.get("spec") or {}).get("scope") != "Namespaced":
                raise NotInstalled(
                    f"the CRD {name} is cluster-scoped, as release 1.5 of the Go programs installs it; this mode"
                    " needs the namespaced one of `manifests/crds`, which cannot be installed over it"
                )
            return
        await asyncio.sleep(_ESTABLISH_WAIT)
    raise NotInstalled(f"the CRD {name} is not served: see its conditions with `kubectl describe crd {name}`")


async def _role(client: Client, rights: Rights, wanted: Object) -> bool:
    """Whether the static role is there in the end."""
    name = meta.name(wanted)
    actual = await client.get_or_none(CLUSTERROLES, name)
    if actual is not None and _same_rules(actual, wanted):
        return True
    # The server refuses a role with rights that its author lacks; the shipped account lacks these.
    writable = access.covers(await rights.held(), wanted["rules"]) and await rights.may(
        "create" if actual is None else "update", CLUSTERROLES, name=name
    )
    if not writable:
        if actual is not None:
            log.warning(
                "a ClusterRole differs from the shipped one; `kubectl apply -k manifests/backend`"
                " brings it up to date",
                role=name,
            )
        return actual is not None
    log.info("writing a static ClusterRole", role=name)
    try:
        if actual is None:
            await client.create(CLUSTERROLES, wanted)
        else:
            await client.replace(CLUSTERROLES, {**actual, "rules": wanted["rules"]})
    except Conflict:
        log.info("another one wrote it", role=name)
    return True


def contains(actual: Any, wanted: Any) -> bool:
    """Whether everything wanted stands in what there is; the server may have added defaults."""
    if isinstance(wanted, Mapping):
        return isinstance(actual, Mapping) and all(
            contains(actual.get(key), value) for key, value in wanted.items()
        )
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return (
            isinstance(actual, Sequence)
            and len(actual) == len(wanted)
            and all(contains(one, other) for one, other in zip(actual, wanted, strict=True))
        )
    return bool(actual == wanted)


def _same_rules(actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return bool(actual.get("rules") == wanted.get("rules"))
