"""Requests that cannot work are refused with the rule; each refusal has a twin that passes."""

import json
from typing import Any

import pytest

from cli.binding.request import MAX_BYTES, parse_request
from cli.errors import ExitCode, UsageError

pytestmark = pytest.mark.unit


def document(**resource: Any) -> dict[str, Any]:
    return {
        "apiVersion": "klutch.anynines.com/v1alpha1",
        "kind": "APIServiceExportRequest",
        "metadata": {"name": "dbs.example.com"},
        "spec": {"resources": [{"group": "example.com", "resource": "dbs", **resource}]},
    }


def with_(path: str, value: Any) -> dict[str, Any]:
    result = document()
    target: Any = result
    *parents, last = path.split(".")
    for part in parents:
        target = target[int(part)] if part.isdigit() else target[part]
    target[last] = value
    return result


def parse(value: Any) -> Any:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_request(data, origin="file")


def test_a_sound_request_passes() -> None:
    request = parse(document(permissionClaims=[{"resource": "secrets", "version": "v1"}], versions=["v1"]))
    assert request.name == "dbs.example.com"
    [wanted] = request.wanted
    assert wanted.name == "dbs.example.com"
    assert wanted.claims[0].group_resource == "secrets"
    manifest = request.manifest(name=request.name)
    assert manifest["metadata"] == {"name": "dbs.example.com"}
    assert manifest["spec"]["resources"][0]["versions"] == ["v1"]
    assert request.manifest(generate_name="export-")["metadata"] == {"generateName": "export-"}


@pytest.mark.parametrize(
    "value",
    [
        b"apiVersion: klutch.anynines.com/v1alpha1\nkind: APIServiceExportRequest\n"
        b"spec:\n  resources:\n  - {group: example.com, resource: dbs}\n",
        with_("metadata", {}),
        with_("spec.parameters", {"size": 3}),
        with_("status", {}),
        with_("spec.resources.0.group", "a.b.c.d"),
        with_("spec.resources.0.resource", "a" * 63),
        with_(
            "spec.resources", [{"group": "a.com", "resource": "dbs"}, {"group": "b.com", "resource": "dbs"}]
        ),
    ],
)
def test_other_sound_forms_pass(value: Any) -> None:
    assert parse(value).wanted


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"{", "neither JSON nor YAML"),
        (b"\xff\xfe\x00", "neither JSON nor YAML"),
        (b"a: &x [1]\nb: *x", "neither JSON nor YAML"),
        (b"[" * 5000, "neither JSON nor YAML"),
        (b"", "is empty; a request is needed"),
        (b"---\n", "is empty; a request is needed"),
        (b"a: 1\n---\nb: 2\n", "holds 2 documents"),
        (b"- 1", "not an object"),
        (b"#" * (MAX_BYTES + 1), "larger than 1024 KiB"),
        (with_("kind", "APIServiceExport"), "is APIServiceExport"),
        (with_("apiVersion", "v1"), "of v1"),
        (with_("kind", None), "no kind"),
        (with_("metadata", "x"), "metadata.name"),
        (with_("metadata.name", "Not_A_Name"), "metadata.name"),
        (with_("metadata.name", "x" * 254), "metadata.name"),
        (with_("spec", None), "at least one API"),
        (with_("spec.resources", []), "at least one API"),
        (with_("spec.resources", "dbs"), "at least one API"),
        (with_("spec.resources", [{"group": "example.com", "resource": "dbs"}] * 2), "more than once"),
        (with_("spec.resources", [{"group": f"g{n}.io", "resource": "dbs"} for n in range(65)]), "than 64"),
        (with_("spec.extra", 1), "unknown fields: extra"),
        (with_("spec.resources", ["dbs"]), "not an object"),
        (with_("spec.resources.0.permisionClaims", []), "unknown fields: permisionClaims"),
        (with_("spec.resources.0.group", 1), "must be text"),
        (with_("spec.resources.0.versions", [1]), "versions"),
        (with_("spec.resources.0.permissionClaims", "all"), "permissionClaims"),
        (with_("spec.resources.0.permissionClaims", [{}] * 65), "at most 64"),
        (with_("spec.resources.0.permissionClaims", [{"resource": "secrets"}]), r"Claims\[0\].*version"),
        (
            with_("spec.resources.0.permissionClaims", [{"resource": "pods", "version": "v1"}]),
            "never be claimed",
        ),
        (b"apiVersion: klutch.anynines.com/v1alpha1\nkind: APIServiceExportRequest\n"
         b"spec:\n  parameters: {when: 2026-01-01}\n  resources: [{group: a.com, resource: dbs}]\n", "JSON"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse(value)
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("group", "resource", "words"),
    [
        ("", "secrets", "secrets has no group; kinds without one are built into Kubernetes"),
        ("", "", "names no resource"),
        ("example.com", "", "names no resource"),
        ("apps", "deployments", "built into Kubernetes"),
        ("rbac.authorization.k8s.io", "roles", "built into Kubernetes"),
        ("policy.kubernetes.io", "things", "built into Kubernetes"),
        ("klutch.anynines.com", "apiservicebindings", "binding itself"),
        ("example.com.", "dbs", "not the name"),
        (".example.com", "dbs", "not the name"),
        ("example..com", "dbs", "not the name"),
        ("Example.com", "dbs", "not the name"),
        ("example.com", "DBs", "not the name"),
        ("example.com", "dbs/status", "not the name"),
        ("example.com", "d", "not the name"),
        ("example.com", "x" * 64, "too long"),
        (f"{'a' * 250}.com", "dbs", "too long"),
    ],
)
def test_what_cannot_be_bound_is_refused(group: str, resource: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(document(group=group, resource=resource))


def test_foreign_text_in_messages_is_harmless() -> None:
    with pytest.raises(UsageError) as caught:
        parse(with_("kind", "\x1b[2J"))
    assert "\x1b" not in caught.value.message


def test_a_required_claim_on_another_kind_needs_somebody_who_allows_it() -> None:
    tickets = {"group": "example.com", "resource": "tickets", "version": "v1", "required": True}
    data = json.dumps(document(permissionClaims=[tickets])).encode()
    with pytest.raises(UsageError, match=r"--allow-claim=tickets\.example\.com allows it"):
        parse_request(data, origin="file")
    (wanted,) = parse_request(data, origin="file", claimable={"tickets.example.com"}).wanted
    assert [claim.group_resource for claim in wanted.claims] == ["tickets.example.com"]
