"""The konnector: what would be installed, and when it is left alone."""

import io
import json
import shlex
from typing import Any, cast

import pytest
import yaml

from bind_agent._version import __version__
from bind_agent.api.guards import CLAIMABLE
from bind_agent.manifests import manifests_dir
from cli.binding.install import (
    REPOSITORY,
    Action,
    Decision,
    Installer,
    check_image,
    decide,
    default_image,
    manifests,
)
from cli.binding.konnector_claims import lacking, with_claims
from cli.cluster import Cluster
from cli.errors import CliError, UsageError
from cli.output import Progress

pytestmark = pytest.mark.unit


def deployment(image: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"image": image}]}}}}


@pytest.mark.parametrize(
    ("installed", "image", "skip", "action", "result"),
    [
        (None, "", False, Action.INSTALL, default_image()),
        (None, "", True, Action.SKIP, ""),
        (None, "x:1", True, Action.INSTALL, "x:1"),
        ("x:1", "x:2", False, Action.UPDATE, "x:2"),
        ("x:1", "x:2", True, Action.UPDATE, "x:2"),
        ("x:1", "", False, Action.LEAVE, ""),
        ("", "", False, Action.LEAVE, ""),
        (f"{REPOSITORY}@sha256:abc", "", False, Action.LEAVE, ""),
        (f"{REPOSITORY}:latest", "", False, Action.LEAVE, ""),
        (f"{REPOSITORY}:v{__version__}", "", False, Action.LEAVE, ""),
        (f"{REPOSITORY}:v0.0.1", "", False, Action.UPDATE, default_image()),
        (f"{REPOSITORY}:v{__version__}-rc.1", "", False, Action.UPDATE, default_image()),
        (f"{REPOSITORY}:v999.0.0", "", False, Action.LEAVE, ""),
    ],
)
def test_decision(installed: str | None, image: str, skip: bool, action: Action, result: str) -> None:
    there = None if installed is None else deployment(installed)
    decision = decide(there, image=image, skip=skip)
    assert (decision.action, decision.image) == (action, result)


@pytest.mark.parametrize(
    "odd", [{}, {"spec": None}, deployment(7), {"spec": {"template": {"spec": {"containers": []}}}}]
)
def test_a_deployment_without_an_image_is_left_alone(odd: dict[str, Any]) -> None:
    assert decide(odd, image="", skip=False).action is Action.LEAVE


def test_a_version_that_cannot_be_compared_is_an_error_with_a_way_out() -> None:
    with pytest.raises(CliError, match="cannot be compared") as caught:
        decide(deployment(f"{REPOSITORY}:banana"), image="", skip=False)
    assert "--konnector-image" in caught.value.next_step
    assert decide(deployment(f"{REPOSITORY}:banana"), image="", skip=True).action is Action.SKIP


def test_manifests_are_complete_and_in_order() -> None:
    objects = manifests("registry.example/k:v1")
    kinds = [one["kind"] for one in objects]
    assert kinds[:2] == ["Namespace", "ServiceAccount"]
    assert kinds[-1] == "Deployment"
    pod = objects[-1]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == "registry.example/k:v1"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True
    # Asking again gives fresh objects: nobody changes the shipped ones.
    assert (
        manifests(default_image())[-1]["spec"]["template"]["spec"]["containers"][0]["image"]
        == default_image()
    )


ALLOWED = CLAIMABLE | {"certificates.cert-manager.io", "services"}
FLAGS = ("--allow-claim=certificates.cert-manager.io", "--allow-claim=services")


def told(*arguments: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"image": "x:1", "args": list(arguments)}]}}}}


