"""The sockets of ``kubectl bind URL``: the listener, the provider's document, the back channel.

Excluded: real clusters (`tests/integration/cli/test_url*.py`).
"""

import base64
import contextlib
import hashlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from bind_agent.api import keys, payloads
from cli.errors import CliError, ExitCode, UnreachableError, UsageError, WaitTimeoutError
from cli.login import page, provider
from cli.login.answers import OneTimeCode
from cli.login.listener import Listener
from cli.login.redeem import redeem
from cli.login.session import Attempt, begin
from cli.web import Web
from tests.fakes.answering import Answer, Server, drips, says

pytestmark = pytest.mark.protocol

UID = "3f1b6c0e-9d3f-4a37-8c53-0f7f3f1f9b11"
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
CODE = "0123456789abcdefghij"


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*answers: Answer, context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(list(answers), context))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def response(session: str, **changes: Any) -> dict[str, Any]:
    return payloads.binding_response(session_id=session, identity="i", kubeconfig=b"k", requests=()) | changes


def encoded(session: str) -> str:
    return payloads.encode_binding_response(response(session))


def ask(url: str, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, headers={**NAVIGATION, **headers}, timeout=10, allow_redirects=False)


def address(listener: Listener, attempt: Attempt, **parameters: str) -> str:
    query = requests.models.PreparedRequest()
    query.prepare_url(f"http://127.0.0.1:{listener.port}{attempt.path}", parameters)
    assert query.url
    return query.url


@contextlib.contextmanager
def listening(*, back_channel: bool = True) -> Iterator[tuple[Listener, Attempt, list[str]]]:
    notes: list[str] = []
    attempt = begin(UID, back_channel=back_channel)
    with Listener(attempt, note=notes.append) as listener:
        yield listener, attempt, notes


# --- the listener -------------------------------------------------------------------------------------


@pytest.mark.parametrize("back_channel", [True, False], ids=["ours", "go"])
def test_one_good_answer_is_taken_and_later_ones_are_not(back_channel: bool) -> None:
    with listening(back_channel=back_channel) as (listener, attempt, notes):
        good = (
            {"code": CODE, "s": attempt.session_id}
            if back_channel
            else {"response": encoded(attempt.session_id)}
        )
        first = ask(address(listener, attempt, **good))
        taken = listener.wait(timeout=10, waiting=lambda _: None)
        second = ask(address(listener, attempt, **(good | ({"code": CODE[::-1]} if back_channel else {}))))
        assert listener.wait(timeout=1, waiting=lambda _: None) is taken
    assert (first.status_code, second.status_code) == (200, 410)
    assert "You can close this window" in first.text
    if back_channel:
        assert taken == OneTimeCode(CODE)
        assert CODE not in repr(taken)
    else:
        assert isinstance(taken, payloads.BindingResponse)
        assert taken.session_id == attempt.session_id
    assert notes == []
    for answer in (first, second):
        assert "Server" not in answer.headers or "Python" not in answer.headers["Server"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert CODE not in answer.text


def test_an_answer_counts_also_when_its_window_is_closed_before_the_page_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Gone(page.Page):
        def html(self) -> bytes:
            raise BrokenPipeError

    monkeypatch.setattr(page, "DONE", Gone(200, "", ""))
    with listening() as (listener, attempt, _):
        with pytest.raises(requests.ConnectionError):
            ask(address(listener, attempt, s=attempt.session_id, code=CODE))
        assert listener.wait(timeout=5, waiting=lambda _: None) == OneTimeCode(CODE)


def test_the_page_runs_exactly_its_one_line() -> None:
    """It takes the answer out of the address bar; the policy allows nothing else (threat A54)."""
    with listening() as (listener, attempt, _):
        answer = ask(address(listener, attempt, code=CODE, s=attempt.session_id))
    policy = answer.headers["Content-Security-Policy"]
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "history.replaceState" in answer.text


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "parameters are missing"),
        ({"code": CODE}, "parameters are missing"),
        ({"code": CODE, "s": "guessed"}, "another session"),
        ({"code": "short", "s": "{s}"}, "no usable code"),
        ({"code": "<script>alert(1)</script>", "s": "{s}"}, "no usable code"),
        ({"code": CODE + "\x1b[31m", "s": "{s}"}, "no usable code"),
        ({"response": "x", "s": "{s}"}, "parameters are missing"),
    ],
)
def test_wrong_answers_for_our_backend(parameters: dict[str, str], words: str) -> None:
    with listening() as (listener, attempt, notes):
        given = {key: value.replace("{s}", attempt.session_id) for key, value in parameters.items()}
        answers = [ask(address(listener, attempt, **given)) for _ in range(2)]
        with pytest.raises(WaitTimeoutError):
            listener.wait(timeout=0.1, waiting=lambda _: None)
    assert {answer.status_code for answer in answers} == {400}
    assert words in answers[0].text
    assert "<script>alert" not in answers[0].text
    # Told once, however often it comes.
    assert len(notes) == 1
    assert words in notes[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("%%%", "not base64"),
        (base64.b64encode(b"nonsense").decode(), "not JSON"),
        (base64.b64encode(b'"text"').decode(), "not an object"),
        (encoded("other"), "another session"),
        (payloads.encode_binding_response(response("x", kind="Secret")), "must be BindingResponse"),
        (payloads.encode_binding_response(response("x", kubeconfig="")), "must not be empty"),
        (payloads.encode_binding_response(response("x", kubeconfig="&")), "not base64"),
        (payloads.encode_binding_response(response("x", apiVersion="v9")), "apiVersion"),
    ],
)
def test_wrong_answers_for_a_go_backend(text: str, words: str) -> None:
    with listening(back_channel=False) as (listener, attempt, notes):
        answer = ask(address(listener, attempt, response=text))
        assert answer.status_code == 400
        assert ask(address(listener, attempt, response=encoded(attempt.session_id))).status_code == 200
    assert words in answer.text
    assert words in notes[0]


