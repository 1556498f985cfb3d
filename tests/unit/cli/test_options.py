"""Options, exit codes and the commands that need no cluster."""

import io
import json
from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml

from bind_agent._version import __version__
from bind_agent.api.resource import BINDINGS
from bind_agent.kube.credentials import Credential
from cli import main
from cli.access import Access
from cli.binding.consumer import ConsumerSide
from cli.binding.flow import Outcome
from cli.binding.install import default_image
from cli.commands.choices import result
from cli.commands.remote import Remote
from cli.errors import CliError, ExitCode, UsageError
from cli.options import Connection, Seconds, report

pytestmark = pytest.mark.unit

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [
        {"name": "c", "cluster": {"server": "https://one.example"}},
        {"name": "d", "cluster": {"server": "https://two.example"}},
    ],
    "users": [
        {"name": "u", "user": {"token": "secret-token"}},
        {"name": "w", "user": {"token": "another-token"}},
    ],
    "contexts": [
        {"name": "x", "context": {"cluster": "c", "user": "u"}},
        {"name": "y", "context": {"cluster": "d", "user": "u"}},
    ],
    "current-context": "x",
}


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(KUBECONFIG))
    return str(path)


def connection(**values: Any) -> Connection:
    defaults: dict[str, Any] = dict.fromkeys(
        (
            "kubeconfig",
            "context",
            "user",
            "server",
            "token",
            "certificate_authority",
            "tls_server_name",
            "proxy_url",
        )
    )
    defaults |= {"insecure_skip_tls_verify": False, "request_timeout": 5.0, "verbosity": 0}
    return Connection(**{**defaults, **values})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5s", 1.5), ("10m", 600), ("1h30m", 5400), (20.0, 20)]
)
def test_durations(text: Any, seconds: float) -> None:
    assert Seconds().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "25h", "10 m", "1d", "5ms"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Seconds().convert(text, None, None)


def test_context_and_overrides(kubeconfig: str, tmp_path: Path) -> None:
    assert connection(kubeconfig=kubeconfig).config().server == "https://one.example"
    assert connection(kubeconfig=kubeconfig, context="y").config().server == "https://two.example"
    ca = tmp_path / "ca"
    ca.write_bytes(b"PEM")
    config = connection(
        kubeconfig=kubeconfig,
        server="https://three.example/",
        token="other",
        certificate_authority=str(ca),
        tls_server_name="name.example",
        proxy_url="http://proxy.example",
    ).config()
    assert (config.server, config.ca_pem, config.tls_server_name) == (
        "https://three.example",
        b"PEM",
        "name.example",
    )
    assert config.credential == Credential(token="other")
    assert config.proxy == "http://proxy.example"
    insecure = connection(kubeconfig=kubeconfig, insecure_skip_tls_verify=True).config()
    assert (insecure.insecure_skip_tls_verify, insecure.ca_pem) == (True, None)


def test_server_and_token_need_no_kubeconfig() -> None:
    given = connection(kubeconfig="/nonexistent", server="https://one.example", token="t")
    assert given.config().server == "https://one.example"
    assert "'t'" not in repr(given)


def test_a_user_of_the_kubeconfig_instead_of_the_contexts(kubeconfig: str) -> None:
    assert connection(kubeconfig=kubeconfig).config().credential.token == "secret-token"
    found = connection(kubeconfig=kubeconfig, context="y", user="w").config()
    assert (found.server, found.credential.token) == ("https://two.example", "another-token")
    # As client-go has it, a token that is given outright wins.
    assert connection(kubeconfig=kubeconfig, user="w", token="t").config().credential.token == "t"


@pytest.mark.parametrize("more", [{}, {"server": "https://one.example", "token": "t"}])
def test_a_user_that_is_not_there_is_a_usage_error(kubeconfig: str, more: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no user 'nobody'"):
        connection(kubeconfig=kubeconfig, user="nobody", **more).config()


def test_a_pod_has_no_users_to_choose_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(UsageError, match="no kubeconfig that could have a user 'w'"):
        connection(user="w").config()


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize("shown", [True, False])
def test_managed_fields_are_shown_on_request(form: str, shown: bool) -> None:
    managed = {"metadata": {"name": "x", "managedFields": [{"manager": "kubectl-bind"}]}, "spec": {}}
    outcome = Outcome(BINDINGS, (), bindings=[managed])
    text = result([outcome], cast("ConsumerSide", None), form, managed_fields=shown)
    plain = {"metadata": {"name": "x"}, "spec": {}}
    assert yaml.safe_load(text) == (managed if shown else plain)


@pytest.mark.parametrize(("namespace", "told"), [("x", True), ("klutch-bind", False)])
def test_a_namespace_without_effect_is_told(
    capsys: pytest.CaptureFixture[str], namespace: str, told: bool
) -> None:
    assert main.run(["https://x.example", "--kubeconfig=/nonexistent", "-n", namespace]) == 2
    said = capsys.readouterr().err
    assert "no app cluster" in said
    assert ("--namespace has no effect here" in said) is told


def test_no_cluster_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no app cluster"):
        connection(kubeconfig="/nonexistent").config()


def test_an_unreadable_ca_is_a_usage_error(kubeconfig: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        connection(kubeconfig=kubeconfig, certificate_authority="/nonexistent").config()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        ({"HTTPS_PROXY": "http://p.example"}, {"https": "http://p.example"}),
        ({"https_proxy": "http://p.example"}, {"https": "http://p.example"}),
        ({"HTTP_PROXY": "http://p.example"}, {}),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "two.example, .example"}, {}),
        ({"HTTPS_PROXY": "http://p.example", "no_proxy": "*"}, {}),
        ({"HTTPS_PROXY": "http://p.example", "no_proxy": "other.example"}, {"https": "http://p.example"}),
    ],
)
def test_proxies_of_the_environment(
    kubeconfig: str, environment: dict[str, str], expected: dict[str, str]
) -> None:
    access = Access(connection(kubeconfig=kubeconfig).config(), environment=environment)
    assert access.proxies == expected


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "[::1]", "localhost"])
def test_no_proxy_of_the_environment_is_asked_for_this_machine(kubeconfig: str, host: str) -> None:
    config = connection(kubeconfig=kubeconfig, server=f"https://{host}:6443").config()
    assert Access(config, environment={"HTTPS_PROXY": "http://p.example"}).proxies == {}


