"""The konnector's Deployment for one app cluster: pure (spec 5.5).

It is the shipped one (`manifests/konnector/workload.yaml`) with another place, account and arguments, so hardening
and probes are the same in both modes.
"""

import copy
import hashlib
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from bind_agent import claim_flag
from bind_agent._version import __version__
from bind_agent.api import guards, keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import DEPLOYMENTS
from bind_agent.backend.controlplane import overrides
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.install import contains

IMAGE: Final = f"bind-agent/konnector:v{__version__}"
"""The konnector of this version, as the shipped manifests name it."""

_APP: Final = {"app": keys.KONNECTOR}


def konnector(
    shipped: Mapping[str, Any],
    wanted: Wanted,
    image: str,
    claimable: Collection[str] = guards.CLAIMABLE,
) -> Object:
    """The Deployment to apply.

    Args:
        shipped: the Deployment of `manifests/konnector`.
        wanted: the AppClusterBinding.
        image: of the konnector, unless the overrides name another.
        claimable: group resources that may be claimed: the konnector decides for itself and has to be told.

    Returns:
        The whole object, with the digest of its content as an annotation.
    """
    template = copy.deepcopy(shipped["spec"]["template"])
    labels = {**meta.labels(template), **_APP, **wanted.labels}
    pod = template["spec"]
    pod["serviceAccountName"] = keys.BINDER
    for constraint in pod.get("topologySpreadConstraints", ()):
        constraint["labelSelector"] = {"matchLabels": {**_APP, **wanted.labels}}
    container = {
        **pod["containers"][0],
        "name": keys.KONNECTOR,
        "image": image,
        "args": arguments(wanted, claimable),
    }
    pod["containers"] = [overrides.merged(container, wanted.overrides)]
    result: Object = {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "metadata": {
            "name": wanted.deployment,
            "namespace": wanted.root,
            "labels": {**meta.labels(shipped), **_APP, **wanted.labels},
        },
        "spec": {
            "replicas": shipped["spec"].get("replicas", 2),
            "selector": {"matchLabels": {**_APP, **wanted.labels}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    result["metadata"]["annotations"] = {keys.CONTENT_DIGEST: digest(result)}
    return result


def arguments(wanted: Wanted, claimable: Collection[str] = guards.CLAIMABLE) -> list[str]:
    """How the konnector is told which app cluster it serves (spec 5.5), and what may be claimed besides the usual."""
    flag = "--app-cluster-kubeconfig-secret"
    return [
        "--control-plane-mode",
        f"{flag}-name={wanted.secret}",
        f"{flag}-namespace={wanted.root}",
        f"{flag}-key={wanted.secret_key}",
        f"--binding-root-namespace={wanted.root}",
        "--lease-namespace=$(POD_NAMESPACE)",
        *claim_flag.arguments(claimable),
    ]


def digest(deployment: Mapping[str, Any]) -> str:
    """Digest of labels and spec; equal digests mean that the same was wanted."""
    content = {"labels": dict(meta.labels(deployment)), "spec": deployment["spec"]}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:40]


def in_sync(
    live: Mapping[str, Any] | None, wanted: Mapping[str, Any], *, settled: tuple[str, int] | None
) -> bool:
    """Whether the Deployment need not be applied.

    Args:
        live: as observed; None when there is none.
        wanted: as `konnector` made it.
        settled: UID and generation of the Deployment after this very content was applied, if this process
            remembers; the server may write values in another form (`0.5` as `500m`), so what it answered counts.
    """
    if live is None or meta.is_deleting(live):
        return False
    same_digest = meta.annotation(live, keys.CONTENT_DIGEST) == meta.annotation(wanted, keys.CONTENT_DIGEST)
    if not same_digest or not contains(meta.labels(live), meta.labels(wanted)):
        return False
    if settled is not None and settled == (meta.uid(live), meta.generation(live)):
        return True
    return contains(live.get("spec"), wanted["spec"])