def test_parameters_twice_or_by_the_hundred_are_no_answer() -> None:
    with listening() as (listener, attempt, _):
        good = address(listener, attempt, code=CODE, s=attempt.session_id)
        assert ask(f"{good}&code={CODE}").status_code == 400
        assert ask(good + "&x=1" * 100).status_code == 400
        assert ask(f"{good}&x={'y' * 100_000}").status_code == 414
        assert ask(good).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 403),
        ({"Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Purpose": "prefetch;prerender"}, 403),
        ({"Purpose": "prefetch"}, 403),
    ],
)
def test_what_pages_do_in_the_background_is_turned_away(headers: dict[str, str], status: int) -> None:
    """Even with the secrets (threat A59); a window with them is let in."""
    with listening() as (listener, attempt, _):
        good = address(listener, attempt, code=CODE, s=attempt.session_id)
        assert ask(good, **headers).status_code == status
        assert ask(good.replace(attempt.path, "/callback")).status_code == 404
        assert ask(good).status_code == 200


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "HEAD", "PUT"])
def test_only_navigations_count(method: str) -> None:
    with listening() as (listener, attempt, _):
        good = address(listener, attempt, code=CODE, s=attempt.session_id)
        answer = requests.request(method, good, headers=NAVIGATION, timeout=10)
        assert answer.status_code == 501
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert ask(good).status_code == 200


def test_other_programs_host_names_are_fine_for_go() -> None:
    with listening(back_channel=False) as (listener, attempt, _):
        good = address(listener, attempt, response=encoded(attempt.session_id))
        assert ask(good, Host=f"localhost:{listener.port}").status_code == 200


def test_it_listens_on_this_machine_only() -> None:
    with listening() as (listener, _, _), socket.socket() as other:
        other.bind(("127.0.0.2", listener.port))  # free: nothing listens on all addresses


def test_silent_connections_do_not_keep_the_answer_out() -> None:
    with listening() as (listener, attempt, _), contextlib.ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", listener.port), timeout=10))
            for _ in range(10)
        ]
        assert ask(address(listener, attempt, code=CODE, s=attempt.session_id)).status_code == 200
        idle[0].sendall(b"GET /x HTTP/1.1\r\n")
    assert listener.wait(timeout=1, waiting=lambda _: None) == OneTimeCode(CODE)


def test_connections_are_bounded() -> None:
    with listening() as (listener, _, _), contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection(("127.0.0.1", listener.port), timeout=10))
        workers = [one for one in threading.enumerate() if "process_request_thread" in one.name]
        assert len(workers) <= 16


def test_waiting_is_told_and_ends() -> None:
    told: list[float] = []
    with listening() as (listener, _, _):
        started = time.monotonic()
        with pytest.raises(
            WaitTimeoutError, match="nobody logged in at the provider within 1 seconds"
        ) as caught:
            listener.wait(timeout=1.0, waiting=told.append)
    assert caught.value.code is ExitCode.TIMEOUT
    assert "run the command again" in caught.value.next_step
    assert told
    assert all(abs(one - started) < 60 for one in told)


