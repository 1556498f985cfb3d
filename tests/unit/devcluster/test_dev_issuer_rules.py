"""What the development issuer gives, and to whom; pure."""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.issuer import grants, launch, pages
from bind_agent.devcluster.issuer.grants import AnswerError, Grants, RequestError
from bind_agent.devcluster.issuer.people import ACCOUNTS, CLIENT_ID, Account

pytestmark = pytest.mark.unit

VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
QUERY = {
    "response_type": "code",
    "client_id": CLIENT_ID,
    "redirect_uri": "http://127.0.0.1:8080/callback?kept=1",
    "scope": "openid profile email",
    "state": "the state",
    "nonce": "the nonce",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1/callback",
        "http://localhost/callback",
        "https://[::1]:8443/callback",
    ],
)
def test_codes_go_to_this_machine(target: str) -> None:
    assert grants.read_target({**QUERY, "redirect_uri": target}).redirect_uri == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/callback",
        "https://bind.example.com/callback",
        "http://127.0.0.1.example.com/",
        "http://localhost@evil.example.com/",
        "http://localhost\\@evil.example.com/",
        "http://localhost:port/",
        "http://[::1",
        "javascript://localhost/%0aalert(1)",
        "http://localhost/#part",
        "http://localhost/" + "a" * 2048,
        "http://10.0.0.1/",
    ],
)
def test_codes_go_nowhere_else(target: str) -> None:
    with pytest.raises(RequestError):
        grants.read_target({**QUERY, "redirect_uri": target})


def test_other_clients_are_not_known() -> None:
    with pytest.raises(RequestError, match=CLIENT_ID):
        grants.read_target({**QUERY, "client_id": "another"})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": VERIFIER + "="}, "invalid_request"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_requests_have_to_be_complete(changes: dict[str, str], error: str) -> None:
    query = {**QUERY, **changes}
    with pytest.raises(AnswerError) as refused:
        grants.check(query, grants.read_target(query))
    assert refused.value.error == error
    grants.check(QUERY, grants.read_target(QUERY))
    hinted = {**QUERY, "prompt": "none", "login_hint": "bob"}
    grants.check(hinted, grants.read_target(hinted))


def test_answers_keep_what_the_address_has() -> None:
    answer = grants.read_target(QUERY).answer(code="c&d")
    assert parse_qs(urlsplit(answer).query) == {"kept": ["1"], "code": ["c&d"], "state": ["the state"]}


FORM = {
    "grant_type": "authorization_code",
    "client_id": CLIENT_ID,
    "redirect_uri": QUERY["redirect_uri"],
    "code_verifier": VERIFIER,
}


@pytest.mark.parametrize(
    ("changes", "later", "error"),
    [
        ({"grant_type": "password"}, 0, "unsupported_grant_type"),
        ({"client_id": "another"}, 0, "invalid_client"),
        ({"code": "another"}, 0, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:8080/callback"}, 0, "invalid_grant"),
        ({"code_verifier": "w" * 43}, 0, "invalid_grant"),
        ({"code_verifier": ""}, 0, "invalid_grant"),
        ({"code_verifier": "ä" * 43}, 0, "invalid_grant"),
        ({}, grants.CODE_SECONDS, "invalid_grant"),
    ],
)
def test_codes_are_good_for_the_login_that_they_belong_to(
    changes: dict[str, str], later: float, error: str
) -> None:
    kept, request = Grants(), grants.read_target(QUERY)
    code = kept.code(request, "alice", 100.0)
    with pytest.raises(AnswerError) as refused:
        kept.redeem({**FORM, "code": code, **changes}, 100.0 + later)
    assert refused.value.error == error
    code = kept.code(request, "alice", 100.0)
    grant, _ = kept.redeem({**FORM, "code": code}, 100.0 + grants.CODE_SECONDS - 1)
    assert grant.subject == "alice"


def test_codes_are_used_up_by_a_wrong_attempt_too() -> None:
    kept = Grants()
    code = kept.code(grants.read_target(QUERY), "alice", 0.0)
    for verifier in ("w" * 43, VERIFIER):
        with pytest.raises(AnswerError):
            kept.redeem({**FORM, "code": code, "code_verifier": verifier}, 0.0)


def test_access_tokens_end() -> None:
    kept = Grants()
    _, token = kept.redeem({**FORM, "code": kept.code(grants.read_target(QUERY), "bob", 0.0)}, 0.0)
    assert kept.bearer(token, grants.TOKEN_SECONDS - 1) is not None
    assert kept.bearer(token, grants.TOKEN_SECONDS) is None
    assert kept.bearer("another", 0.0) is None


def test_codes_do_not_pile_up() -> None:
    kept, request = Grants(), grants.read_target(QUERY)
    first = kept.code(request, "alice", 0.0)
    for _ in range(1000):
        last = kept.code(request, "bob", 0.0)
    with pytest.raises(AnswerError):
        kept.redeem({**FORM, "code": first}, 0.0)
    assert kept.redeem({**FORM, "code": last}, 0.0)[0].subject == "bob"
    kept.code(request, "alice", grants.CODE_SECONDS + 1.0)
    assert len(kept._codes) == 1


@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("openid", {"sub"}),
        ("openid email", {"sub", "email", "email_verified"}),
        ("openid profile", {"sub", "name", "preferred_username", "groups"}),
    ],
)
def test_scopes_decide_what_is_told(scope: str, claims: set[str]) -> None:
    request = replace(grants.read_target(QUERY), scopes=tuple(scope.split()))
    assert set(grants.told(grants.Grant(request, "operator", 0.0))) == claims


def test_pages_escape_what_they_show() -> None:
    account = Account("<x>", '"<b>', ("<i>",), "</small>")
    for page in (
        pages.choose([account], '/a?b="><script>'),
        pages.wrong("<script>"),
        pages.home("<u>", [account]),
    ):
        assert not any(text in page for text in ("<script>", "<x>", "<b>", "<i>", '"<', "<u>"))
        assert "for development" in page


def test_the_command_line_for_a_backend() -> None:
    command = launch.command_line(
        launch.backend_arguments("http://127.0.0.1:1", "/a folder/provider.kubeconfig")
    )
    assert command.startswith("bind-backend serve ")
    assert "'--kubeconfig=/a folder/provider.kubeconfig'" in command
    assert f"--oidc-issuer-client-id={CLIENT_ID}" in command
    assert "--health-address=127.0.0.1:8081" in command
    assert set(ACCOUNTS) == {"alice", "bob", "operator"}


def test_commands_for_an_app_cluster_use_ports_beside_those_of_the_backend() -> None:
    konnector, bind = launch.app_cluster_commands("/x/consumer.kubeconfig", port=9000)
    assert konnector == (
        "konnector",
        "--kubeconfig=/x/consumer.kubeconfig",
        "--health-address=127.0.0.1:9002",
    )
    assert bind[:4] == (
        "kubectl",
        "bind",
        "http://127.0.0.1:9000/export",
        "--kubeconfig=/x/consumer.kubeconfig",
    )


def test_an_issuer_that_was_not_started_has_no_process() -> None:
    with pytest.raises(DevClusterError, match="not running"):
        _ = launch.Issuer().server
