"""Which kubeconfig Secrets are taken (spec 3.11.3, W-S3, W-S12)."""

from dataclasses import replace
from typing import Any

import pytest

from bind_agent.api.encoding import to_base64
from bind_agent.backend.controlplane import secret_plan
from bind_agent.backend.controlplane.model import Wanted

pytestmark = pytest.mark.unit

TOKEN = "canary-token-that-nobody-may-print"


def kubeconfig(
    user: str = f"token: {TOKEN}", server: str = "https://app.example:6443", context: str = ""
) -> str:
    return f"""apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: a, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{{user}}}}}]
contexts: [{{name: c, context: {{cluster: a, user: u{context}}}}}]
"""


def secret(text: str, key: str = "kubeconfig") -> dict[str, Any]:
    return {"data": {key: to_base64(text.encode())}}


@pytest.mark.parametrize(
    ("namespace", "allowed", "refused"),
    [
        ("team", (), False),
        ("other", (), True),
        ("other", ("third",), True),
        ("other", ("third", "other"), False),
        ("other", ("*",), False),
        ("kube-system", (), True),
    ],
)
def test_namespaces(wanted: Wanted, namespace: str, allowed: tuple[str, ...], refused: bool) -> None:
    condition = secret_plan.judge_reference(replace(wanted, secret_namespace=namespace), allowed)
    assert (condition is not None) is refused
    if condition is not None:
        assert (condition.type, condition.status, condition.severity) == ("SecretValid", "False", "Error")
        assert condition.reason == "SecretNamespaceNotAllowed"
        assert f"--allow-secret-namespaces={namespace}" in condition.message


@pytest.mark.parametrize(
    ("found", "reason", "said"),
    [
        (None, "KubeconfigSecretNotFound", "create it"),
        ({}, "KubeconfigSecretInvalid", "no key"),
        ({"data": {"kubeconfig": 7}}, "KubeconfigSecretInvalid", "no key"),
        (secret(kubeconfig(), key="config"), "KubeconfigSecretInvalid", "no key"),
        ({"data": {"kubeconfig": "%%%"}}, "KubeconfigSecretInvalid", "no base64"),
        (secret("nonsense"), "KubeconfigSecretInvalid", "mapping"),
        (secret(kubeconfig(f"exec: {{command: {TOKEN}}}")), "KubeconfigSecretInvalid", "exec"),
        (secret(kubeconfig("tokenFile: /var/run/token")), "KubeconfigSecretInvalid", "tokenFile"),
        (secret(kubeconfig("client-certificate: /etc/x")), "KubeconfigSecretInvalid", "client-certificate"),
        (secret(kubeconfig(f"token: {TOKEN}, as: admin")), "KubeconfigSecretInvalid", "has as"),
        (secret(kubeconfig(server="http://app.example")), "KubeconfigSecretInvalid", "https"),
        (secret(kubeconfig(server="https://127.0.0.1:6443")), "KubeconfigSecretInvalid", "127.0.0.1"),
        (secret(kubeconfig()), "", ""),
        (secret(kubeconfig(context=", namespace: x")), "", ""),
    ],
)
def test_contents(wanted: Wanted, found: dict[str, Any] | None, reason: str, said: str) -> None:
    condition = secret_plan.judge_secret(wanted, found, allow_loopback=False)
    assert (condition.type, condition.reason, condition.status == "True") == (
        "SecretValid",
        reason,
        not reason,
    )
    assert said in condition.message
    assert TOKEN not in condition.message


def test_loopback_is_for_playgrounds(wanted: Wanted) -> None:
    found = secret(kubeconfig(server="https://127.0.0.1:6443"))
    assert secret_plan.judge_secret(wanted, found, allow_loopback=True).status == "True"


@pytest.mark.parametrize(
    ("account", "said"),
    [(("own", "backend"), "--serviceaccount=own:backend"), (None, "--user=")],
)
def test_a_missing_right_names_the_command(
    wanted: Wanted, account: tuple[str, str] | None, said: str
) -> None:
    condition = secret_plan.unreadable(wanted, account)
    assert condition.reason == "PermissionDenied"
    assert "kubectl -n team create rolebinding klutch-bind-backend-app-clusters" in condition.message
    assert said in condition.message


def test_what_is_not_known_is_unknown(wanted: Wanted) -> None:
    condition = secret_plan.unreachable(wanted, "no answer")
    assert (condition.status, condition.severity, condition.message.endswith("no answer")) == (
        "Unknown",
        "",
        True,
    )
