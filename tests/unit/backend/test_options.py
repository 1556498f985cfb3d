"""Flags and commands as a person or a Go deployment gives them."""

from datetime import timedelta
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from bind_agent.backend import app
from bind_agent.backend.app import cli
from bind_agent.backend.claims import parse_kind
from bind_agent.backend.install import contains
from bind_agent.backend.options import serve as options
from bind_agent.backend.options.serve import Serve

pytestmark = pytest.mark.unit


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Serve]:
    """Collects what `serve` would run with."""
    found: list[Serve] = []
    monkeypatch.setattr("bind_agent.backend.serve.run", found.append)
    monkeypatch.setitem(cli.commands, "serve", options.serve_command(found.append))
    return found


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(
        cli, list(arguments), env={"POD_NAMESPACE": "", **environment}, prog_name="bind-backend"
    )


class TestServe:
    @pytest.mark.parametrize(
        "arguments", [("--no-web",), ("serve", "--no-web"), ("serve", "--web", "--no-web")]
    )
    def test_bare_flags_serve(self, served: list[Serve], arguments: tuple[str, ...]) -> None:
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
        assert served == [Serve()]

    def test_the_environment_can_switch_the_pages_off(self, served: list[Serve]) -> None:
        assert invoke(BIND_BACKEND_WEB="false").exit_code == 0
        assert served == [Serve()]

    def test_arguments_of_a_go_deployment(self, served: list[Serve]) -> None:
        flags = "--namespace-prefix=cluster --pretty-name=Shop --consumer-scope=cluster -v=4 --vmodule=x=1"
        isolation = "--cluster-scoped-isolation=NONE --oidc-issuer-url=https://x --no-web"
        result = invoke(*flags.split(), *isolation.split())
        assert result.exit_code == 0, result.output
        (found,) = served
        assert (found.consumer_scope, found.isolation) == ("Cluster", "None")
        assert (found.tenancy.pretty_name, found.connection.log_level) == ("Shop", "debug")

    @pytest.mark.parametrize(
        ("flag", "said"),
        [
            ("--consumer-scope=both", "none of"),
            ("--cluster-scoped-isolation=some", "none of"),
            ("--namespace-prefix=", "must not be empty"),
            ("--namespace-prefix=Upper", "cannot begin"),
            ("--namespace-prefix=abcdefghijklmnopqrstu", "cannot begin"),
            ("--pretty-name= ", "must not be empty"),
            ("--external-address=http://x", "https URL"),
            ("--external-ca-file=/nonexistent", "cannot read"),
            ("--token-ttl=5m", "not between"),
            ("--token-ttl=soon", "no duration"),
            ("--legacy-issuer=login.example.org", "is no issuer"),
            ("--legacy-issuer=https://login.example.org/?x=1", "is no issuer"),
            ("--legacy-issuer=https://[", "is no issuer"),
            ("--revoke-unseen-after=5m", "not between"),
            ("--delete-unseen-after=720h", "--revoke-unseen-after"),
            ("--health-address=8080", "not host:port"),
            ("--health-address=x:99999", "not host:port"),
            ("--allow-claim=pods", "may never be claimed"),
            ("--allow-claim=backups.", "is no kind"),
            ("-v=loud", "not a valid integer"),
        ],
    )
    def test_refused(self, served: list[Serve], flag: str, said: str) -> None:
        result = invoke("--no-web", flag)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())
        assert served == []

    def test_accepted_twins(self, served: list[Serve], tmp_path: Path, real_ca: bytes) -> None:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(real_ca)
        result = invoke(
            "--external-address=https://api.example.org:6443/",
            f"--external-ca-file={ca}",
            "--external-server-name=api",
            "--token-ttl=24h",
            "--legacy-issuer=https://login.example.org/realm",
            "--revoke-unseen-after=720h",
            "--delete-unseen-after=2160h",
            "--allow-claim=backups.example.org",
            "--health-address=[::1]:0",
            "--fail-requests-after=2s",
            "--logging-format=text",
            "--no-web",
        )
        assert result.exit_code == 0, result.output
        (found,) = served
        assert found.tenancy.external.address == "https://api.example.org:6443"
        assert found.tenancy.external.ca_pem == real_ca
        assert found.tenancy.token_ttl == timedelta(days=1)
        assert found.tenancy.legacy_issuer == "https://login.example.org/realm"
        assert (found.reaper.revoke_after, found.reaper.delete_after) == (
            timedelta(days=30),
            timedelta(days=90),
        )
        assert "backups.example.org" in found.claimable
        assert (found.health_host, found.health_port) == ("::1", 0)
        assert found.fail_after == timedelta(seconds=2)
        assert found.connection.log_format == "console"

    def test_the_pods_environment(self, served: list[Serve]) -> None:
        invoke("--no-web", POD_NAMESPACE="here", POD_NAME="one", BIND_BACKEND_EXTERNAL_ADDRESS="https://a")
        (found,) = served
        assert (found.lease_namespace, found.identity, found.tenancy.external.address) == (
            "here",
            "one",
            "https://a",
        )

    def test_an_empty_host_is_every_address(self) -> None:
        assert options.parse_address(":1", "--health-address") == ("0.0.0.0", 1)

    def test_help_and_version(self) -> None:
        assert "tenant" in invoke("--help").output
        assert "bind-backend" in invoke("--version").output
        assert "Namespaced|Cluster" in invoke("serve", "--help").output


