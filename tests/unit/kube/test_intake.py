"""Kubeconfigs of the other side: what is taken over, and that every hostile one is refused by name.

Each refusal is a small change to the accepted document, so that the accepted document is its positive twin;
where a field has a harmless spelling, that is a case of its own.
"""

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import trustme
import yaml

from bind_agent.kube import errors
from bind_agent.kube.intake import IntakeError, ProviderKubeconfig, accept_kubeconfig

pytestmark = pytest.mark.unit

CANARY = "canary-2b9d"
CA = trustme.CA()
CA_PEM = CA.cert_pem.bytes()
PEER = CA.issue_cert("client@example.org")
CERT_PEM = PEER.cert_chain_pems[0].bytes()
KEY_PEM = PEER.private_key_pem.bytes()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def plain() -> dict[str, Any]:
    """What the backend of the Go project writes."""
    return {
        "apiVersion": "v1",
        "clusters": [
            {
                "name": "default",
                "cluster": {
                    "server": "https://provider.example.org:6443",
                    "certificate-authority-data": b64(CA_PEM),
                },
            }
        ],
        "contexts": [
            {
                "name": "default",
                "context": {"cluster": "default", "user": "default", "namespace": "kube-bind-x7"},
            }
        ],
        "current-context": "default",
        "kind": "Config",
        "preferences": {},
        "users": [{"name": "default", "user": {"token": CANARY}}],
    }


def dump(document: Any) -> bytes:
    return yaml.safe_dump(document).encode()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = copy.deepcopy(plain())
    change(document)
    return dump(document)


def cluster(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["clusters"][0]["cluster"]
    return found


def user(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["users"][0]["user"]
    return found


def context(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["contexts"][0]["context"]
    return found


def accept(data: bytes, **options: bool) -> ProviderKubeconfig:
    return accept_kubeconfig(data, **options)


# --- accepted -------------------------------------------------------------------------------------


def test_plain_kubeconfig_is_taken_over() -> None:
    taken = accept(dump(plain()))
    assert taken.server == "https://provider.example.org:6443"
    assert taken.namespace == "kube-bind-x7"
    assert taken.ca_pem is not None
    assert taken.ca_pem.split() == CA_PEM.split()
    assert taken.token == CANARY
    assert taken.ignored == ()
    config = taken.config()
    assert (config.server, config.namespace, config.credential.token) == (
        taken.server,
        taken.namespace,
        CANARY,
    )
    assert config.addresses is not None
    assert config.credential.plugin is None


def test_json_is_as_good_as_yaml() -> None:
    assert accept(json.dumps(plain()).encode()) == accept(dump(plain()))
    assert accept(b"\xef\xbb\xbf" + dump(plain())) == accept(dump(plain()))


def test_client_certificate_is_taken_over() -> None:
    taken = accept(
        changed(
            lambda d: user(d).update(
                {"token": None, "client-certificate-data": b64(CERT_PEM), "client-key-data": b64(KEY_PEM)}
            )
        )
    )
    assert taken.certificate.split() == CERT_PEM.split()
    assert taken.key.split() == KEY_PEM.split()


HARMLESS: dict[str, Callable[[dict[str, Any]], object]] = {
    "insecure switched off": lambda d: cluster(d).update({"insecure-skip-tls-verify": False}),
    "empty impersonation": lambda d: user(d).update({"as": "", "as-groups": []}),
    "no exec": lambda d: user(d).update({"exec": None}),
    "compression": lambda d: cluster(d).update({"disable-compression": True}),
    "tls-server-name": lambda d: cluster(d).update({"tls-server-name": "api.example.org"}),
    "tls-server-name by address": lambda d: cluster(d).update({"tls-server-name": "192.0.2.7"}),
    "no CA": lambda d: cluster(d).pop("certificate-authority-data"),
    "no kind and version": lambda d: (d.pop("kind"), d.pop("apiVersion")),
    "path": lambda d: cluster(d).update({"server": "https://rancher.example.org/k8s/clusters/c-m-1"}),
    "private address": lambda d: cluster(d).update({"server": "https://10.1.2.3:6443"}),
    "IPv6": lambda d: cluster(d).update({"server": "https://[2606:4700::1]:6443"}),
    "extensions": lambda d: cluster(d).update({"extensions": [{"name": "minikube", "extension": {"x": 1}}]}),
    "text that looks like a number": lambda d: user(d).update({"token": "12345"}),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS.keys())
def test_harmless_variants_are_accepted(change: Callable[[dict[str, Any]], object]) -> None:
    accept(changed(change))


def test_unknown_fields_are_left_out_and_named() -> None:
    taken = accept(changed(lambda d: (user(d).update({"new-thing": "x"}), cluster(d).update({"other": "y"}))))
    assert taken.ignored == ("new-thing", "other")


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://Provider.Example.org:443/", "https://provider.example.org"),
        ("https://provider.example.org/a/", "https://provider.example.org/a"),
        ("https://[2606:4700:0::1]:443", "https://[2606:4700::1]"),
    ],
)
def test_server_is_normalised(url: str, normal: str) -> None:
    assert accept(changed(lambda d: cluster(d).update(server=url))).server == normal


# --- identity -------------------------------------------------------------------------------------


def test_identity_outlives_rotation_and_digest_does_not() -> None:
    old = accept(dump(plain()))
    rotated = accept(changed(lambda d: user(d).update(token="another")))
    assert rotated.identity == old.identity
    assert rotated.digest != old.digest
    assert accept(dump(plain())).digest == old.digest


IDENTIFYING: dict[str, Callable[[dict[str, Any]], object]] = {
    "server": lambda d: cluster(d).update(server="https://other.example.org"),
    "ca": lambda d: cluster(d).update({"certificate-authority-data": b64(trustme.CA().cert_pem.bytes())}),
    "namespace": lambda d: context(d).update(namespace="other"),
}


@pytest.mark.parametrize("change", IDENTIFYING.values(), ids=IDENTIFYING.keys())
def test_another_provider_or_tenant_has_another_identity(change: Callable[[dict[str, Any]], object]) -> None:
    assert accept(changed(change)).identity != accept(dump(plain())).identity


# --- refused --------------------------------------------------------------------------------------

EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "id > /tmp/x"]}

REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "exec plugin": (lambda d: user(d).update(exec=EXEC), "ExecNotAllowed"),
    "exec plugin beside a token": (lambda d: user(d).update(exec=EXEC, token="t"), "ExecNotAllowed"),
    "auth provider": (
        lambda d: user(d).update({"auth-provider": {"name": "oidc"}}),
        "AuthProviderNotAllowed",
    ),
    "token file": (lambda d: user(d).update(tokenFile="/var/run/secrets/token"), "FileNotAllowed"),
    "certificate file": (lambda d: user(d).update({"client-certificate": "/etc/x.crt"}), "FileNotAllowed"),
    "key file": (lambda d: user(d).update({"client-key": "/etc/x.key"}), "FileNotAllowed"),
    "CA file": (lambda d: cluster(d).update({"certificate-authority": "/etc/ca.crt"}), "FileNotAllowed"),
    "password": (lambda d: user(d).update(username="u", password="p"), "PasswordNotAllowed"),
    "impersonated user": (lambda d: user(d).update({"as": "admin"}), "ImpersonationNotAllowed"),
    "impersonated UID": (lambda d: user(d).update({"as-uid": "1"}), "ImpersonationNotAllowed"),
    "impersonated group": (
        lambda d: user(d).update({"as-groups": ["system:masters"]}),
        "ImpersonationNotAllowed",
    ),
    "impersonated extra": (
        lambda d: user(d).update({"as-user-extra": {"a": ["b"]}}),
        "ImpersonationNotAllowed",
    ),
    "proxy": (lambda d: cluster(d).update({"proxy-url": "http://proxy.example.org"}), "ProxyNotAllowed"),
    "insecure": (lambda d: cluster(d).update({"insecure-skip-tls-verify": True}), "InsecureNotAllowed"),
    "insecure as text": (
        lambda d: cluster(d).update({"insecure-skip-tls-verify": "yes"}),
        "InsecureNotAllowed",
    ),
    "no server": (lambda d: cluster(d).pop("server"), "ServerMissing"),
    "plain http": (lambda d: cluster(d).update(server="http://provider.example.org"), "PlainHTTPNotAllowed"),
    "other scheme": (lambda d: cluster(d).update(server="file:///etc/passwd"), "PlainHTTPNotAllowed"),
    "no scheme": (lambda d: cluster(d).update(server="provider.example.org"), "PlainHTTPNotAllowed"),
    "password in the URL": (lambda d: cluster(d).update(server="https://u:p@example.org"), "ServerInvalid"),
    "query": (lambda d: cluster(d).update(server="https://example.org/?x=y"), "ServerInvalid"),
    "empty query": (lambda d: cluster(d).update(server="https://example.org/?"), "ServerInvalid"),
    "fragment": (lambda d: cluster(d).update(server="https://example.org/#x"), "ServerInvalid"),
    "traversal": (lambda d: cluster(d).update(server="https://example.org/a/../b"), "ServerInvalid"),
    "encoded traversal": (
        lambda d: cluster(d).update(server="https://example.org/%2e%2e/b"),
        "ServerInvalid",
    ),
    "double slash": (lambda d: cluster(d).update(server="https://example.org//b"), "ServerInvalid"),
    "backslash": (lambda d: cluster(d).update(server="https://example.org\\@evil.org"), "ServerInvalid"),
    "blank": (lambda d: cluster(d).update(server="https://example.org /x"), "ServerInvalid"),
    "line end": (lambda d: cluster(d).update(server="https://example.org\r\nX: y"), "ServerInvalid"),
    "odd letters": (lambda d: cluster(d).update(server="https://exämple.org"), "ServerInvalid"),
    "no host": (lambda d: cluster(d).update(server="https:///path"), "ServerInvalid"),
    "port zero": (lambda d: cluster(d).update(server="https://example.org:0"), "ServerInvalid"),
    "port beyond": (lambda d: cluster(d).update(server="https://example.org:65536"), "ServerInvalid"),
    "no port number": (lambda d: cluster(d).update(server="https://example.org:https"), "ServerInvalid"),
    "broken IPv6": (lambda d: cluster(d).update(server="https://[::1"), "ServerInvalid"),
    "zone index": (lambda d: cluster(d).update(server="https://[fe80::1%25eth0]"), "ServerInvalid"),
    "decimal address": (lambda d: cluster(d).update(server="https://2130706433"), "ServerInvalid"),
    "hex address": (lambda d: cluster(d).update(server="https://0x7f.0.0.0x1"), "ServerInvalid"),
    "short address": (lambda d: cluster(d).update(server="https://127.1"), "ServerInvalid"),
    "metadata service": (lambda d: cluster(d).update(server="https://169.254.169.254"), "AddressNotAllowed"),
    "metadata by name": (
        lambda d: cluster(d).update(server="https://metadata.google.internal"),
        "AddressNotAllowed",
    ),
    "loopback": (lambda d: cluster(d).update(server="https://127.0.0.1:6443"), "AddressNotAllowed"),
    "loopback by name": (lambda d: cluster(d).update(server="https://LocalHost."), "AddressNotAllowed"),
    "loopback in IPv6": (lambda d: cluster(d).update(server="https://[::1]:6443"), "AddressNotAllowed"),
    "mapped loopback": (
        lambda d: cluster(d).update(server="https://[::ffff:127.0.0.1]"),
        "AddressNotAllowed",
    ),
    "any address": (lambda d: cluster(d).update(server="https://0.0.0.0"), "AddressNotAllowed"),
    "any address in IPv6": (lambda d: cluster(d).update(server="https://[::]"), "AddressNotAllowed"),
    "multicast": (lambda d: cluster(d).update(server="https://224.0.0.1"), "AddressNotAllowed"),
    "broadcast": (lambda d: cluster(d).update(server="https://255.255.255.255"), "AddressNotAllowed"),
    "odd tls-server-name": (lambda d: cluster(d).update({"tls-server-name": "a b"}), "ServerNameInvalid"),
    "tls-server-name URL": (
        lambda d: cluster(d).update({"tls-server-name": "https://example.org"}),
        "ServerNameInvalid",
    ),
    "CA not base64": (lambda d: cluster(d).update({"certificate-authority-data": "%%%"}), "PEMInvalid"),
    "CA not PEM": (
        lambda d: cluster(d).update({"certificate-authority-data": b64(b"hello")}),
        "PEMInvalid",
    ),
    "CA framed garbage": (
        lambda d: cluster(d).update(
            {
                "certificate-authority-data": b64(
                    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
                )
            }
        ),
        "PEMInvalid",
    ),
    "no namespace": (lambda d: context(d).pop("namespace"), "NamespaceMissing"),
    "odd namespace": (lambda d: context(d).update(namespace="../kube-system"), "NamespaceInvalid"),
    "several contexts": (lambda d: d["contexts"].append(copy.deepcopy(d["contexts"][0])), "ContextNotUnique"),
    "several users": (lambda d: d["users"].append({"name": "b", "user": {}}), "ContextNotUnique"),
    "several clusters": (lambda d: d["clusters"].append({"name": "b", "cluster": {}}), "ContextNotUnique"),
    "no contexts": (lambda d: d.pop("contexts"), "ContextMissing"),
    "no users": (lambda d: d.update(users=[]), "ContextMissing"),
    "no current context": (lambda d: d.pop("current-context"), "ContextMissing"),
    "other current context": (lambda d: d.update({"current-context": "b"}), "ContextMissing"),
    "other user": (lambda d: context(d).update(user="b"), "ContextMissing"),
    "other cluster": (lambda d: context(d).update(cluster="b"), "ContextMissing"),
    "entry without content": (lambda d: d["users"][0].pop("user"), "Malformed"),
    "entry without a name": (lambda d: d["users"][0].pop("name"), "Malformed"),
    "entry that is text": (lambda d: d.update(users=["x"]), "Malformed"),
    "token that is a list": (lambda d: user(d).update(token=["x"]), "Malformed"),
    "no credential": (lambda d: user(d).pop("token"), "CredentialMissing"),
    "certificate without key": (
        lambda d: user(d).update({"client-certificate-data": b64(CERT_PEM)}),
        "CredentialInvalid",
    ),
    "key without certificate": (
        lambda d: user(d).update({"client-key-data": b64(KEY_PEM)}),
        "CredentialInvalid",
    ),
    "encrypted key": (
        lambda d: user(d).update(
            {
                "client-certificate-data": b64(CERT_PEM),
                "client-key-data": b64(KEY_PEM.replace(b"PRIVATE", b"ENCRYPTED PRIVATE")),
            }
        ),
        "PEMInvalid",
    ),
    "header in the token": (lambda d: user(d).update(token="x\r\nX-Remote-User: admin"), "TokenInvalid"),
    "odd letters in the token": (lambda d: user(d).update(token="tökén"), "TokenInvalid"),
    "another kind": (lambda d: d.update(kind="Secret"), "Malformed"),
    "another version": (lambda d: d.update(apiVersion="v2"), "Malformed"),
}


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_hostile_fields_are_refused_by_name(change: Callable[[dict[str, Any]], object], reason: str) -> None:
    with pytest.raises(IntakeError) as caught:
        accept(changed(change))
    assert caught.value.reason == reason
    assert caught.value.next_step
    assert CANARY not in f"{caught.value} {caught.value!r}"
    assert len(str(caught.value)) < 400


