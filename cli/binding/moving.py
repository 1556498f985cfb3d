"""A provider that is reached at a new address: whether it is the same tenant there, and who says so.

A binding never changes the Secret that it refers to, and deleting the binding deletes what is bound. So the kubeconfig
inside the Secret is what changes, and only when it is the same tenant: proven by the account, whose UID no other
cluster gives out, or vouched for by the person. The credential that is stored is looked at and never sent to the new
address.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from bind_agent.api import keys
from bind_agent.api.resource import Resource
from cli.binding.consent import Asker
from cli.binding.credential import Kubeconfig
from cli.cluster import Cluster
from cli.errors import CliError, ExitCode, RequestRefusedError
from cli.output import Progress, inert

_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", namespaced=False, kind="SelfSubjectReview"
)


@dataclass(frozen=True, slots=True)
class Move:
    """A Secret that leads to the same namespace at another address than the kubeconfig at hand.

    Attributes:
        secret: its name.
        old: the kubeconfig in it.
    """

    secret: str
    old: Kubeconfig


def agree(
    move: Move,
    new: Kubeconfig,
    provider: Cluster,
    *,
    vouched: bool,
    asker: Asker,
    progress: Progress,
) -> None:
    """Find out whether the Secret may be moved; say so either way.

    Args:
        move: what is there.
        new: the kubeconfig at hand.
        provider: the cluster that it leads to.
        vouched: ``--move-provider``.
        asker: asks the person where nothing is proven and nobody has vouched.
        progress: tells.

    Raises:
        CliError: the person says no (exit code 3).
    """
    where = (
        f"Secret {keys.CONSUMER_NAMESPACE}/{inert(move.secret)} is moved from {inert(move.old.checked.server)}"
        f" to {inert(new.checked.server)} (namespace {inert(new.namespace)}), for all bindings that use it"
    )
    doubt = difference(account_uid(move.old.checked.token), _own_uid(provider))
    if not doubt:
        progress.step(f"{where}: it is the same account there")
        return
    if vouched:
        progress.step(f"{where}, by --move-provider: {doubt}")
        return
    question = (
        f"\n{where}.\n"
        f"  That it is the same tenant is not proven: {doubt}.\n"
        "  What is bound is looked for at the new address and created where it is missing; at the old one it stays.\n"
        "Is it the same provider, and shall the Secret be moved?"
    )
    if not asker.yes(question):
        raise CliError(
            "the provider was not moved; nothing was written",
            next_step="give a kubeconfig for the address that the Secret has, or ask the provider whether it moved",
            code=ExitCode.REFUSED,
        )


def difference(old_uid: str, new_uid: str) -> str:
    """Why two accounts are not proven to be the same; empty when they are.

    Args:
        old_uid: UID of the account in the stored credential; empty when unknown.
        new_uid: UID of the account at the new address; empty when unknown.
    """
    if not old_uid:
        return "the stored credential does not name its account"
    if not new_uid:
        return "the new address does not tell the account's UID"
    return "" if old_uid == new_uid else "the account there is another one"


def account_uid(token: str) -> str:
    """UID of the service account that a token was issued to, as the token says; empty when it does not."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, RecursionError):
        return ""
    found = _at(claims, "kubernetes.io", "serviceaccount", "uid")
    # Tokens out of Secrets, as Go backends hand them out, have flat names.
    found = found or _at(claims, "kubernetes.io/serviceaccount/service-account.uid")
    return found if isinstance(found, str) else ""


def _own_uid(provider: Cluster) -> str:
    """UID of the own account, as the API server says; empty where it does not know the question."""
    try:
        answer = provider.create(_REVIEWS, {"apiVersion": _REVIEWS.api_version, "kind": _REVIEWS.kind})
    except RequestRefusedError as error:
        if error.status in {403, 404, 405}:
            return ""
        raise
    found = _at(answer, "status", "userInfo", "uid")
    return found if isinstance(found, str) else ""


def _at(value: Any, *path: str) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value
