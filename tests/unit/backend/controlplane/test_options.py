"""Flags of control plane mode."""

import pytest
from click.testing import CliRunner, Result

from bind_agent.backend.options.control_plane import ControlPlane
from bind_agent.backend.options.serve import Serve, serve_command

pytestmark = pytest.mark.unit


def serve(*arguments: str, **environment: str) -> tuple[Result, ControlPlane | None]:
    found: list[Serve] = []
    result = CliRunner().invoke(serve_command(found.append), ["--no-web", *arguments], env=environment)
    return result, found[0].control_plane if found else None


def test_off_by_default() -> None:
    assert serve()[1] == ControlPlane()


@pytest.mark.parametrize("flag", ["--control-plane-mode", "--control-plane-mode=true"])
def test_on(flag: str) -> None:
    result, found = serve(flag, "--workers=3")
    assert found == ControlPlane(enabled=True), result.output


def test_off_as_go_writes_it() -> None:
    assert serve("--control-plane-mode=false")[1] == ControlPlane()


def test_from_the_environment() -> None:
    result, found = serve(BIND_BACKEND_CONTROL_PLANE_MODE="true", BIND_BACKEND_KONNECTOR_IMAGE="mine:v1")
    assert found == ControlPlane(enabled=True, konnector_image="mine:v1"), result.output


def test_secret_namespaces() -> None:
    _, found = serve(
        "--allow-secret-namespaces=a,b", "--allow-secret-namespaces", " c ", "--control-plane-mode"
    )
    assert found is not None
    assert found.secret_namespaces == {"a", "b", "c"}
    assert serve("--allow-secret-namespaces=*")[1] == ControlPlane(secret_namespaces=frozenset("*"))


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--allow-secret-namespaces=Upper", "no name of a namespace"),
        ("--allow-secret-namespaces=a/b", "no name of a namespace"),
        ("--konnector-image=", "no image reference"),
        ("--konnector-image=a b", "no image reference"),
        ("--control-plane-mode=perhaps", "perhaps"),
    ],
)
def test_refused(flag: str, said: str) -> None:
    result, found = serve(flag)
    assert (result.exit_code, found) == (2, None)
    assert said in result.output
