"""Own kubeconfigs: the usual rules, and a refusal instead of silence for what is not supported."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bind_agent.kube import config
from bind_agent.kube.errors import ConfigError

pytestmark = pytest.mark.unit

CANARY = "canary-91cc"


def document(name: str = "one", **user: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example.org:6443/"}}],
        "users": [{"name": name, "user": user or {"token": CANARY}}],
    }


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_document_in_any_form(tmp_path: Path) -> None:
    text = yaml.safe_dump(document())
    for given in (text, text.encode(), document(), write(tmp_path / "c", document())):
        found = config.from_kubeconfig(given)
        assert (found.server, found.namespace) == ("https://one.example.org:6443", "ns-one")
        assert (found.credential.token, found.host) == (CANARY, "one.example.org")


def test_order_of_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cluster is configured"):
        config.load()
    (tmp_path / "home").mkdir()
    write(tmp_path / "home" / ".kube" / "config", document("home"))
    assert config.load().namespace == "ns-home"
    variable = write(tmp_path / "variable", document("variable"))
    monkeypatch.setenv("KUBECONFIG", str(variable))
    assert config.load().namespace == "ns-variable"
    assert config.load(str(write(tmp_path / "given", document("given")))).namespace == "ns-given"
    assert config.load("~/.kube/config").namespace == "ns-home"
    with pytest.raises(ConfigError, match="there is no kubeconfig"):
        config.load(str(tmp_path / "absent"))


def test_merged_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, two = document("one"), document("two")
    two["users"].append({"name": "one", "user": {"token": "ignored"}})
    files = [write(tmp_path / "1", one), tmp_path / "absent", write(tmp_path / "2", two)]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)) + ":")
    assert config.load().credential.token == CANARY
    assert config.load(context="two").server == "https://two.example.org:6443"
    with pytest.raises(ConfigError, match="no context 'three'"):
        config.load(context="three")


def test_files_count_from_their_kubeconfig(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    content = document(tokenFile="token")
    content["clusters"][0]["cluster"]["certificate-authority"] = "pki/ca.crt"
    write(folder / "config", content)
    (folder / "pki").mkdir()
    (folder / "pki" / "ca.crt").write_bytes(b"PEM")
    found = config.load(str(folder / "config"))
    assert found.ca_pem == b"PEM"
    assert found.credential.token_file == str(folder / "token")


def test_inline_data_wins_over_files(tmp_path: Path) -> None:
    encoded = base64.b64encode(b"inline").decode()
    found = config.from_kubeconfig(
        document(**{
            "client-certificate-data": encoded,
            "client-certificate": "/absent",
            "client-key-data": encoded,
            "client-key": "/absent",
        })
    )  # fmt: skip
    assert (found.credential.certificate, found.credential.key) == (b"inline", b"inline")
    assert found.credential.certificate_file == ""
    (tmp_path / "key").write_bytes(b"file")
    mixed = {"client-certificate-data": encoded, "client-key": str(tmp_path / "key")}
    assert config.from_kubeconfig(document(**mixed)).credential.key == b"file"
    mixed = {"client-certificate": str(tmp_path / "key"), "client-key-data": encoded}
    assert config.from_kubeconfig(document(**mixed)).credential.certificate == b"file"
    files = {"client-certificate": "/a.crt", "client-key": "/a.key"}
    assert config.from_kubeconfig(document(**files)).credential.certificate_file == "/a.crt"


def test_plugin(tmp_path: Path) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "bin/login",
        "args": ["--for", "x"],
        "env": [{"name": "A", "value": CANARY}, {"name": "B"}, "odd"],
        "provideClusterInfo": True,
        "interactiveMode": "Never",
        "installHint": "install it",
    }
    found = config.load(str(write(tmp_path / "config", document(exec=plugin)))).credential.plugin
    assert found is not None
    assert (found.command, found.directory, found.args) == ("bin/login", str(tmp_path), ("--for", "x"))
    assert found.env == (("A", CANARY),)
    assert found.provide_cluster_info
    assert CANARY not in repr(found)


def test_in_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not inside a cluster"):
        config.in_cluster(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ConfigError, match="no service account token"):
        config.in_cluster(tmp_path)
    (tmp_path / "token").write_text("t")
    with pytest.raises(ConfigError, match="cannot read the cluster's CA"):
        config.in_cluster(tmp_path)
    (tmp_path / "ca.crt").write_text("PEM")
    (tmp_path / "namespace").write_text("own\n")
    found = config.in_cluster(tmp_path)
    assert (found.server, found.namespace, found.in_cluster) == ("https://[fd00::1]:443", "own", True)
    assert found.credential.token_file == str(tmp_path / "token")
    with pytest.raises(ConfigError, match="service account"):
        config.load()


def at(*where: Any) -> Callable[[dict[str, Any], Any], None]:
    def change(content: dict[str, Any], value: Any) -> None:
        target: Any = content
        for step in where[:-1]:
            target = target[step]
        target[where[-1]] = value

    return change


CLUSTER = ("clusters", 0, "cluster")
USER = ("users", 0, "user")
REFUSED: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "no credential": (USER, {}, "no credential"),
    "empty token": (USER, {"token": ""}, "no credential"),
    "password": (USER, {"username": "u", "password": CANARY}, "passwords"),
    "auth provider": (USER, {"auth-provider": {"name": "gcp"}}, "exec plugin"),
    "impersonation": (USER, {"token": CANARY, "as": "x"}, "impersonation"),
    "token no text": (USER, {"token": 7}, "must be text"),
    "certificate without key": (USER, {"client-certificate": "/x"}, "without its key"),
    "data not base64": (USER, {"client-certificate-data": CANARY, "client-key-data": "x"}, "base64"),
    "plugin of another version": (
        USER,
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1"}},
        "speaks",
    ),
    "plugin without a command": (
        USER,
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1"}},
        "no command",
    ),
    "plugin that is text": (USER, {"exec": "x"}, "mapping"),
    "plugin with odd arguments": (
        USER,
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "args": "y"}},
        "list",
    ),
    "no server": ((*CLUSTER, "server"), "", "URL"),
    "server without a scheme": ((*CLUSTER, "server"), "example.org", "URL"),
    "server with an odd port": ((*CLUSTER, "server"), "https://example.org:99999", "URL"),
    "server with a password": ((*CLUSTER, "server"), f"https://u:{CANARY}@example.org", "URL"),
    "server with a query": ((*CLUSTER, "server"), "https://example.org/?x", "URL"),
    "absent CA file": ((*CLUSTER, "certificate-authority"), "/absent/ca.crt", "cannot read"),
    "SOCKS proxy": ((*CLUSTER, "proxy-url"), "socks5://x:1", "proxy"),
    "odd flag": ((*CLUSTER, "insecure-skip-tls-verify"), "yes", "true or false"),
    "no current context": (("current-context",), "", "no current-context"),
    "absent context": (("current-context",), "x", "no context"),
    "absent cluster": (("contexts", 0, "context", "cluster"), "x", "no cluster"),
    "absent user": (("contexts", 0, "context", "user"), "x", "no user"),
    "entry without a name": (("users", 0), {"user": {}}, "no name"),
    "users no list": (("users",), {}, "list"),
}


@pytest.mark.parametrize(("where", "value", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(where: tuple[Any, ...], value: Any, message: str) -> None:
    content = document()
    at(*where)(content, value)
    with pytest.raises(ConfigError, match=message) as caught:
        config.from_kubeconfig(content)
    assert CANARY not in str(caught.value)


def test_insecure_and_a_ca_exclude_each_other() -> None:
    content = document()
    content["clusters"][0]["cluster"] |= {"insecure-skip-tls-verify": True}
    assert config.from_kubeconfig(content).insecure_skip_tls_verify
    content["clusters"][0]["cluster"] |= {"certificate-authority-data": base64.b64encode(b"x").decode()}
    with pytest.raises(ConfigError, match="exclude"):
        config.from_kubeconfig(content)


@pytest.mark.parametrize(
    "text",
    ["", "hello", "- a", f"a: b: {CANARY}", "\x00", "[" * 5000],
    ids=["none", "text", "list", "broken", "NUL", "deep"],
)
def test_documents_that_are_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_kubeconfig(text)
    assert CANARY not in str(caught.value)


def test_kubeconfig_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        config.from_kubeconfig(tmp_path)


def test_no_secret_in_representations() -> None:
    found = config.from_kubeconfig(document())
    assert CANARY not in repr(found)
    assert CANARY not in repr(found.credential)