def test_every_page_escapes_what_it_says() -> None:
    assert b"<b>" not in page.refused("<b>bold</b>").html()


# --- who the provider is --------------------------------------------------------------------------------


def export(url: str = "https://bind.example/authorize", **changes: Any) -> dict[str, Any]:
    return payloads.binding_provider("Provider", "v0.0.0", url) | changes


def web(**more: Any) -> Web:
    return Web(timeout=5.0, **{"ca_hint": "a private CA has to be named with --provider-ca-file", **more})


def fetch(server: Server, **more: Any) -> provider.Provider:
    return provider.fetch(web(**more), f"{server.url}/export", sleep=lambda _: None)


def test_a_provider_of_either_kind(serve: Callable[..., Server]) -> None:
    go = fetch(serve(says(200, export())))
    assert (go.name, go.login_url, go.redeem_url) == ("Provider", "https://bind.example/authorize", "")
    for link in (
        f'<{{url}}/redeem>; rel="{keys.REDEEM_RELATION}"',
        f'</redeem>; rel="other {keys.REDEEM_RELATION}"',
        f'<https://x.example/>; rel="next", <{{url}}/redeem>; rel="{keys.REDEEM_RELATION}"',
    ):
        server = serve(says(500))
        server.answers[:] = [says(200, export(), headers={"Link": link.format(url=server.url)})]
        assert fetch(server).redeem_url == f"{server.url}/redeem"
    assert not any("Authorization" in headers for _, _, headers in server.seen)


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("https://elsewhere.example/redeem", "is elsewhere"),
        ("//elsewhere.example/redeem", "is not an https address"),
        ("http://127.0.0.1:1/redeem", "is elsewhere"),
        ("file:///etc/passwd", "is not an https address"),
        ("https://[", "is not an https address"),
    ],
)
def test_a_back_channel_elsewhere_is_refused(serve: Callable[..., Server], link: str, words: str) -> None:
    """And not left out, which would bring the credential into the address bar."""
    headers = {"Link": f'<{link}>; rel="{keys.REDEEM_RELATION}"'}
    with pytest.raises(CliError, match=words) as caught:
        fetch(serve(says(200, export(), headers=headers)))
    assert caught.value.code is ExitCode.FAILURE


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(404), "answered 404 instead of describing a provider"),
        (says(500), "answered 500"),
        (says(200, raw=b"<html>"), "does not describe a provider"),
        (says(200, raw=b"[]"), "does not describe a provider"),
        (says(200, raw=b"[" * 60000), "does not describe a provider"),
        (says(200, raw=b" " * (2 * provider.MAX_BYTES)), "larger than 64 KiB"),
        (says(200, export(apiVersion="v1")), "apiVersion: must be v1alpha1"),
        (says(200, export(kind="Secret")), "kind: must be BindingProvider"),
        (says(200, export(version="")), "does not state its version"),
        (says(200, export(version=7)), "does not state its version"),
        (says(200, export(version="v0.2.9")), "older than v0.3.0"),
        (says(200, export(version="latest")), "cannot be read"),
        (says(200, export(authenticationMethods=[])), "must offer OAuth2CodeGrant"),
        (says(200, export(authenticationMethods=[{"method": "Kerberos"}])), "must offer OAuth2CodeGrant"),
        (says(200, export("/authorize")), "must be an absolute http or https URL"),
    ],
)
def test_what_is_no_provider(serve: Callable[..., Server], answer: Answer, words: str) -> None:
    with pytest.raises(CliError, match=re.escape(words)) as caught:
        fetch(serve(answer))
    assert caught.value.next_step


@pytest.mark.parametrize(
    "link", ["", ",,;=", "<>; rel", '<x>; rel=; rel="a', ";" * 5000, "<https://x.example>"]
)
def test_other_links_are_none_of_our_business(serve: Callable[..., Server], link: str) -> None:
    assert fetch(serve(says(200, export(), headers={"Link": link}))).redeem_url == ""


def test_a_provider_that_is_starting_is_asked_again(serve: Callable[..., Server]) -> None:
    assert (
        fetch(serve(says(503), says(429, headers={"Retry-After": "x"}), says(200, export()))).name
        == "Provider"
    )
    with pytest.raises(UnreachableError, match="answered 503"):
        fetch(serve(says(503)))


def test_plain_http_takes_a_word(serve: Callable[..., Server]) -> None:
    server = serve(says(200, export("http://bind.example/authorize")))
    with pytest.raises(CliError, match="the provider's login address is not an https address"):
        fetch(server)
    assert fetch(server, allow_http=True).login_url == "http://bind.example/authorize"
    with pytest.raises(UsageError, match="is not an https address"):
        provider.fetch(web(), "http://bind.example/export")
    with pytest.raises(UsageError, match="holds a user name"):
        provider.fetch(web(), "https://ann:secret@bind.example/export")