BOMB = b"a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a]\n" + dump(plain())

DOCUMENTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "Malformed"),
    "only a comment": (b"# hello\n", "Malformed"),
    "text": (b"hello", "Malformed"),
    "list": (b"- a\n- b\n", "Malformed"),
    "number": (b"42", "Malformed"),
    "too large": (dump(plain()) + b"#" * 65536, "TooLarge"),
    "alias bomb": (BOMB, "Malformed"),
    "anchor without alias": (b"x: &x y\n" + dump(plain()), "Malformed"),
    "merge key": (dump(plain()) + b"y:\n  <<: *x\n", "Malformed"),
    "tag of a program": (b"x: !!python/object/apply:os.system [id]\n" + dump(plain()), "Malformed"),
    "harmless tag": (b"x: !!str y\n" + dump(plain()), "Malformed"),
    "duplicate key": (dump(plain()) + b"users: []\n", "Malformed"),
    "duplicate key in JSON": (b'{"users": [], "users": []}', "Malformed"),
    "key that is a mapping": (b"? {a: b}\n: c\n" + dump(plain()), "Malformed"),
    "key that is nothing": (b"~: c\n" + dump(plain()), "Malformed"),
    "second document": (dump(plain()) + b"---\n" + dump(plain()), "Malformed"),
    "deep list": (b"x: " + b"[" * 30000 + b"]" * 30000, "Malformed"),
    "deep mapping": (b"x: " + b"{a: " * 5000 + b"1" + b"}" * 5000, "Malformed"),
    "many entries": (b"x: [" + b"1," * 30000 + b"]", "Malformed"),
    "NUL": (dump(plain()) + b"x: \0\n", "Malformed"),
    "UTF-16": (dump(plain()).decode().encode("utf-16"), "Malformed"),
    "UTF-32": (dump(plain()).decode().encode("utf-32"), "Malformed"),
    "latin-1": (b"x: \xe9\n" + dump(plain()), "Malformed"),
    "control character": (b"x: \x1b[31m\n" + dump(plain()), "Malformed"),
    "tab indentation": (b"x:\n\ty: z\n" + dump(plain()), "Malformed"),
    "unfinished": (b'{"apiVersion": "v1", ', "Malformed"),
    "binary": (bytes(range(256)), "Malformed"),
}


