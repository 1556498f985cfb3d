"""An issuer that is away, slow, too talkative, somebody else, or that changes its keys."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
import trustme
from aiohttp import web
from joserfc.jwk import ECKey, OctKey, RSAKey

from bind_agent.aio.backoff import Policy
from bind_agent.aio.clock import VirtualClock
from bind_agent.aio.tasks import background
from bind_agent.backend.oidc.client import OidcClient
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.discovery import TIMING, Timing
from bind_agent.backend.oidc.errors import IssuerAway, LoginRefused
from bind_agent.backend.oidc.fetch import Fetcher, Limits
from bind_agent.backend.person import Person
from tests.fakes.eventually import eventually
from tests.fakes.hostile_issuer import (
    DISCOVERY,
    FOREIGN_KEY,
    KEYS,
    OWN_KEY,
    TOKEN,
    Behaviour,
    HostileIssuer,
    answering,
    endless,
    silent,
    trickling,
)

pytestmark = pytest.mark.protocol

LogIn: TypeAlias = Callable[..., Awaitable[Person]]
SHORT = Limits(seconds=0.3, connect_seconds=0.3)


async def address(oidc: OidcClient) -> str:
    return await oidc.authorization_url(state="s", nonce="n", code_challenge="c")


# --- what the issuer says about itself --------------------------------------------------------------


@dataclass(frozen=True)
class Document:
    """A change to the discovery document, why it is refused, and one that is not."""

    name: str
    bad: dict[str, Any]
    says: str
    good: dict[str, Any]


DOCUMENTS = [
    Document("another issuer", {"issuer": "https://other.example.com"}, "other.example.com", {}),
    Document("no issuer", {"issuer": None}, "not the one", {}),
    Document("an issuer that is no text", {"issuer": 7}, "not the one", {}),
    Document(
        "a token endpoint over plain http",
        {"token_endpoint": "http://issuer.example.com/token"},
        "token_endpoint is plain http",
        {"token_endpoint": "https://issuer.example.com/token"},
    ),
    Document(
        "keys over plain http",
        {"jwks_uri": "http://issuer.example.com/keys"},
        "jwks_uri is plain http",
        {},
    ),
    Document(
        "a login page over plain http",
        {"authorization_endpoint": "http://issuer.example.com/login"},
        "authorization_endpoint is plain http",
        {"authorization_endpoint": "https://issuer.example.com/login"},
    ),
    Document(
        "a file",
        {"jwks_uri": "file:///etc/passwd"},
        "jwks_uri is no https URL",
        {"userinfo_endpoint": "file:///"},
    ),
    Document("a script", {"authorization_endpoint": "javascript:alert(1)"}, "is no https URL", {}),
    Document(
        "no token endpoint",
        {"token_endpoint": None},
        "token_endpoint is missing",
        {"userinfo_endpoint": None},
    ),
    Document("an endpoint that is no text", {"jwks_uri": ["a"]}, "jwks_uri is missing", {}),
    Document(
        "user information",
        {"token_endpoint": "https://issuer.example.com@evil.example.com/"},
        "user information",
        {},
    ),
    Document("a port that is none", {"token_endpoint": "https://a:port/"}, "is no https URL", {}),
    Document(
        "no code flow",
        {"response_types_supported": ["id_token"]},
        "authorization code flow",
        {"response_types_supported": "any"},
    ),
    Document(
        "symmetric signatures only",
        {"id_token_signing_alg_values_supported": ["HS256", "none"]},
        "RS256 or ES256",
        {"id_token_signing_alg_values_supported": ["HS256", "ES256", 7]},
    ),
]


@pytest.mark.parametrize("case", DOCUMENTS, ids=[case.name for case in DOCUMENTS])
async def test_what_the_issuer_says_about_itself_is_checked(
    hostile: HostileIssuer, oidc: OidcClient, clock: VirtualClock, case: Document
) -> None:
    hostile.document = case.bad
    with pytest.raises(IssuerAway) as away:
        await address(oidc)
    assert away.value.reason == "IssuerMisconfigured"
    assert case.says in away.value.message
    assert oidc.trouble == away.value.message

    hostile.document = case.good
    await clock.advance(TIMING.pause)
    assert (await address(oidc)).startswith(("http://127.0.0.1", "https://"))
    assert oidc.trouble == ""


ANSWERS: list[tuple[str, Behaviour, str]] = [
    ("a page", answering(200, "<html>"), "IssuerMisbehaves"),
    ("a list", answering(200, "[]", kind="application/json"), "IssuerMisbehaves"),
    ("nothing", answering(200), "IssuerMisbehaves"),
    ("not found", answering(404, "{}"), "IssuerMisbehaves"),
    ("an error", answering(500, "<html>"), "IssuerMisbehaves"),
    ("a redirect", answering(302, Location="https://elsewhere.example.com/"), "IssuerMisbehaves"),
    ("a redirect to itself", answering(307, Location=DISCOVERY), "IssuerMisbehaves"),
    ("without an end", endless(), "IssuerMisbehaves"),
    ("too large", answering(200, " " * 300_000 + "{}"), "IssuerMisbehaves"),
    ("compressed", answering(200, "x", **{"Content-Encoding": "gzip"}), "IssuerMisbehaves"),
    ("a header without an end", answering(200, "{}", **{"X-Long": "x" * 70_000}), "IssuerUnreachable"),
]


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize(
    ("behaviour", "reason"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS]
)
async def test_an_answer_that_is_none_is_not_used(
    hostile: HostileIssuer,
    oidc: OidcClient,
    clock: VirtualClock,
    path: str,
    behaviour: Behaviour,
    reason: str,
) -> None:
    hostile.behaviour[path] = behaviour
    with pytest.raises(IssuerAway) as away:
        await address(oidc)
    assert away.value.reason == reason
    assert "elsewhere.example.com" not in away.value.message
    hostile.behaviour.clear()
    await clock.advance(TIMING.pause)
    assert await address(oidc)


@pytest.mark.parametrize("path", [DISCOVERY, KEYS, TOKEN])
@pytest.mark.parametrize("behaviour", [silent(), trickling()], ids=["silent", "trickling"])
async def test_a_slow_issuer_is_not_waited_for(
    hostile: HostileIssuer, config: OidcConfig, clock: VirtualClock, path: str, behaviour: Behaviour
) -> None:
    async with OidcClient(config, clock=clock, limits=SHORT) as oidc:
        hostile.behaviour[path] = behaviour
        async with asyncio.timeout(20):
            with pytest.raises(IssuerAway) as away:
                await oidc.login("code", code_verifier="v", nonce="the-nonce")
        assert away.value.reason == "IssuerSilent"


async def test_no_proxy_of_the_environment_is_used(
    hostile: HostileIssuer, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await log_in()).subject == "alice"


async def test_query_parameters_of_the_login_page_are_kept(hostile: HostileIssuer, oidc: OidcClient) -> None:
    assert (await address(oidc)).startswith(f"{hostile.url}/authorize?tenant=blue&response_type=code&")


# --- keys -------------------------------------------------------------------------------------------


KEY_SETS: list[tuple[str, Any]] = [
    ("no key", []),
    ("no list", "keys"),
    ("a symmetric key only", [OctKey.generate_key(256, {"kid": "own"}).as_dict()]),
    ("a key for encryption only", [{**OWN_KEY.as_dict(private=False), "use": "enc"}]),
    ("a key for another algorithm", [{**OWN_KEY.as_dict(private=False), "alg": ["RS256"]}]),
    ("a key to sign with only", [{**OWN_KEY.as_dict(private=False), "key_ops": ["sign"]}]),
    ("a short key only", [{"kty": "RSA", "kid": "own", "n": "AQAB" * 42, "e": "AQAB"}]),
    ("a huge exponent", [{**OWN_KEY.as_dict(private=False), "e": OWN_KEY.as_dict(private=False)["n"]}]),
    ("a broken point", [{"kty": "EC", "crv": "P-256", "kid": "own", "x": "AAAA", "y": "AAAA"}]),
    ("an unknown curve", [{"kty": "EC", "crv": "P-1", "kid": "own", "x": "AAAA", "y": "AAAA"}]),
    ("anything", [None, 7, "x", [], {}, {"kty": []}, {"kty": "RSA"}, {"kty": "RSA", "n": 7, "e": {}}]),
]


@pytest.mark.parametrize("published", [case[1] for case in KEY_SETS], ids=[case[0] for case in KEY_SETS])
async def test_a_key_set_without_a_usable_key_is_not_used(
    hostile: HostileIssuer, oidc: OidcClient, clock: VirtualClock, log_in: LogIn, published: Any
) -> None:
    hostile.published = published
    with pytest.raises(IssuerAway):
        await log_in()
    # The same, beside a good one: what cannot be used is passed over.
    hostile.published = (
        [*published, OWN_KEY.as_dict(private=False)]
        if isinstance(published, list)
        else [OWN_KEY.as_dict(private=False)]
    )
    await clock.advance(TIMING.pause)
    assert (await log_in()).subject == "alice"


async def test_new_keys_are_fetched_when_a_token_names_one(
    hostile: HostileIssuer, log_in: LogIn, clock: VirtualClock
) -> None:
    await log_in()
    await clock.advance(TIMING.unknown_key)
    hostile.claims = {"exp": hostile.now + 4000}
    hostile.rotate(RSAKey.generate_key(2048, {"kid": "new"}))
    assert (await log_in()).subject == "alice"
    assert (await log_in()).subject == "alice"
    assert hostile.asked[KEYS] == 2
    assert hostile.asked[DISCOVERY] == 1


@pytest.mark.parametrize("kid", [None, "own"], ids=["no id", "the same id"])
async def test_new_keys_are_fetched_when_a_signature_fits_no_known_one(
    hostile: HostileIssuer, log_in: LogIn, clock: VirtualClock, kid: str | None
) -> None:
    named = {} if kid is None else {"kid": kid}
    hostile.rotate(RSAKey.generate_key(2048, named, auto_kid=False))
    await log_in()
    await clock.advance(TIMING.unknown_key)
    hostile.rotate(RSAKey.generate_key(2048, named, auto_kid=False))
    assert (await log_in()).subject == "alice"
    assert (await log_in()).subject == "alice"
    assert hostile.asked[KEYS] == 2
    # A key that was never published does not help itself, nor has it the issuer asked at will.
    hostile.key = FOREIGN_KEY
    hostile.header = {"kid": kid}
    await clock.advance(TIMING.unknown_key)
    for _ in range(3):
        with pytest.raises(LoginRefused) as refused:
            await log_in()
        assert refused.value.reason == "SignatureWrong"
    assert hostile.asked[KEYS] == 3


async def test_tokens_cannot_have_the_keys_fetched_at_will(
    hostile: HostileIssuer, log_in: LogIn, clock: VirtualClock
) -> None:
    await log_in()
    await clock.advance(TIMING.unknown_key)
    hostile.header = {"kid": "invented"}
    for _ in range(5):
        with pytest.raises(LoginRefused) as refused:
            await log_in()
        assert refused.value.reason == "KeyUnknown"
    assert hostile.asked[KEYS] == 2
    # Others log in meanwhile, and later the keys are asked for again.
    hostile.header = {}
    await log_in()
    await clock.advance(TIMING.unknown_key)
    hostile.header = {"kid": "invented"}
    with pytest.raises(LoginRefused):
        await log_in()
    assert hostile.asked[KEYS] == 3


async def test_an_old_key_is_not_believed_any_more_once_the_new_ones_are_known(
    hostile: HostileIssuer, log_in: LogIn, clock: VirtualClock
) -> None:
    await log_in()
    await clock.advance(TIMING.unknown_key)
    hostile.rotate(ECKey.generate_key("P-256", {"kid": "new"}))
    hostile.algorithm = "ES256"
    await log_in()
    hostile.key, hostile.algorithm = OWN_KEY, "RS256"
    with pytest.raises(LoginRefused) as refused:
        await log_in()
    assert refused.value.reason == "KeyUnknown"


async def test_keys_that_cannot_be_fetched_leave_the_old_ones(
    hostile: HostileIssuer, oidc: OidcClient, log_in: LogIn, clock: VirtualClock
) -> None:
    await log_in()
    await clock.advance(TIMING.unknown_key)
    hostile.behaviour[KEYS] = answering(503)
    hostile.header = {"kid": "invented"}
    with pytest.raises(IssuerAway):
        await log_in()
    assert oidc.trouble
    hostile.header = {}
    assert (await log_in()).subject == "alice"
    hostile.behaviour.clear()
    await clock.advance(TIMING.refresh)
    await address(oidc)
    assert oidc.trouble == ""


# --- away and back ----------------------------------------------------------------------------------


async def test_an_issuer_that_is_away_at_start_is_asked_until_it_is_there(
    hostile: HostileIssuer, config: OidcConfig
) -> None:
    await hostile.stop()
    timing = Timing(retry=Policy(first=0.02, cap=0.05), pause=0)
    async with OidcClient(config, timing=timing) as oidc, background(oidc.run()):
        with pytest.raises(IssuerAway) as away:
            await address(oidc)
        assert away.value.reason == "IssuerUnreachable"
        assert "does not accept connections" in oidc.trouble
        await hostile.start()
        await eventually(lambda: oidc.trouble == "")
        assert await address(oidc)


async def test_what_was_known_is_used_while_the_issuer_is_away(
    hostile: HostileIssuer, oidc: OidcClient, log_in: LogIn, clock: VirtualClock
) -> None:
    async with background(oidc.run()):
        await eventually(lambda: oidc.trouble == "")
        await hostile.stop()
        await clock.advance(TIMING.refresh)
        await eventually(lambda: oidc.trouble != "")
        assert await address(oidc)
        with pytest.raises(IssuerAway):
            await log_in()
        await hostile.start()

        async def asked_again() -> bool:
            await clock.advance(TIMING.retry.cap)
            return oidc.trouble == ""

        await eventually(asked_again)
        hostile.now = int(clock.now().timestamp())
        assert (await log_in()).subject == "alice"


async def test_what_was_known_too_long_ago_is_not_used(
    hostile: HostileIssuer, oidc: OidcClient, clock: VirtualClock
) -> None:
    await address(oidc)
    await hostile.stop()
    await clock.advance(TIMING.oldest - 1)
    assert await address(oidc)
    await clock.advance(1)
    with pytest.raises(IssuerAway):
        await address(oidc)


async def test_many_logins_ask_an_absent_issuer_once(
    hostile: HostileIssuer, oidc: OidcClient, clock: VirtualClock
) -> None:
    hostile.behaviour[DISCOVERY] = answering(503)
    found = await asyncio.gather(*(address(oidc) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(one, IssuerAway) for one in found)
    with pytest.raises(IssuerAway):
        await address(oidc)
    assert hostile.asked[DISCOVERY] == 1
    await clock.advance(TIMING.pause)
    with pytest.raises(IssuerAway):
        await address(oidc)
    assert hostile.asked[DISCOVERY] == 2


async def test_many_logins_at_once_do_not_stand_in_each_others_way(
    hostile: HostileIssuer, log_in: LogIn
) -> None:
    people = await asyncio.gather(*(log_in() for _ in range(200)))
    assert {person.subject for person in people} == {"alice"}
    assert (hostile.asked[DISCOVERY], hostile.asked[KEYS], hostile.asked[TOKEN]) == (1, 1, 200)


async def test_a_login_does_not_wait_for_an_issuer_that_says_nothing(
    hostile: HostileIssuer, oidc: OidcClient, clock: VirtualClock
) -> None:
    """The background task waits instead."""
    async with background(oidc.run()):
        await eventually(lambda: oidc.trouble == "")
        hostile.behaviour[DISCOVERY] = silent()
        await clock.advance(TIMING.refresh)
        await eventually(lambda: hostile.asked[DISCOVERY] == 2)
        async with asyncio.timeout(5):
            assert await address(oidc)


async def test_many_logins_share_one_look_at_the_issuer(hostile: HostileIssuer, oidc: OidcClient) -> None:
    await asyncio.gather(*(address(oidc) for _ in range(50)))
    assert (hostile.asked[DISCOVERY], hostile.asked[KEYS]) == (1, 1)


async def test_the_background_task_looks_before_logins_have_to(
    hostile: HostileIssuer, oidc: OidcClient, clock: VirtualClock
) -> None:
    async with background(oidc.run()):
        await eventually(lambda: oidc.trouble == "")
        await clock.advance(TIMING.refresh * 0.95)
        await eventually(lambda: hostile.asked[KEYS] == 2)


# --- TLS --------------------------------------------------------------------------------------------


async def test_the_certificate_of_the_issuer_is_checked(config: OidcConfig, tmp_path: Any) -> None:
    """An issuer behind TLS is believed with the right authority only."""
    authority, foreign = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        said = {}
        for name, one in (("right", authority), ("wrong", foreign)):
            one.cert_pem.write_to_path(tmp_path / name)
            theirs = OidcConfig(url, "client", callback_url=config.callback_url, ca_file=tmp_path / name)
            async with OidcClient(theirs) as oidc:
                with pytest.raises(IssuerAway) as away:
                    await address(oidc)
                said[name] = away.value.message
    # The answer was read, and is no discovery document of that issuer.
    assert "is not the one" in said["right"]
    assert "certificate is not trusted" in said["wrong"]


def test_authorities_that_cannot_be_read_are_refused_at_once(config: OidcConfig, tmp_path: Any) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for path in (broken, tmp_path / "missing.pem"):
        with pytest.raises(ValueError, match="certificate authorities cannot be used"):
            OidcClient(
                OidcConfig(config.issuer_url, "client", callback_url=config.callback_url, ca_file=path)
            )


async def test_a_key_of_another_is_not_taken_for_a_rotation(hostile: HostileIssuer, log_in: LogIn) -> None:
    """A signature that is wrong under a known id has nothing fetched."""
    await log_in()
    hostile.key = FOREIGN_KEY
    with pytest.raises(LoginRefused) as refused:
        await log_in()
    assert refused.value.reason == "SignatureWrong"
    assert hostile.asked[KEYS] == 1


async def test_a_name_that_nobody_knows_is_told(config: OidcConfig) -> None:
    theirs = OidcConfig("https://issuer.invalid", "client", callback_url=config.callback_url)
    async with OidcClient(theirs, limits=Limits(seconds=2)) as oidc:
        with pytest.raises(IssuerAway) as away:
            await address(oidc)
    assert away.value.reason in {"IssuerUnreachable", "IssuerSilent"}
    assert "issuer.invalid" in away.value.message


async def test_a_connection_that_breaks_is_told(hostile: HostileIssuer, oidc: OidcClient) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    hostile.behaviour[DISCOVERY] = hang_up
    with pytest.raises(IssuerAway) as away:
        await address(oidc)
    assert "the connection broke" in away.value.message


async def test_a_login_has_an_end_whatever_the_issuer_does(
    hostile: HostileIssuer, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bind_agent.backend.oidc.client.LOGIN_SECONDS", 0.3)
    hostile.behaviour[TOKEN] = silent()
    with pytest.raises(IssuerAway) as away:
        await log_in()
    assert away.value.reason == "IssuerSilent"


async def test_nothing_is_sent_to_where_nothing_may_be_sent(
    hostile: HostileIssuer, config: OidcConfig
) -> None:
    async with Fetcher(config) as fetcher:
        for url in ("http://issuer.example.com/", "file:///etc/passwd", ""):
            with pytest.raises(IssuerAway):
                await fetcher.get("keys", url)
        assert (await fetcher.get("keys", hostile.url + KEYS)).status == 200
    with pytest.raises(RuntimeError, match="outside its block"):
        await fetcher.get("keys", hostile.url + KEYS)