@pytest.mark.parametrize(
    "login",
    ["http://bind.example/authorize", "https://ann:secret@bind.example/authorize"],
)
def test_an_unsafe_login_address_is_the_providers_fault(serve: Callable[..., Server], login: str) -> None:
    """The exit code for wrong input would blame who typed a good address, and say that nothing was sent."""
    with pytest.raises(CliError, match="login address") as caught:
        fetch(serve(says(200, export(login))))
    assert caught.value.code is ExitCode.FAILURE
    assert caught.value.next_step
    assert "secret" not in str(caught.value)


def test_an_unsafe_redirect_is_the_servers_fault(serve: Callable[..., Server]) -> None:
    server = serve(says(302, headers={"Location": "http://bind.example/export"}))
    with pytest.raises(CliError, match="redirects to what is not an https address") as caught:
        fetch(server)
    assert caught.value.code is ExitCode.FAILURE
    assert len(server.seen) == 1


@pytest.mark.parametrize("typed", ["http://bind.example/export", "https://ann:secret@bind.example/export"])
def test_an_unsafe_address_that_was_typed_is_wrong_usage(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        provider.fetch(web(), typed)
    assert caught.value.code is ExitCode.USAGE


def test_a_private_ca_has_to_be_named(serve: Callable[..., Server], tmp_path: Path) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    server = serve(says(200, export()), context=context)
    with pytest.raises(UnreachableError, match="no trusted connection") as caught:
        fetch(server)
    assert caught.value.next_step.endswith("a private CA has to be named with --provider-ca-file")
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(ca.cert_pem.bytes())
    assert fetch(server, ca_file=str(bundle)).name == "Provider"
    bundle.write_bytes(trustme.CA().cert_pem.bytes())
    with pytest.raises(UnreachableError, match="no trusted connection") as caught:
        fetch(server, ca_file=str(bundle))
    assert "compare the CA file" in caught.value.next_step


# --- the back channel -----------------------------------------------------------------------------------


def test_the_code_is_redeemed_with_its_proof(serve: Callable[..., Server]) -> None:
    attempt = begin(UID, back_channel=True)
    naps: list[float] = []
    server = serve(
        says(503, headers={"Retry-After": "100"}), says(429), says(200, response(attempt.session_id))
    )
    found = redeem(web(), f"{server.url}/redeem", OneTimeCode(CODE), attempt, sleep=naps.append)
    assert found.session_id == attempt.session_id
    assert naps == [5.0, 1.0]
    assert json.loads(server.bodies[-1]) == {"code": CODE, "code_verifier": attempt.verifier}
    method, path, headers = server.seen[-1]
    assert (method, path, headers["Content-Type"]) == ("POST", "/redeem", "application/json")
    assert {CODE, attempt.verifier} & {path, *headers.values()} == set()


@pytest.mark.parametrize(
    ("answer", "words", "next_step"),
    [
        (says(410, {"error": "used", "message": "was used \x1b[31m"}), r"(410): was used \x1b[31m", "once"),
        (says(403, {"error": "forbidden"}), "(403): forbidden", "ask the provider's operators"),
        (says(400, {"message": f"bad code {CODE}"}), "(400)", "run the command again"),
        (says(429), "(429)", "overloaded"),
        (says(503, raw=b"no JSON"), "(503)", "not ready"),
        (says(302, headers={"Location": "http://127.0.0.1:1/"}), "(302)", "run the command again"),
        (says(200, raw=b"[]"), "cannot be used", "run the command again"),
        (says(200, response("other")), "belongs to another session", "run the command again"),
        (says(200, raw=b" " * (2 * 1024 * 1024)), "too large", "run the command again"),
    ],
)
def test_the_back_channel_refuses(
    serve: Callable[..., Server], answer: Answer, words: str, next_step: str
) -> None:
    attempt = begin(UID, back_channel=True)
    with pytest.raises(CliError, match=re.escape(words)) as caught:
        redeem(web(), serve(answer).url, OneTimeCode(CODE), attempt, sleep=lambda _: None)
    assert next_step in caught.value.next_step
    assert CODE not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_slow_answers_end(serve: Callable[..., Server]) -> None:
    with pytest.raises(UnreachableError, match="did not answer in time"):
        provider.fetch(Web(timeout=0.5), serve(drips).url)