class TestCommands:
    def test_now_and_an_overlap_exclude_each_other(self) -> None:
        result = invoke("tenant", "rotate", "anna", "--now", "--overlap=5m")
        assert result.exit_code == 2
        assert "give one of them" in result.output

    @pytest.mark.parametrize(
        ("raised", "code", "said"),
        [
            (KeyboardInterrupt(), 130, "interrupted"),
            (click.exceptions.Abort(), 130, "interrupted"),
            (click.ClickException("the provider refuses"), 1, "Error: the provider refuses"),
            (click.UsageError("wrong"), 2, "wrong"),
            (None, 0, ""),
        ],
    )
    def test_exit_codes(
        self,
        raised: BaseException | None,
        code: int,
        said: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def main(*_: object, **__: object) -> None:
            if raised is not None:
                raise raised

        monkeypatch.setattr(cli, "main", main)
        assert app.run(["tenant", "list"]) == code
        assert said in capsys.readouterr().err

    def test_help_ends_well(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert app.run(["--help"]) == 0
        assert app.run(["tenant", "no-such-command"]) == 2

    def test_identities_are_checked_first(self) -> None:
        result = invoke("tenant", "add", "a#b", "--cluster-id=c")
        assert result.exit_code == 2
        assert "printable" in result.stderr

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (("--allow=databases",), "plural.group"),
            (("--allow=Databases.example.org",), "plural.group"),
            (("--issuer=login",), "is no issuer"),
            (("--issuer=https://i", "--allow=a.b"), "spec.allowed"),
        ],
    )
    def test_what_a_tenant_may_request_is_checked_first(self, flags: tuple[str, ...], said: str) -> None:
        result = invoke("tenant", "add", "anna", "--cluster-id=c", *flags)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())

    def test_an_unusable_kubeconfig_is_one_sentence(self, tmp_path: Path) -> None:
        result = invoke("tenant", "list", f"--kubeconfig={tmp_path / 'none'}")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: there is no kubeconfig")

    def test_rbac_without_a_cluster(self) -> None:
        result = invoke("rbac", "databases.example.org", "--claim=secrets")
        role = yaml.safe_load(result.output)
        assert role["kind"] == "ClusterRole"
        assert [rule["resources"] for rule in role["rules"]] == [["secrets"], ["databases"]]

    @pytest.mark.parametrize("name", ["", ".", "Databases.example.org"])
    def test_rbac_needs_a_resource(self, name: str) -> None:
        result = invoke("rbac", name)
        assert result.exit_code == 2
        assert f"'{name}' is no resource: write plural.group" in " ".join(result.output.split())

    @pytest.mark.parametrize("arguments", [("pods",), ("databases.example.org", "--claim=nodes")])
    def test_rbac_refuses_dangerous_kinds(self, arguments: tuple[str, ...]) -> None:
        assert invoke("rbac", *arguments).exit_code == 2


@pytest.mark.parametrize(("text", "kind"), [("secrets", ("", "secrets")), (" a.b.c ", ("b.c", "a"))])
def test_kinds_are_written_like_kubectl_writes_them(text: str, kind: tuple[str, str]) -> None:
    found = parse_kind(text)
    assert (found.group, found.plural) == kind


@pytest.mark.parametrize("text", ["", ".", "a.", "a.b."])
def test_other_text_is_no_kind(text: str) -> None:
    with pytest.raises(ValueError, match="no kind"):
        parse_kind(text)


@pytest.mark.parametrize(
    ("actual", "wanted", "found"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": "text"}, {"a": ["text"]}, False),
        ("x", {"a": 1}, False),
        (None, [1], False),
    ],
)
def test_a_server_may_add_defaults(actual: object, wanted: object, found: bool) -> None:
    assert contains(actual, wanted) is found


def test_durations_and_words_pass_through() -> None:
    context = click.Context(click.Command("x"))
    bounds = options.Duration(timedelta(0), timedelta(hours=1))
    assert bounds.convert(timedelta(minutes=1), None, context) == timedelta(minutes=1)
