"""Small pure parts: parameters, refusals, versions, operators, Leases of used things, audit lines."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from multidict import MultiDict

from bind_agent.backend.access import Kind
from bind_agent.backend.http import audit, login_refusals, offers, parameters, spent
from bind_agent.backend.http.audit import Audit
from bind_agent.backend.http.handlers.export import wire_version
from bind_agent.backend.http.operators import is_operator
from bind_agent.backend.http.refusal import Refusal, of_status
from bind_agent.backend.http.sessions import Bind
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.options.web import CookieKeys, WebOptions
from bind_agent.backend.person import Person
from bind_agent.backend.templates import Choice
from bind_agent.kube.errors import ConnectionFailed, KubeError, error_from_answer
from bind_agent.obs import logging

pytestmark = pytest.mark.unit

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ANNA = Person("https://issuer.example", "anna", "Anna", "anna@example.org", True, ("team",))


class TestParameters:
    def test_given_twice_is_refused(self) -> None:
        query = MultiDict([("s", "a"), ("s", "b")])
        with pytest.raises(Refusal, match="more than once"):
            parameters.session_id(query)

    @pytest.mark.parametrize("text", ["", "a b", "a/b", "a" * 129, "ä", "a\n", "<s>", "a;b"])
    def test_session_ids(self, text: str) -> None:
        with pytest.raises(Refusal) as caught:
            parameters.session_id(MultiDict({"s": text}))
        assert caught.value.status == 400
        assert parameters.session_id(MultiDict({"s": "aZ0._~-"})) == "aZ0._~-"

    @pytest.mark.parametrize("text", ["", "a#b", " a", "a\x00", "a" * 129])
    def test_cluster_ids(self, text: str) -> None:
        with pytest.raises(Refusal):
            parameters.cluster_id(MultiDict({"c": text}))
        assert parameters.cluster_id(MultiDict({"c": "6EbPoz"})) == "6EbPoz"

    @pytest.mark.parametrize("text", ["short", "x" * 44, "x" * 42 + "="])
    def test_challenges(self, text: str) -> None:
        with pytest.raises(Refusal):
            parameters.challenge(MultiDict({"code_challenge": text}))
        assert parameters.challenge(MultiDict({"code_challenge": "x" * 43})) == "x" * 43
        assert parameters.challenge(MultiDict()) == ""

    def test_plain_challenges_are_none(self) -> None:
        with pytest.raises(Refusal):
            parameters.challenge(MultiDict(code_challenge="x" * 43, code_challenge_method="plain"))

    def test_long_and_odd_values(self) -> None:
        with pytest.raises(Refusal):
            parameters.one(MultiDict({"t": "x" * 65}), "t", longest=64)
        with pytest.raises(Refusal):
            parameters.one(MultiDict({"t": b"bytes"}), "t")


@pytest.mark.parametrize(
    ("plural", "group"), [("mangodbs", "mangodb.com"), ("things", ""), ("a-b", "x.example")]
)
def test_kinds(plural: str, group: str) -> None:
    assert offers.kind_of(plural, group) == Kind(group, plural)


@pytest.mark.parametrize(
    ("plural", "group"),
    [("", ""), ("A", "x"), ("a/b", "x"), ("a", "X"), ("a", "-x"), ("a" * 64, ""), ("a.b", "")],
)
def test_no_kinds(plural: str, group: str) -> None:
    with pytest.raises(Refusal):
        offers.kind_of(plural, group)


def test_the_request_of_the_answer() -> None:
    claim = {"group": "", "resource": "secrets", "version": "v1"}
    with_claims = Choice({"spec": {"permissionClaims": [claim]}})
    assert offers.export_request(Kind("mangodb.com", "mangodbs"), with_claims) == {
        "apiVersion": "klutch.anynines.com/v1alpha1",
        "kind": "APIServiceExportRequest",
        "metadata": {"name": "mangodbs.mangodb.com"},
        "spec": {
            "resources": [{"resource": "mangodbs", "group": "mangodb.com", "permissionClaims": [claim]}]
        },
        "status": {},
    }
    bare = offers.export_request(Kind("mangodb.com", "mangodbs"), Choice({}))
    assert bare["spec"]["resources"] == [{"resource": "mangodbs", "group": "mangodb.com"}]


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("0.1.0", "v0.0.0"),
        ("0.2.9", "v0.0.0"),
        ("0.3.0-rc.1", "v0.0.0"),
        ("0.3.0", "v0.3.0"),
        ("0.3.0+build.1", "v0.3.0+build.1"),
        ("1.2.3-rc.1", "v1.2.3-rc.1"),
        ("1.0", "v0.0.0"),
        ("dev", "v0.0.0"),
    ],
)
def test_versions_that_gos_cli_takes(version: str, told: str) -> None:
    assert wire_version(version) == told


@pytest.mark.parametrize(
    ("error", "word", "retry"),
    [
        (ConnectionFailed("canary"), "control_plane_away", True),
        (error_from_answer(503, b"canary"), "control_plane_away", True),
        (error_from_answer(429, b"canary"), "control_plane_away", True),
        (error_from_answer(403, b"canary"), "control_plane_refused", False),
        (error_from_answer(422, b"canary"), "control_plane_refused", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_failures_of_the_api_server_have_names_and_no_content(
    error: KubeError, word: str, retry: bool
) -> None:
    found = offers.away("make a tenant", error)
    assert (found.status, found.word, bool(found.retry_after)) == (503, word, retry)
    assert "canary" not in found.message + found.advice


class TestRefusals:
    def test_as_json(self) -> None:
        answer = Refusal(429, "too_many_requests", "Too many.", "Wait.", retry_after=7).json()
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "7"
        assert answer.body == b'{"error":"too_many_requests","message":"Too many. Wait."}'

    @pytest.mark.parametrize(
        ("status", "word"), [(404, "not_found"), (405, "method_not_allowed"), (418, "refused")]
    )
    def test_of_the_library(self, status: int, word: str) -> None:
        found = of_status(status)
        assert (found.status, found.word) == (status, word)
        assert found.title

    def test_every_status_has_a_heading(self) -> None:
        assert all(Refusal(status, "w", "m").title for status in range(400, 600))


class TestOperators:
    OPTIONS = WebOptions(
        oidc=OidcConfig("https://issuer.example", "x", callback_url="https://portal.example/callback"),
        cookie_keys=CookieKeys((b"s" * 32,)),
    )

    def test_by_group_subject_or_verified_address(self) -> None:
        assert is_operator(replace(self.OPTIONS, admin_groups=("team",)), ANNA)
        assert is_operator(replace(self.OPTIONS, admin_users=("anna",)), ANNA)
        assert is_operator(replace(self.OPTIONS, admin_users=("anna@example.org",)), ANNA)

    def test_nobody_else(self) -> None:
        assert not is_operator(self.OPTIONS, ANNA)
        assert not is_operator(replace(self.OPTIONS, admin_groups=("tea",)), ANNA)
        unverified = replace(ANNA, email_verified=False)
        assert not is_operator(replace(self.OPTIONS, admin_users=("anna@example.org",)), unverified)


class TestSpent:
    def test_a_lease_tells_nobody_what_was_used(self) -> None:
        made = spent.lease("code", "secret-id", NOW, NOW + timedelta(seconds=60), namespace="n", replica="r")
        assert "secret-id" not in str(made)
        assert made["metadata"]["name"] == spent.lease_name("code", "secret-id")
        assert spent.lease_name("code", "x") != spent.lease_name("state", "x")

    def test_it_goes_when_the_thing_has_ended_on_every_clock(self) -> None:
        made = spent.lease("code", "x", NOW, NOW + timedelta(minutes=1), namespace="n", replica="")
        assert not spent.over(made, NOW + timedelta(minutes=5))
        assert spent.over(made, NOW + timedelta(minutes=7))

    @pytest.mark.parametrize(
        "spec", [None, {}, {"acquireTime": "x", "leaseDurationSeconds": 1}, {"acquireTime": 1}]
    )
    def test_what_cannot_be_read_goes(self, spec: object) -> None:
        assert spent.over({"spec": spec}, NOW)


class TestAgain:
    def test_the_same_login_can_be_begun_again(self) -> None:
        from bind_agent.backend.http.flowstate import begin

        bind = Bind("s1", "c 1", "http://localhost:1/cb?a=b", "x" * 43)
        flow = begin(nonce="n", verifier="v", mark="m", now=NOW, bind=bind)
        link = login_refusals.again(flow)
        assert link.startswith(
            "/authorize?u=http%3A%2F%2Flocalhost%3A1%2Fcb%3Fa%3Db&s=s1&c=c+1&code_challenge=x"
        )
        assert login_refusals.again(begin(nonce="n", verifier="v", mark="m", now=NOW, back="/clusters")) == (
            "/login?next=%2Fclusters"
        )


def test_audit_lines_are_written_on_every_level() -> None:
    stream = io.StringIO()
    logging.setup("error", form="json", stream=stream)
    Audit().record(audit.LOGOUT, person=ANNA, outcome=audit.DONE, remote="1.2.3.4")
    (line,) = [json.loads(one) for one in stream.getvalue().splitlines()]
    assert (line["event"], line["subject"], line["logger"]) == (
        "audit",
        "anna",
        "bind_agent.backend.http.audit",
    )


def test_an_audit_line_says_who_what_where_in_one_line() -> None:
    hostile = replace(ANNA, subject='anna\n{"action": "forged"}')
    with structlog.testing.capture_logs() as lines:
        Audit("replica-1").record(
            audit.BIND,
            person=hostile,
            outcome=audit.DONE,
            remote="1.2.3.4",
            tenant="cluster-x",
            resource="p.g",
        )
        Audit().record(audit.LOGIN, person=None, outcome=audit.REFUSED, remote="1.2.3.4", reason="Word")
    first, second = lines
    assert "\n" not in first["subject"]
    assert {key: first[key] for key in ("event", "action", "tenant", "resource", "remote", "replica")} == {
        "event": "audit",
        "action": "bind",
        "tenant": "cluster-x",
        "resource": "p.g",
        "remote": "1.2.3.4",
        "replica": "replica-1",
    }
    assert second == {
        "event": "audit",
        "action": "login",
        "outcome": "refused",
        "reason": "Word",
        "remote": "1.2.3.4",
        "log_level": "info",
    }
