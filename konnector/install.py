"""The binding CRD on the app cluster: installed or upgraded at start, its served scope discovered (spec 6.2, 1)."""

import asyncio
from dataclasses import replace

import structlog

from bind_agent.api import conditions, resource
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import Conflict, Forbidden, KubeError
from bind_agent.manifests import load_manifests
from konnector.sync import essence

log = structlog.get_logger(__name__)

FIELD_MANAGER = "konnector"
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 1.0


class InstallError(Exception):
    """The binding CRD is not there and cannot be installed; the message says what to do."""


async def ensure_binding_crd(client: Client, *, timeout: float = 60.0) -> Resource:
    """Make ``apiservicebindings`` served and return it in the scope that the cluster serves.

    A CRD of the other scope (release 1.5 installs it cluster-scoped) is used as it is: scope is immutable and
    both work. A CRD whose spec already says what ours says is not written.

    Args:
        client: the app cluster.
        timeout: seconds until the CRD has to be established.

    Raises:
        InstallError: missing and not installable, or not established in time.
    """
    desired = next(
        crd for crd in load_manifests("crds") if crd["metadata"]["name"] == resource.BINDINGS.group_resource
    )
    try:
        async with asyncio.timeout(timeout):
            existing = await _install(client, desired)
            while not _established(existing):
                await asyncio.sleep(_POLL_SECONDS)
                existing = await client.get(resource.CRDS, desired["metadata"]["name"])
    except TimeoutError as error:
        message = (
            f"{desired['metadata']['name']} was not established within {timeout:.0f} s; see its conditions"
        )
        raise InstallError(message) from error
    namespaced = existing["spec"]["scope"] == "Namespaced"
    log.info("binding API is served", scope=existing["spec"]["scope"])
    return replace(resource.BINDINGS, namespaced=namespaced)


async def _install(client: Client, desired: Object) -> Object:
    name = resource.BINDINGS.group_resource
    while True:
        try:
            existing = await client.get_or_none(resource.CRDS, name)
            if existing is None:
                return await client.create(resource.CRDS, desired, field_manager=FIELD_MANAGER)
            if existing["spec"]["scope"] != desired["spec"]["scope"] or _same_api(existing, desired):
                return existing
            return await client.replace(resource.CRDS, {**existing, "spec": desired["spec"]})
        except Conflict:
            continue
        except Forbidden as error:
            message = (
                f"may not install {name}: {error.message}; apply manifests/crds as a cluster administrator, or "
                "give the konnector the roles that `kubectl bind konnector manifests` prints"
            )
            raise InstallError(message) from error
        except KubeError as error:
            log.warning("installing the binding CRD failed, trying again", error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)


def _same_api(existing: Object, desired: Object) -> bool:
    """Whether each version that we ship is there with the same schema, columns and subresources."""
    return essence.difference(desired["spec"], existing["spec"]) is None


def _established(crd: Object) -> bool:
    return conditions.is_true(conditions.of(crd), ConditionType.ESTABLISHED)
