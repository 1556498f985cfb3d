"""Is the kubeconfig of an AppClusterBinding usable: pure (spec 5.3 step 1; W-S3, W-S12).

Whoever may write an AppClusterBinding decides which Secret the backend reads and where its content goes, so only
Secrets of the AppClusterBinding's own namespace are taken unless the operator of the backend allowed others. The
content is hostile until checked: see `bind_agent.kube.intake`.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from bind_agent.api import conditions, encoding
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.backend import names
from bind_agent.backend.controlplane import words
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.kube.intake import IntakeError, accept_kubeconfig

EVERY_NAMESPACE: Final = "*"
"""Value of `--allow-secret-namespaces` that allows any."""


def judge_reference(wanted: Wanted, allowed: Collection[str]) -> Condition | None:
    """Why a Secret may not even be looked at; None when it may.

    Args:
        wanted: the AppClusterBinding.
        allowed: further namespaces, from `--allow-secret-namespaces`.
    """
    if wanted.secret_namespace == wanted.namespace or EVERY_NAMESPACE in allowed:
        return None
    if wanted.secret_namespace in allowed:
        return None
    return _false(
        words.SECRET_NAMESPACE_NOT_ALLOWED,
        f"the Secret is in namespace {wanted.secret_namespace}, and only Secrets of the AppClusterBinding's own"
        f" namespace are read: put it into {wanted.namespace} and create the AppClusterBinding again, or run the"
        f" backend with --allow-secret-namespaces={wanted.secret_namespace}",
    )


def judge_secret(wanted: Wanted, secret: Mapping[str, Any] | None, *, allow_loopback: bool) -> Condition:
    """Whether the Secret holds a kubeconfig that a konnector may use.

    Args:
        wanted: the AppClusterBinding.
        secret: as observed; None when there is none.
        allow_loopback: the app cluster may be on this machine (playgrounds).

    Returns:
        SecretValid; its message never quotes content.
    """
    where = f"Secret {wanted.secret_namespace}/{wanted.secret}"
    if secret is None:
        return _false(
            Reason.KUBECONFIG_SECRET_NOT_FOUND,
            f"{where} does not exist: create it with the app cluster's kubeconfig under the key {wanted.secret_key}",
        )
    encoded = content(secret, wanted.secret_key)
    if not encoded:
        return _false(
            Reason.KUBECONFIG_SECRET_INVALID,
            f"{where} has no key {wanted.secret_key}: put the app cluster's kubeconfig there",
        )
    try:
        accept_kubeconfig(
            encoding.from_base64(encoded), require_namespace=False, allow_loopback=allow_loopback
        )
    except IntakeError as error:
        return _false(Reason.KUBECONFIG_SECRET_INVALID, f"{where}: {error}")
    except ValueError:
        return _false(Reason.KUBECONFIG_SECRET_INVALID, f"{where}: the key {wanted.secret_key} is no base64")
    return conditions.true(ConditionType.SECRET_VALID)


def unreadable(wanted: Wanted, account: tuple[str, str] | None) -> Condition:
    """SecretValid when the backend lacks the right to read the Secret.

    Args:
        wanted: the AppClusterBinding.
        account: namespace and name of the backend's service account; None when it runs as somebody else.
    """
    role = names.APP_CLUSTERS_ROLE
    subject = f" --serviceaccount={account[0]}:{account[1]}" if account else " --user=<the backend's user>"
    return _false(
        Reason.PERMISSION_DENIED,
        f"the backend may not read Secrets in namespace {wanted.secret_namespace}: kubectl -n"
        f" {wanted.secret_namespace} create rolebinding {role} --clusterrole={role}{subject}",
    )


def unreachable(wanted: Wanted, why: str) -> Condition:
    """SecretValid when the Secret could not be read for another reason."""
    return conditions.unknown(
        ConditionType.SECRET_VALID,
        Reason.UNKNOWN,
        f"Secret {wanted.secret_namespace}/{wanted.secret} could not be read so far: {why}",
    )


def content(secret: Mapping[str, Any], key: str) -> str:
    """The base64 text of one key of a Secret; empty when it is missing."""
    data = secret.get("data")
    found = data.get(key) if isinstance(data, Mapping) else None
    return found if isinstance(found, str) else ""


def _false(reason: str, message: str) -> Condition:
    return conditions.false(ConditionType.SECRET_VALID, reason, Severity.ERROR, message)
