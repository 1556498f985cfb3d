"""Command lines that were written for the Go programs (spec 4.1, 6.1, 7.1) start ours as well."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from bind_agent.backend.options.serve import Serve, serve_command
from bind_agent.goflags import GoCommand
from cli import main
from cli.commands.apiservice import apiservice
from cli.commands.url import url
from konnector.options import Options, command

pytestmark = pytest.mark.unit

LOGGING = (
    "-v=4",
    "-v 4",
    "-v4",
    "--v=4",
    "--v 4",
    "-v=12",
    "--vmodule=session=4",
    "--vmodule session=4",
    "--logging-format=text",
    "--log-flush-frequency=5s",
    "--log-text-split-stream",
    "--log-text-split-stream=true",
    "--log-text-split-stream=false",
    "--log-text-info-buffer-size=0",
)
"""Logging flags of all three programs."""

KONNECTOR = (
    *LOGGING,
    "--kubeconfig=/x",
    "--lease-name=x",
    "--lease-namespace=x",
    "--control-plane-mode=false",
    "--control-plane-mode --app-cluster-kubeconfig-secret-name=a --app-cluster-kubeconfig-secret-namespace=r "
    "--app-cluster-kubeconfig-secret-key=k --binding-root-namespace=r",
    "--control-plane-mode=true --app-cluster-kubeconfig-secret-name=a --app-cluster-kubeconfig-secret-namespace=r "
    "--binding-root-namespace=r",
    "--logging-format=json",
    "--log-json-split-stream",
    "--log-json-split-stream=true",
    "--log-json-info-buffer-size=0",
    "--leader-elect=true",
    "--leader-elect=false",
)
"""Spec 6.1."""

CLI = (
    *LOGGING,
    "--kubeconfig=/x",
    "--context=x",
    "--user=x",
    "--namespace=x",
    "-n x",
    "-n=x",
    "--server=https://x",
    "-s https://x",
    "-s=https://x",
    "--token=x",
    "--certificate-authority=/x",
    "--insecure-skip-tls-verify",
    "--insecure-skip-tls-verify=true",
    "--tls-server-name=x",
    "--proxy-url=http://x",
    "--disable-compression",
    "--disable-compression=true",
    "-o yaml",
    "-o=yaml",
    "-oyaml",
    "--output=json",
    "--output name",
    "--allow-missing-template-keys",
    "--allow-missing-template-keys=true",
    "--allow-missing-template-keys=false",
    "--show-managed-fields",
    "--show-managed-fields=true",
    "--skip-konnector",
    "--skip-konnector=true",
    "--skip-konnector=false",
    "--konnector-image=x:1",
    "--no-banner",
    "--no-banner=true",
)
"""What both commands have (spec 7.1)."""

URL = (*CLI, "--dry-run", "--dry-run=true", "--dry-run=false", "-d", "-d=true", "-d=false", "-dv=4")

APISERVICE = (
    *CLI,
    "--remote-kubeconfig=/x",
    "--remote-kubeconfig-namespace=x --remote-kubeconfig-name=x",
    "-f x",
    "-f=x",
    "-f -",
    "-f=-",
    "--file=x",
    "--remote-namespace=x",
    "--downgrade-konnector",
    "--downgrade-konnector=true",
    # What the Go plugin calls itself with (spec 7.2, 9.2).
    "--remote-kubeconfig-namespace x --remote-kubeconfig-name x -f x --kubeconfig=/x --skip-konnector=true --no-banner",
)

REFUSED = (
    ("-o go-template={{.metadata.name}}", "go-template is not supported"),
    ("-o=go-template-file=x", "go-template-file is not supported"),
    ("-o template=x", "template is not supported"),
    ("--output=templatefile=x", "templatefile is not supported"),
    ("-o jsonpath={.metadata.name}", "jsonpath is not supported"),
    ("-o jsonpath-as-json={.x}", "jsonpath-as-json is not supported"),
    ("-o jsonpath-file=x", "jsonpath-file is not supported"),
    ("--template={{.x}}", "--template is not supported"),
    ("--username=x", "--username is not supported"),
    ("--password=x", "--password is not supported"),
    ("--as-uid=x", "--as-uid is not supported"),
)
"""Flags of spec 7.1 that would change something and cannot: dropping them would be a lie."""


HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
"""As the programs have it; a command keeps what it was asked with first, for all tests."""


def parsed(of: click.Command, line: str, *more: str) -> dict[str, Any]:
    return of.make_context("x", [*line.split(), *more], **HELP).params


@pytest.mark.parametrize("line", KONNECTOR)
def test_the_konnector_starts_with_it(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []
    result = CliRunner().invoke(command(seen.append), line.split())
    assert result.exit_code == 0, result.output
    assert len(seen) == 1
    assert seen[0].leader_elect is ("--leader-elect=false" not in line)
    assert (seen[0].control_plane is not None) is ("--app-cluster" in line)
    deep = ["-v=4", "-v", "4", "-v4", "--v=4", "--v", "4", "-v=12"]
    assert seen[0].log_level == ("debug" if set(line.split()) & set(deep) else "info")


@pytest.mark.parametrize("line", [*LOGGING, "--control-plane-mode=true", "--leader-elect=false"])
def test_the_backend_starts_with_it(line: str) -> None:
    seen: list[Serve] = []
    result = CliRunner().invoke(serve_command(seen.append), ["--no-web", *line.split()])
    assert result.exit_code == 0, result.output
    assert len(seen) == 1


def test_a_switch_that_is_set_off_wins_over_the_environment() -> None:
    seen: list[Serve] = []
    environment = {"BIND_BACKEND_CONTROL_PLANE_MODE": "true"}
    for line in (["--control-plane-mode=false"], []):
        assert (
            CliRunner().invoke(serve_command(seen.append), ["--no-web", *line], env=environment).exit_code
            == 0
        )
    assert [one.control_plane.enabled for one in seen] == [False, True]


@pytest.mark.parametrize("line", URL)
def test_binding_from_a_url_understands_it(line: str) -> None:
    for arguments in ([*line.split(), "https://x"], ["https://x", *line.split()]):
        assert parsed(url, "", *arguments)["urls"] == ("https://x",)


@pytest.mark.parametrize("line", APISERVICE)
def test_binding_with_a_request_understands_it(line: str) -> None:
    assert parsed(apiservice, line, "https://x")["url"] == "https://x"


@pytest.mark.parametrize(("line", "words"), REFUSED)
@pytest.mark.parametrize("of", [["https://x.example"], ["apiservice"]])
def test_what_cannot_be_done_is_said(
    capsys: pytest.CaptureFixture[str], of: list[str], line: str, words: str
) -> None:
    assert main.run([*of, *line.split()]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "next: " in said


def test_the_next_step_of_a_template_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    main.run(["apiservice", "-o", "jsonpath={.metadata.name}"])
    said = capsys.readouterr().err
    assert "table, wide, json, yaml, name" in said
    assert "jq" in said
    assert "yq" in said


@pytest.mark.parametrize("of", [url, apiservice, command(lambda _: None)], ids=lambda one: one.name)
def test_flags_without_a_meaning_are_not_offered(of: click.Command) -> None:
    shown = of.get_help(click.Context(of, **HELP))
    for word in (
        "vmodule",
        "log-flush",
        "split-stream",
        "buffer-size",
        "template",
        "as-uid",
        "--username",
        "banner",
    ):
        assert word not in shown
    assert "--kubeconfig" in shown


# --- how values are written ---------------------------------------------------------------------------


@click.command(cls=GoCommand)
@click.option("--switch", "-s", is_flag=True)
@click.option("--other", "-t", is_flag=True)
@click.option("--on/--off", default=None)
@click.option("--text", "-x")
@click.argument("rest", nargs=-1)
def sample(**_: Any) -> None:
    """Nothing."""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", {}),
        ("--switch", {"switch": True}),
        ("--switch=1", {"switch": True}),
        ("--switch=T", {"switch": True}),
        ("--switch=False", {}),
        ("-s=0", {}),
        ("--switch --switch=false", {}),
        ("-s --switch=false -s", {"switch": True}),
        ("-st", {"switch": True, "other": True}),
        ("-st=false", {"switch": True}),
        ("-stx=y", {"switch": True, "other": True, "text": "y"}),
        ("-stx y", {"switch": True, "other": True, "text": "y"}),
        ("-sxt", {"switch": True, "text": "t"}),
        ("-x=", {"text": ""}),
        ("-x==", {"text": "="}),
        ("--text=a=b", {"text": "a=b"}),
        # A switch takes no argument of its own, and a value may look like a flag.
        ("--switch false", {"switch": True, "rest": ("false",)}),
        ("--switch y", {"switch": True, "rest": ("y",)}),
        ("--text --switch=false", {"text": "--switch=false"}),
        ("-x --switch", {"text": "--switch"}),
        ("--on", {"on": True}),
        ("--on=true", {"on": True}),
        ("--on=false", {"on": False}),
        ("--off", {"on": False}),
        ("--off=true", {"on": False}),
        ("--off=false", {"on": True}),
        ("-- --switch=false -s", {"rest": ("--switch=false", "-s")}),
        ("-", {"rest": ("-",)}),
    ],
)
def test_values_are_read_as_pflag_reads_them(line: str, found: dict[str, Any]) -> None:
    nothing = {"switch": False, "other": False, "on": None, "text": None, "rest": ()}
    assert parsed(sample, line) == {**nothing, **found}


@pytest.mark.parametrize(
    "line",
    ["--switch=perhaps", "--switch=", "-s=2", "--nonsense", "--nonsense=true", "-q", "-sq", "--text", "-x"],
)
def test_what_is_no_value_is_refused(line: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(sample, line)