@pytest.mark.timeout(5)
@pytest.mark.parametrize(("data", "reason"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_hostile_documents_are_refused_quickly(data: bytes, reason: str) -> None:
    with pytest.raises(IntakeError) as caught:
        accept(data)
    assert caught.value.reason == reason
    assert CANARY not in str(caught.value)


def test_options_allow_what_they_name() -> None:
    loopback = changed(lambda d: cluster(d).update(server="https://127.0.0.1:6443"))
    assert accept(loopback, allow_loopback=True).server == "https://127.0.0.1:6443"
    without_namespace = changed(lambda d: context(d).pop("namespace"))
    assert accept(without_namespace, require_namespace=False).namespace == ""
    assert accept(dump(plain()), require_ca=True).ca_pem
    with pytest.raises(IntakeError) as caught:
        accept(changed(lambda d: cluster(d).pop("certificate-authority-data")), require_ca=True)
    assert caught.value.reason == "CAMissing"


@pytest.mark.parametrize(
    "server",
    [
        "https://10.0.0.1",
        "https://192.168.1.1:6443",
        "https://[fd00::1]",
        "https://100.64.0.1",
        "https://kubernetes.default.svc",
        "https://kubernetes",
        "https://x.y.svc.cluster.local",
    ],
)
def test_private_addresses_are_refused_on_demand(server: str) -> None:
    data = changed(lambda d: cluster(d).update(server=server))
    assert accept(data).server
    with pytest.raises(IntakeError) as caught:
        accept(data, allow_private_addresses=False)
    assert caught.value.reason == "AddressNotAllowed"


@pytest.mark.parametrize(
    "server", ["https://provider.example.org", "https://93.184.216.34", "https://[2606:4700::1]"]
)
def test_public_addresses_stay_allowed(server: str) -> None:
    data = changed(lambda d: cluster(d).update(server=server))
    assert accept(data, allow_private_addresses=False).server == server


def test_no_secret_in_representations() -> None:
    taken = accept(
        changed(
            lambda d: user(d).update(
                {"client-certificate-data": b64(CERT_PEM), "client-key-data": b64(KEY_PEM)}
            )
        )
    )
    for shown in (repr(taken), repr(taken.config()), repr(taken.config().credential), f"{taken}"):
        assert CANARY not in shown
        assert "PRIVATE" not in shown


def test_refusal_is_a_configuration_error() -> None:
    assert issubclass(IntakeError, errors.ConfigError)
