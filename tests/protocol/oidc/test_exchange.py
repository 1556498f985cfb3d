"""The token and userinfo endpoints: what is sent, and what their answers mean."""

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
import structlog

from bind_agent.aio.clock import VirtualClock
from bind_agent.backend.oidc.client import OidcClient
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.errors import IssuerAway, LoginError, LoginRefused
from bind_agent.backend.person import Person
from bind_agent.obs import metrics
from tests.fakes.hostile_issuer import CLIENT, SECRET, TOKEN, USERINFO, Behaviour, HostileIssuer, answering

pytestmark = pytest.mark.protocol

LogIn: TypeAlias = Callable[..., Awaitable[Person]]


def refusing(error: str, status: int = 400) -> Behaviour:
    return answering(
        status,
        json.dumps({"error": error, "error_description": "the-code the-verifier"}),
        kind="application/json",
    )


async def test_the_secret_goes_into_the_header(hostile: HostileIssuer, log_in: LogIn) -> None:
    await log_in()
    (form,) = hostile.forms
    kind, _, pair = form.pop("authorization").partition(" ")
    assert (kind, base64.b64decode(pair)) == ("Basic", b"the-client:the+secret+%26+more")
    assert form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": "http://127.0.0.1:1/callback",
        "code_verifier": "the-verifier",
    }


async def test_the_secret_goes_into_the_form_where_that_is_what_the_issuer_knows(
    hostile: HostileIssuer, log_in: LogIn
) -> None:
    hostile.document = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    await log_in()
    (form,) = hostile.forms
    assert (form["authorization"], form["client_id"], form["client_secret"]) == ("", CLIENT, SECRET)


async def test_an_issuer_that_does_not_say_gets_the_header(hostile: HostileIssuer, log_in: LogIn) -> None:
    hostile.document = {"token_endpoint_auth_methods_supported": None}
    await log_in()
    assert hostile.forms[0]["authorization"].startswith("Basic ")


async def test_an_issuer_that_insists_on_the_form_gets_it(hostile: HostileIssuer, log_in: LogIn) -> None:
    """Issuers that know both ways may allow one for each client; the right one is found and remembered."""
    plain = hostile._token

    async def insisting(request: Any) -> Any:
        if "Authorization" in request.headers:
            return await refusing("invalid_client", 401)(request)
        return await plain(request)

    hostile.behaviour[TOKEN] = insisting
    assert (await log_in()).subject == "alice"
    assert hostile.asked[TOKEN] == 2
    await log_in()
    assert hostile.asked[TOKEN] == 3


async def test_an_issuer_that_takes_no_secret_is_no_issuer_for_us(
    hostile: HostileIssuer, log_in: LogIn
) -> None:
    hostile.document = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}
    with pytest.raises(IssuerAway) as away:
        await log_in()
    assert "client_secret_basic" in away.value.message
    assert hostile.forms == []


async def test_a_public_client_sends_its_name_only(
    hostile: HostileIssuer, config: OidcConfig, clock: VirtualClock
) -> None:
    hostile.document = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}
    async with OidcClient(replace(config, client_secret=""), clock=clock) as oidc:
        await oidc.login("the-code", code_verifier="the-verifier", nonce="the-nonce")
    (form,) = hostile.forms
    assert (form["authorization"], form["client_id"]) == ("", CLIENT)
    assert "client_secret" not in form


REFUSALS: list[tuple[str, Behaviour, type[LoginError], str]] = [
    ("the code", refusing("invalid_grant"), LoginRefused, "CodeRefused"),
    ("the client", refusing("invalid_client", 401), LoginRefused, "ClientRefused"),
    ("the client's rights", refusing("unauthorized_client"), LoginRefused, "ClientRefused"),
    ("without a word", answering(401), LoginRefused, "ClientRefused"),
    ("another word", refusing("invalid_scope"), LoginRefused, "IssuerRefused"),
    ("a word that is none", refusing("<script>alert(1)</script>"), IssuerAway, "IssuerMisbehaves"),
    ("a page", answering(400, "<html>"), IssuerAway, "IssuerMisbehaves"),
    ("an error without sense", answering(400, '{"error": {"a": []}}'), IssuerAway, "IssuerMisbehaves"),
    ("a failure", answering(500, "<html>"), IssuerAway, "IssuerFailed"),
    ("a failure with a word", refusing("invalid_grant", 503), IssuerAway, "IssuerFailed"),
    ("too many", answering(429), IssuerAway, "IssuerFailed"),
    ("a redirect", answering(302, Location="https://elsewhere.example.com/"), IssuerAway, "IssuerMisbehaves"),
    ("success without JSON", answering(200, "<html>"), IssuerAway, "IssuerMisbehaves"),
    ("success without a token", answering(200, "{}"), LoginRefused, "TokenMissing"),
    ("a token that is no text", answering(200, '{"id_token": {"a": 1}}'), LoginRefused, "TokenMissing"),
    ("an empty token", answering(200, '{"id_token": ""}'), LoginRefused, "TokenMissing"),
    ("half an emoji", answering(200, '{"id_token": "\\ud83d"}'), IssuerAway, "IssuerMisbehaves"),
]


