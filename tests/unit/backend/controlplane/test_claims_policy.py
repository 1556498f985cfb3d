"""Which claims are accepted without asking (W-B12)."""

from typing import Any

import msgspec
import pytest

from bind_agent.api import consent
from bind_agent.api.claims import AcceptablePermissionClaim, PermissionClaim, content_hash
from bind_agent.api.meta import Object
from bind_agent.backend.controlplane import claims_policy
from bind_agent.backend.controlplane.claims_policy import Policy, PolicyError, parse, settle

pytestmark = pytest.mark.unit


def claim(resource: str = "secrets", **more: Any) -> Object:
    return {"group": "", "resource": resource, "version": "v1", "selector": {"owner": "Provider"}, **more}


def mark(one: Object) -> str:
    return content_hash(msgspec.convert(one, PermissionClaim))


SECRETS, CONFIGMAPS, PODS = claim(), claim("configmaps"), claim("pods")
ALL = Policy(everything=True)


def accepted(one: Object) -> Object:
    return {**one, "state": "Accepted"}


def rejected(one: Object) -> Object:
    return {**one, "state": "Rejected"}


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", Policy()),
        (" ", Policy()),
        ("none", Policy()),
        ("all", ALL),
        ("secrets", Policy(kinds=frozenset({"secrets"}))),
        (" secrets , backups.example.org ", Policy(kinds=frozenset({"secrets", "backups.example.org"}))),
    ],
)
def test_parsing(text: str, policy: Policy) -> None:
    assert parse(text) == policy


@pytest.mark.parametrize(
    "text", ["*", "All", "all,secrets", "none,secrets", "secrets,", "secrets.", "a/b", "x" * 99]
)
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(PolicyError, match="write none, all, or plural"):
        parse(text)


@pytest.mark.parametrize(
    ("policy", "offered", "present", "before", "entries", "after"),
    [
        pytest.param(Policy(), [SECRETS], [], [], [], [], id="none-accepts-nothing"),
        pytest.param(ALL, [SECRETS], [], [], [accepted(SECRETS)], [SECRETS], id="all"),
        pytest.param(ALL, [PODS], [], [], [], [], id="never-what-nobody-may-claim"),
        pytest.param(ALL, [{"resource": 7}], [], [], [], [], id="never-what-is-malformed"),
        pytest.param(
            parse("configmaps"),
            [SECRETS, CONFIGMAPS],
            [],
            [],
            [accepted(CONFIGMAPS)],
            [CONFIGMAPS],
            id="by-kind",
        ),
        pytest.param(
            ALL, [SECRETS], [accepted(SECRETS)], [SECRETS], [accepted(SECRETS)], [SECRETS], id="settled"
        ),
        pytest.param(
            ALL, [SECRETS], [rejected(SECRETS)], [], [rejected(SECRETS)], [], id="a-person-said-no-before"
        ),
        pytest.param(
            ALL,
            [SECRETS],
            [rejected(SECRETS)],
            [SECRETS],
            [rejected(SECRETS)],
            [],
            id="a-person-turned-our-yes-into-no",
        ),
        pytest.param(
            Policy(),
            [SECRETS, CONFIGMAPS],
            [accepted(SECRETS), accepted(CONFIGMAPS)],
            [SECRETS],
            [accepted(CONFIGMAPS)],
            [],
            id="a-withdrawn-policy-withdraws-its-own",
        ),
        pytest.param(
            ALL,
            [],
            [accepted(SECRETS), accepted(CONFIGMAPS)],
            [SECRETS],
            [accepted(CONFIGMAPS)],
            [],
            id="not-offered",
        ),
        pytest.param(
            ALL,
            [claim(selector={"owner": "Consumer"})],
            [accepted(SECRETS)],
            [SECRETS],
            [accepted(claim(selector={"owner": "Consumer"}))],
            [claim(selector={"owner": "Consumer"})],
            id="a-changed-claim-takes-the-place-of-the-old-one",
        ),
        pytest.param(
            None,
            [CONFIGMAPS],
            [accepted(SECRETS)],
            [SECRETS],
            [accepted(SECRETS)],
            [SECRETS],
            id="unknown-policy",
        ),
        pytest.param(
            ALL,
            [SECRETS],
            [{"resource": 7, "state": "Accepted"}],
            [],
            [{"resource": 7, "state": "Accepted"}, accepted(SECRETS)],
            [SECRETS],
            id="what-cannot-be-read-stays",
        ),
    ],
)
def test_settling(
    policy: Policy | None,
    offered: list[Object],
    present: list[Object],
    before: list[Object],
    entries: list[Object],
    after: list[Object],
) -> None:
    settled = settle(policy, offered, present, [mark(one) for one in before])
    assert list(settled.entries) == entries
    assert set(settled.by_policy) == {mark(one) for one in after}
    again = settle(policy, offered, settled.entries, settled.by_policy)
    assert again == settled


def test_what_is_accepted_is_in_force_for_a_konnector() -> None:
    # As the API server returns it: defaults filled in.
    offered = claim(
        selector={
            "owner": "Provider",
            "names": ["*"],
            "namespaces": ["*"],
            "labelSelectors": [{"app": "db"}],
        },
        read={},
        onConflict={"recreateWhenConsumerSideDeleted": True},
    )
    (entry,) = settle(ALL, [offered], [], ()).entries
    (decision,) = consent.decide(
        [msgspec.convert(offered, PermissionClaim)], [msgspec.convert(entry, AcceptablePermissionClaim)]
    )
    assert decision.consent is consent.Consent.IN_FORCE


def test_annotations() -> None:
    settled = settle(ALL, [SECRETS, CONFIGMAPS], [], ())
    assert claims_policy.remembered(settled.annotation) == {mark(SECRETS), mark(CONFIGMAPS)}
    assert claims_policy.remembered("") == frozenset()
    assert settle(Policy(), [SECRETS], [], ()).annotation == ""
