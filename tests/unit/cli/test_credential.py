"""The provider's kubeconfig on its way through the CLI. Excluded: what intake refuses in detail."""

import base64
from typing import Any

import pytest
import trustme
import yaml

from bind_agent.kube.config import from_kubeconfig
from cli.binding.credential import accept, read_kubeconfig, stored_kubeconfig
from cli.binding.objects import secret_manifest
from cli.errors import ExitCode, UsageError

pytestmark = pytest.mark.unit
CA = trustme.CA().cert_pem.bytes()


def kubeconfig(*, user: dict[str, Any] | None = None, namespace: str = "cns", **cluster: Any) -> bytes:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://provider.example:6443",
                    "certificate-authority-data": base64.b64encode(CA).decode(),
                    **cluster,
                },
            }
        ],
        "users": [{"name": "u", "user": user or {"token": "t0ken"}}],
        "contexts": [
            {
                "name": "x",
                "context": {"cluster": "c", "user": "u"} | ({"namespace": namespace} if namespace else {}),
            }
        ],
        "current-context": "x",
    }
    return yaml.safe_dump(document).encode()


def accepted(data: bytes, **options: Any) -> Any:
    return accept(data, **{"namespace": "", "allow_private": True, **options})


def secret(data: bytes) -> dict[str, Any]:
    return {"data": {"kubeconfig": base64.b64encode(data).decode()}}


def test_what_is_stored_is_a_clean_kubeconfig_with_the_same_meaning() -> None:
    given = accepted(kubeconfig(**{"tls-server-name": "other.example", "extensions": [{"name": "x"}]}))
    manifest = secret_manifest(given)
    document = yaml.safe_load(base64.b64decode(manifest["data"]["kubeconfig"]))
    assert set(document["clusters"][0]["cluster"]) == {
        "server",
        "certificate-authority-data",
        "tls-server-name",
    }
    assert document["users"][0]["user"] == {"token": "t0ken"}
    stored = stored_kubeconfig(manifest)
    assert stored is not None
    assert stored.digest == given.digest
    assert stored.same_place(given)
    assert from_kubeconfig(base64.b64decode(manifest["data"]["kubeconfig"])).namespace == "cns"


def test_client_certificates_are_stored_inline() -> None:
    issued = trustme.CA().issue_cert("client.example")
    user = {
        "client-certificate-data": base64.b64encode(issued.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(issued.private_key_pem.bytes()).decode(),
    }
    given = accepted(kubeconfig(user=user))
    stored = stored_kubeconfig(secret_manifest(given))
    assert stored is not None
    assert stored.digest == given.digest


def test_a_redacted_secret_shows_nothing() -> None:
    manifest = secret_manifest(accepted(kubeconfig()), redacted=True)
    assert base64.b64decode(manifest["data"]["kubeconfig"]) == b"<redacted>"


def test_the_namespace_of_the_option_wins_and_is_stored() -> None:
    given = accepted(kubeconfig(namespace=""), namespace="other")
    assert given.namespace == "other"
    assert given.config().namespace == "other"
    stored = stored_kubeconfig(secret_manifest(given))
    assert stored is not None
    assert stored.namespace == "other"
    assert not stored.same_place(accepted(kubeconfig()))


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        (b"not: [yaml", {}, "Malformed"),
        (kubeconfig(user={"exec": {"command": "/bin/false"}}), {}, "ExecNotAllowed"),
        (kubeconfig(user={"tokenFile": "/var/run/secrets/token"}), {}, "FileNotAllowed"),
        (kubeconfig(user={"token": "t", "as": "system:admin"}), {}, "ImpersonationNotAllowed"),
        (kubeconfig(**{"insecure-skip-tls-verify": True}), {}, "InsecureNotAllowed"),
        (kubeconfig(**{"proxy-url": "http://proxy.example"}), {}, "ProxyNotAllowed"),
        (kubeconfig(server="http://provider.example"), {}, "refused"),
        (kubeconfig(server="https://10.0.0.1"), {"allow_private": False}, "refused"),
        (kubeconfig(server="https://127.0.0.1"), {"allow_private": False}, "refused"),
        (kubeconfig(namespace=""), {}, "--remote-namespace"),
        (kubeconfig(), {"namespace": "Not a name"}, "--remote-namespace"),
    ],
)  # fmt: skip
def test_refusals_name_reason_and_next_step(data: bytes, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        accepted(data, **options)
    assert reason in caught.value.message + caught.value.next_step
    assert caught.value.next_step
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    "address", ["https://10.0.0.1", "https://127.0.0.1:6443", "https://provider.example"]
)
def test_their_twins_pass(address: str) -> None:
    assert accepted(kubeconfig(server=address)).config().server == address


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"data": None},
        {"data": {"kubeconfig": ""}},
        {"data": {"kubeconfig": 7}},
        {"data": {"kubeconfig": "%%%"}},
        secret(b"no kubeconfig"),
        secret(kubeconfig(namespace="")),
    ],
)
def test_stored_kubeconfigs_that_are_no_use_count_as_none(broken: dict[str, Any]) -> None:
    assert stored_kubeconfig(broken) is None


def test_files_that_cannot_be_read() -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_kubeconfig("/nonexistent")