@pytest.mark.parametrize(
    ("behaviour", "kind", "reason"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
async def test_refusals_of_the_token_endpoint(
    hostile: HostileIssuer, log_in: LogIn, behaviour: Behaviour, kind: type[LoginError], reason: str
) -> None:
    hostile.behaviour[TOKEN] = behaviour
    before = _count(reason)
    with structlog.testing.capture_logs() as logs, pytest.raises(kind) as failed:
        await log_in()
    assert failed.value.reason == reason
    assert _count(reason) == before + 1
    for secret in ("the-code", "the-verifier", SECRET, "<", "elsewhere.example"):
        assert secret not in failed.value.message
        assert secret not in str(logs)
    hostile.behaviour.clear()
    assert (await log_in()).subject == "alice"


@pytest.mark.parametrize(
    ("issuer", "supported", "reason"),
    [
        ("https://other.example.com", None, "ResponseIssuerMismatch"),
        ("https://other.example.com", True, "ResponseIssuerMismatch"),
        ("", None, "ResponseIssuerMismatch"),
        (None, True, "ResponseIssuerMissing"),
    ],
)
async def test_an_answer_of_another_issuer_is_refused_before_the_code_is_sent(
    hostile: HostileIssuer, log_in: LogIn, issuer: str | None, supported: bool | None, reason: str
) -> None:
    hostile.document = {"authorization_response_iss_parameter_supported": supported}
    with pytest.raises(LoginRefused) as refused:
        await log_in(issuer=issuer)
    assert refused.value.reason == reason
    assert hostile.forms == []
    assert (await log_in(issuer=hostile.url)).subject == "alice"


@pytest.mark.parametrize("code", ["", "a b\n", "ä", "c" * 4097])
async def test_a_code_that_is_none_is_not_sent(hostile: HostileIssuer, log_in: LogIn, code: str) -> None:
    with pytest.raises(LoginRefused) as refused:
        await log_in(code)
    assert refused.value.reason == "CodeMalformed"
    assert hostile.forms == []


async def test_a_wrong_nonce_of_ours_is_refused_as_well(hostile: HostileIssuer, log_in: LogIn) -> None:
    hostile.claims = {"nonce": ""}
    with pytest.raises(LoginRefused) as refused:
        await log_in(nonce="")
    assert refused.value.reason == "NonceMismatch"


# --- further claims ---------------------------------------------------------------------------------


async def test_further_claims_are_asked_for_where_the_token_lacks_them(
    hostile: HostileIssuer, log_in: LogIn
) -> None:
    await log_in()
    assert hostile.asked[USERINFO] == 0
    hostile.claims = {"groups": None, "email": None, "email_verified": None}
    hostile.userinfo = {
        "sub": "alice",
        "email": "a@example.com",
        "email_verified": True,
        "groups": ["b"],
        "name": "X",
    }
    person = await log_in()
    assert (person.email, person.email_verified, person.groups) == ("a@example.com", True, ("b",))
    assert person.name == "Alice Example"  # what was signed wins


async def test_an_address_is_not_verified_by_another_answer(hostile: HostileIssuer, log_in: LogIn) -> None:
    hostile.claims = {"groups": None, "email_verified": None}
    hostile.userinfo = {"sub": "alice", "email": "other@example.com", "email_verified": True}
    person = await log_in()
    assert (person.email, person.email_verified) == ("alice@example.com", False)


async def test_claims_about_somebody_else_are_refused(hostile: HostileIssuer, log_in: LogIn) -> None:
    hostile.claims = {"groups": None}
    hostile.userinfo = {"sub": "operator", "groups": ["operators"]}
    with pytest.raises(LoginRefused) as refused:
        await log_in()
    assert refused.value.reason == "SubjectMismatch"
    hostile.userinfo = {"sub": "alice", "groups": ["developers"]}
    assert (await log_in()).groups == ("developers",)


@pytest.mark.parametrize(
    "behaviour",
    [answering(403), answering(200, "eyJ.jwt.x", kind="application/jwt")],
    ids=["refused", "signed"],
)
async def test_claims_that_are_not_given_are_done_without(
    hostile: HostileIssuer, log_in: LogIn, behaviour: Behaviour
) -> None:
    hostile.claims = {"groups": None}
    hostile.behaviour[USERINFO] = behaviour
    assert (await log_in()).groups == ()


@pytest.mark.parametrize("status", [429, 500])
async def test_claims_that_fail_to_come_fail_the_login(
    hostile: HostileIssuer, log_in: LogIn, status: int
) -> None:
    hostile.claims = {"groups": None}
    hostile.behaviour[USERINFO] = answering(status)
    with pytest.raises(IssuerAway):
        await log_in()


@pytest.mark.parametrize("token", [None, 7, "a\r\nb", ""])
async def test_an_access_token_that_is_none_is_not_sent(
    hostile: HostileIssuer, log_in: LogIn, token: Any
) -> None:
    hostile.claims = {"groups": None}
    hostile.answer = {"access_token": token}
    assert (await log_in()).groups == ()
    assert hostile.asked[USERINFO] == 0


def _count(reason: str) -> float:
    return metrics.LOGINS(reason)._value.get()