def test_the_kubeconfigs_proxy_wins_and_providers_get_none(kubeconfig: str) -> None:
    config = connection(kubeconfig=kubeconfig, proxy_url="http://mine.example").config()
    assert (
        Access(config, environment={"HTTPS_PROXY": "http://p.example"}).proxies["https"]
        == "http://mine.example"
    )
    assert Access(connection(kubeconfig=kubeconfig).config()).proxies == {}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nonsense"], 2, "unknown argument"),
        (["apiservice", "--nonsense"], 2, "No such option"),
        (["apiservice", "-o", "xml"], 2, "not one of"),
        (["apiservice"], 2, "the provider is not named"),
        (["apiservice", "--remote-kubeconfig-namespace", "x"], 2, "belong together"),
        (["apiservice", "--remote-kubeconfig-name", "x"], 2, "belong together"),
        (["apiservice", "--remote-kubeconfig", "x", "--accept-claims", "x,,y"], 2, "not understood"),
        (["apiservice", "--remote-kubeconfig", "x", "--konnector-image", "-x-"], 2, "not an image"),
        (["apiservice", "--remote-kubeconfig", "x"], 2, "the request is missing"),
        (["apiservice", "--remote-kubeconfig", "x", "-f", "y", "https://z.example"], 2, "exactly one"),
        (["apiservice", "--remote-kubeconfig", "x", "-f", "/nonexistent"], 2, "cannot be read"),
        (["apiservice", "--remote-kubeconfig", "x", "http://z.example"], 2, "not an https address"),
        (["apiservice", "--remote-kubeconfig", "x", "--timeout", "soon"], 2, "not a duration"),
        (["konnector", "manifests", "--konnector-image", "a b"], 2, "not an image"),
        (["konnector", "manifests", "--allow-claim", "nodes"], 2, "may never be claimed"),
        (
            ["apiservice", "--allow-claim", "clusterroles.rbac.authorization.k8s.io"],
            2,
            "may never be claimed",
        ),
        (["https://x.example", "--allow-claim", "a."], 2, "is no kind"),
        (["bundle", "--allow-claim", "deployments.apps"], 2, "may never be claimed"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str) -> None:
    assert main.run(arguments) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["apiservice", "-h"], ["konnector", "--help"], ["--version"]]
)
def test_help(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main.run(arguments) == 0
    assert capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["version"]) == 0
    assert f"v{__version__}" in capsys.readouterr().out
    assert main.run(["version", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["konnectorImage"] == default_image()


def test_manifests_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["konnector", "manifests", "--konnector-image", "x:1", "-o", "json"]) == 0
    items = json.loads(capsys.readouterr().out)["items"]
    assert items[-1]["spec"]["template"]["spec"]["containers"][0]["image"] == "x:1"
    flag = "--allow-claim=certificates.cert-manager.io"
    assert main.run(["konnector", "manifests", flag, "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["items"][-1]["spec"]["template"]["spec"]["containers"][0]
    assert told["args"] == [flag]
    assert main.run(["konnector", "manifests"]) == 0
    assert len(list(yaml.safe_load_all(capsys.readouterr().out))) == len(items)


def test_a_failure_tells_what_next_and_what_stays(capsys: pytest.CaptureFixture[str]) -> None:
    error = CliError("it broke", next_step="mend it", code=ExitCode.TIMEOUT).with_left(("Secret x",))
    assert report(error) == 4
    assert capsys.readouterr().err.splitlines() == [
        "error: it broke",
        "next: mend it",
        "left behind (running the command again goes on from there):",
        "  Secret x",
    ]
    assert report(CliError("alone")) == 1
    assert capsys.readouterr().err == "error: alone\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, click.Abort])
def test_an_interrupt_has_its_own_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stop: type[BaseException]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise stop

    monkeypatch.setattr(main.bind, "main", interrupted)
    assert main.run([]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_main_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["kubectl-bind", "version"])
    with pytest.raises(SystemExit) as stopped:
        main.main()
    assert stopped.value.code == 0


def test_a_secret_where_konnectors_read_is_preferred() -> None:
    def remote(**values: str) -> Remote:
        defaults = {"path": "", "secret_namespace": "klutch-bind", "secret_name": "x"}
        return Remote(**{**defaults, **values})

    assert remote().preferred_secret == "x"
    assert remote(secret_namespace="default").preferred_secret == ""
    assert remote(path="file").preferred_secret == ""
    remote().check()


def test_the_request_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    from cli.binding.source import read_file

    assert read_file("-", io.BytesIO(b"text")) == b"text"


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        (
            Remote("f", "klutch-bind", "foo"),
            "the Secret klutch-bind/foo is not used: --remote-kubeconfig wins",
        ),
        (Remote("f", "", ""), ""),
        (Remote("", "klutch-bind", "foo"), ""),
    ],
)
def test_a_file_wins_over_a_secret_and_says_so(remote: Remote, told: str) -> None:
    remote.check()
    assert remote.unused.startswith(told)
    assert bool(remote.unused) is bool(told)
