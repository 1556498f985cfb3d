"""The konnector's command line: each flag reaches the options, and what cannot be meant is refused."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from bind_agent.api import guards
from bind_agent.backend.controlplane import deployment
from bind_agent.backend.controlplane.model import Wanted
from konnector.limit_options import Limits, size_text
from konnector.mode_options import ControlPlane
from konnector.options import Options, command, default_identity, default_lease_namespace, parse_address

pytestmark = pytest.mark.unit


def _run(*arguments: str) -> tuple[Any, list[Options]]:
    seen: list[Options] = []
    return CliRunner().invoke(command(seen.append), list(arguments)), seen


def _options(*arguments: str) -> Options:
    result, seen = _run(*arguments)
    assert result.exit_code == 0, result.output
    return seen[0]


@pytest.fixture(autouse=True)
def no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POD_NAME", raising=False)
    monkeypatch.delenv("POD_NAMESPACE", raising=False)


def test_defaults_are_those_of_the_wire() -> None:
    found = _options()
    assert (found.lease_name, found.lease_namespace) == ("klutch-bind", "kube-system")
    assert (found.health_host, found.health_port) == ("0.0.0.0", 8080)
    assert found.kubeconfig is None
    assert found.heartbeat_interval == 300
    assert found.leader_elect
    assert not found.adopt
    assert found.allow_loopback is None
    assert found.log_format == "json"
    assert found.limits == Limits(memory=134_217_728, claimed_copies=10_000, claimed_bytes=104_857_600)


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--kubeconfig=/x/y"], "kubeconfig", "/x/y"),
        (["--lease-name=mine"], "lease_name", "mine"),
        (["--lease-namespace=here"], "lease_namespace", "here"),
        (["--no-leader-elect"], "leader_elect", False),
        (["--secret-namespace=there"], "secret_namespace", "there"),
        (["--health-address=127.0.0.1:0"], "health_port", 0),
        (["--health-address=127.0.0.1:0"], "health_host", "127.0.0.1"),
        (["--workers=3"], "workers", 3),
        (["--max-in-flight=9"], "max_in_flight", 9),
        (["--refuse-private-providers"], "allow_private_addresses", False),
        (["--allow-loopback-providers"], "allow_loopback", True),
        (["--refuse-loopback-providers"], "allow_loopback", False),
        (["--adopt"], "adopt", True),
        ([], "claimable", {"secrets", "configmaps"}),
        (
            ["--allow-claim=certificates.cert-manager.io", "--allow-claim", "services"],
            "claimable",
            {"secrets", "configmaps", "certificates.cert-manager.io", "services"},
        ),
        (["--heartbeat-interval=20"], "heartbeat_interval", 20),
        (["--log-level=error"], "log_level", "error"),
        (["--logging-format=text"], "log_format", "console"),
        (["-v", "4"], "log_level", "debug"),
        (["-v", "4", "--log-level=error"], "log_level", "error"),
        (["-v", "3"], "log_level", "info"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_each_flag_reaches_its_option(arguments: list[str], field: str, value: object) -> None:
    assert getattr(_options(*arguments), field) == value


@pytest.mark.parametrize(
    ("argument", "limits"),
    [
        ("--provider-memory-budget=256Mi", Limits(memory=268_435_456)),
        ("--provider-memory-budget=2Gi", Limits(memory=2_147_483_648)),
        ("--provider-memory-budget=100000000", Limits(memory=100_000_000)),
        ("--max-claimed-copies=0", Limits(claimed_copies=0)),
        ("--max-claimed-bytes=64Ki", Limits(claimed_bytes=65_536)),
    ],
)
def test_each_limit_reaches_its_place(argument: str, limits: Limits) -> None:
    assert _options(argument).limits == limits


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (1500, "1500"), (2048, "2Ki"), (1 << 27, "128Mi"), (1 << 31, "2Gi")]
)
def test_sizes_are_said_as_they_are_given(size: int, text: str) -> None:
    assert size_text(size) == text


def test_a_pod_knows_its_name_and_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "konnector-0")
    monkeypatch.setenv("POD_NAMESPACE", "klutch-bind")
    found = _options()
    assert (found.identity, found.lease_namespace) == ("konnector-0", "klutch-bind")
    assert default_lease_namespace() == "klutch-bind"


def test_without_a_pod_the_identity_is_a_number_of_its_own() -> None:
    assert default_identity().isdecimal()
    assert default_identity() != default_identity()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), (":80", ("0.0.0.0", 80)), ("[::1]:80", ("::1", 80))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "80", "host", "host:", "host:http", "host:-1", "host:65536", "host:1²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"host:port, for instance 127\.0\.0\.1:8080"):
        parse_address(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers=0"],
        ["--max-in-flight=0"],
        ["--heartbeat-interval=0"],
        ["--provider-memory-budget=1Mi"],
        ["--provider-memory-budget=256MB"],
        ["--provider-memory-budget=-256Mi"],
        ["--provider-memory-budget=\u0661Mi"],
        ["--max-claimed-copies=-1"],
        ["--max-claimed-bytes=many"],
        ["--log-level=loud"],
        ["--allow-claim=pods"],
        ["--allow-claim=deployments.apps"],
        ["--allow-claim=apiservicebindings.klutch.anynines.com"],
        ["--allow-claim=a b"],
        ["--allow-claim=a."],
        ["--nonsense"],
    ],
    ids=lambda value: value[0],
)
def test_values_out_of_range_start_nothing(arguments: list[str]) -> None:
    result, seen = _run(*arguments)
    assert result.exit_code == 2
    assert seen == []


# --- control plane mode -------------------------------------------------------------------------------

MODE = {
    "--control-plane-mode": "",
    "--app-cluster-kubeconfig-secret-name": "app1",
    "--app-cluster-kubeconfig-secret-namespace": "root",
    "--binding-root-namespace": "root",
}


def _flags(**changes: str | None) -> list[str]:
    wanted = {**MODE, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    return [f"{flag}={value}" if value else flag for flag, value in wanted.items() if value is not None]


def test_control_plane_mode_with_all_it_takes() -> None:
    found = _options(*_flags())
    assert found.control_plane == ControlPlane("root", "root", "app1", "kubeconfig")
    # Its roles allow Leases and Secrets in the root namespace (spec 5.3).
    assert (found.lease_namespace, found.secret_namespace) == ("root", "root")
    keyed = _options(*_flags(app_cluster_kubeconfig_secret_key="admin.conf"))
    assert keyed.control_plane is not None
    assert keyed.control_plane.secret_key == "admin.conf"
    assert _options(*_flags(control_plane_mode="true")).control_plane == found.control_plane


def test_without_the_mode_there_is_none() -> None:
    assert _options().control_plane is None
    assert _options("--control-plane-mode=false").control_plane is None
    assert _options().secret_namespace == "klutch-bind"


def test_the_lease_is_where_it_is_told_or_where_the_pod_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAMESPACE", "pods")
    assert _options(*_flags()).lease_namespace == "pods"
    assert _options(*_flags(lease_namespace="here")).lease_namespace == "here"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"app_cluster_kubeconfig_secret_name": None}, "--app-cluster-kubeconfig-secret-name is required"),
        (
            {"app_cluster_kubeconfig_secret_namespace": None},
            "--app-cluster-kubeconfig-secret-namespace is required",
        ),
        ({"app_cluster_kubeconfig_secret_key": "="}, "--app-cluster-kubeconfig-secret-key"),
        ({"binding_root_namespace": None}, "--binding-root-namespace is required"),
        # The first that is missing is told first (spec 6.1).
        (
            {"app_cluster_kubeconfig_secret_name": None, "binding_root_namespace": None},
            "--app-cluster-kubeconfig-secret-name is required",
        ),
        ({"app_cluster_kubeconfig_secret_name": "UPPER"}, "cannot be a name"),
        ({"app_cluster_kubeconfig_secret_namespace": "a.b"}, "cannot be a name"),
        ({"app_cluster_kubeconfig_secret_key": "a/b"}, "cannot be a name"),
        ({"binding_root_namespace": "a_b"}, "cannot be a name"),
        ({"secret_namespace": "elsewhere"}, "--secret-namespace is the root namespace"),
        ({"control_plane_mode": None}, "only together with --control-plane-mode"),
        ({"control_plane_mode": "perhaps"}, "not a valid boolean"),
    ],
    ids=[
        "no-name",
        "no-namespace",
        "odd-key",
        "no-root",
        "order",
        "name",
        "namespace",
        "key",
        "root",
        "secret-namespace",
        "no-mode",
        "neither-on-nor-off",
    ],
)
def test_half_of_control_plane_mode_starts_nothing(changes: dict[str, str | None], words: str) -> None:
    result, seen = _run(*_flags(**changes))
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert seen == []


def test_what_the_backend_deploys_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAMESPACE", "klutch-bind-default-app1")
    wanted = Wanted("default", "app1", secret_namespace="default", secret="app", secret_key="kubeconfig")
    # The kubelet puts the variable in.
    given = [
        argument.replace("$(POD_NAMESPACE)", "klutch-bind-default-app1")
        for argument in deployment.arguments(wanted)
    ]
    found = _options(*given)
    assert found.control_plane == ControlPlane(wanted.root, wanted.root, "app", "kubeconfig")
    assert found.lease_namespace == wanted.root
    # What the backend's operator allows reaches the konnectors that it deploys.
    assert found.claimable == guards.CLAIMABLE
    allowed = guards.CLAIMABLE | {"certificates.cert-manager.io", "services"}
    assert _options(*deployment.arguments(wanted, allowed)).claimable == allowed


def test_an_empty_key_is_refused() -> None:
    result, seen = _run(*_flags(), "--app-cluster-kubeconfig-secret-key=")
    assert result.exit_code == 2
    assert "--app-cluster-kubeconfig-secret-key is required" in " ".join(result.output.split())
    assert seen == []