@pytest.mark.parametrize(
    ("there", "image", "arguments"),
    [
        (None, "", FLAGS),
        (told(), "x:2", FLAGS),
        # What it was told before stays, in whatever form it was written.
        (told("--adopt"), "x:2", ("--adopt", *FLAGS)),
        (told(FLAGS[1]), "x:2", (FLAGS[1], FLAGS[0])),
        (told("--allow-claim", "services"), "x:2", ("--allow-claim", "services", FLAGS[0])),
        # What is left alone is not told anything.
        (told("--adopt"), "", ("--adopt",)),
        ({"spec": {"template": {"spec": {"containers": [{"args": 7}]}}}}, "", ()),
    ],
)
def test_a_konnector_that_is_installed_is_told_what_may_be_claimed(
    there: Any, image: str, arguments: tuple[str, ...]
) -> None:
    decision = decide(there, image=image, skip=False, claimable=ALLOWED)
    assert decision.arguments == arguments
    assert decision.present is (there is not None)


def test_arguments_are_in_the_manifests_only_where_there_are_any() -> None:
    [container] = manifests("x", FLAGS)[-1]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == list(FLAGS)
    [container] = manifests("x")[-1]["spec"]["template"]["spec"]["containers"]
    assert "args" not in container


@pytest.mark.parametrize(
    ("arguments", "claimed"),
    [((), {"secrets"}), (FLAGS, ALLOWED), ((), ()), (("--allow-claim", "services"), {"services"})],
)
def test_nothing_is_lacking_where_the_konnector_allows_it(
    arguments: tuple[str, ...], claimed: set[str]
) -> None:
    assert lacking(arguments, claimed, present=True) == ""


def test_a_konnector_that_was_not_told_is_told_by_a_command_that_keeps_the_rest() -> None:
    said = lacking(("--adopt", "it's"), {"secrets", "services"}, present=True)
    assert "copies services only when it runs with --allow-claim=services" in said
    command = shlex.split(said.partition("told so by: ")[2])
    assert command[:5] == ["kubectl", "patch", "deployment", "konnector", "-n"]
    [change] = json.loads(command[-1])
    assert change["value"] == ["--adopt", "it's", "--allow-claim=services"]
    assert with_claims(change["value"], {"services"}) == tuple(change["value"])


def test_where_there_is_no_deployment_only_the_flag_is_named() -> None:
    said = lacking((), {"services"}, present=False)
    assert "--allow-claim=services" in said
    assert "kubectl" not in said


@pytest.mark.parametrize(("arguments", "noted"), [((), True), (FLAGS, False)])
def test_what_is_lacking_is_told(arguments: tuple[str, ...], noted: bool) -> None:
    stream = io.StringIO()
    decision = Decision(Action.LEAVE, "", "", arguments, present=True)
    Installer(cast("Cluster", None), Progress(stream)).tell_lacking(decision, {"services"})
    assert ("--allow-claim=services" in stream.getvalue()) is noted


def test_no_rule_has_a_wildcard() -> None:
    rules = [rule for one in manifests("x") for rule in one.get("rules") or []]
    assert rules
    assert not any("*" in values for rule in rules for values in rule.values())


def test_kustomize_installs_the_same_image() -> None:
    base = yaml.safe_load((manifests_dir() / "konnector" / "kustomization.yaml").read_text(encoding="utf-8"))
    [image] = base["images"]
    assert f"{image['name']}:{image['newTag']}" == default_image()
    folder = manifests_dir() / "konnector"
    for part, others in ((folder, ["base"]), (folder / "base", []), (folder / "app-cluster", ["../base"])):
        listed = yaml.safe_load((part / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
        files = [path.name for path in part.glob("*.yaml") if path.name != "kustomization.yaml"]
        assert sorted(listed) == sorted([*files, *others])


@pytest.mark.parametrize(
    "image", ["k", "example.com:5000/a/b:v1", f"{REPOSITORY}@sha256:{'a' * 64}", "a/b:V1_x"]
)
def test_image_references(image: str) -> None:
    assert check_image(image) == image


@pytest.mark.parametrize("image", ["", "-x", "a b", "a\nb", "https://x/y$", "x" * 600, "UPPER/x"])
def test_what_is_no_image_reference(image: str) -> None:
    with pytest.raises(UsageError, match="not an image"):
        check_image(image)
