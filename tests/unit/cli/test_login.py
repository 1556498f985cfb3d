"""The pure parts of a login: session, address, versions, what an answer may hold, where a browser is.

Excluded: sockets (`tests/protocol/test_cli_login.py`).
"""

import base64
import hashlib
import re
import subprocess
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bind_agent.api import base62, keys, payloads
from cli.errors import CliError, ExitCode
from cli.login import browser, session
from cli.login.provider import version_trouble
from cli.login.response import check
from cli.main import run

pytestmark = pytest.mark.unit

UID = "3f1b6c0e-9d3f-4a37-8c53-0f7f3f1f9b11"
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: x
clusters: [{name: c, cluster: {server: "https://p.example"}}]
users: [{name: u, user: {token: t0ken}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: cns}}]
"""
REQUEST = {
    "apiVersion": keys.API_VERSION,
    "kind": keys.KIND_EXPORT_REQUEST,
    "metadata": {"name": "dbs.example.com", "creationTimestamp": None},
    "spec": {"resources": [{"group": "example.com", "resource": "dbs"}]},
    "status": {},
}


class TestSession:
    def test_all_secrets_differ_each_time_and_are_long(self) -> None:
        attempts = [session.begin(UID, back_channel=True) for _ in range(50)]
        for secret in ("session_id", "path", "verifier"):
            values = {getattr(one, secret) for one in attempts}
            assert len(values) == 50
            assert min(map(len, values)) >= 22
        assert all(re.fullmatch("/[0-9A-Za-z]+", one.path) for one in attempts)
        shown = repr(attempts[0])
        assert not {attempts[0].session_id, attempts[0].path, attempts[0].verifier} & set(
            re.split("['=, ]", shown)
        )

    def test_the_cluster_id_is_the_golden_one(self) -> None:
        assert session.begin(UID, back_channel=False).cluster_id == "4F83Nx"
        assert base62.cluster_id(UID) == "4F83Nx"

    def test_the_address_for_our_backend(self) -> None:
        attempt = session.begin(UID, back_channel=True)
        parts = urlsplit(attempt.address("https://b.example/authorize?x=1&y=&s=evil#here", 4711))
        digest = hashlib.sha256(attempt.verifier.encode()).digest()
        assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == (
            "https",
            "b.example",
            "/authorize",
            "",
        )
        assert parse_qs(parts.query, keep_blank_values=True) == {
            "x": ["1"],
            "y": [""],
            "s": [attempt.session_id],
            "c": ["4F83Nx"],
            "u": [f"http://127.0.0.1:4711{attempt.path}"],
            "code_challenge": [base64.urlsafe_b64encode(digest).decode().rstrip("=")],
        }
        assert len(attempt.challenge) == 43
        assert attempt.verifier not in parts.query

    def test_the_address_for_a_go_backend(self) -> None:
        attempt = session.begin(UID, back_channel=False)
        query = parse_qs(urlsplit(attempt.address("https://b.example/authorize", 4711)).query)
        assert query == {"s": [attempt.session_id], "c": ["4F83Nx"], "p": ["4711"]}
        assert attempt.callback(4711) == "http://localhost:4711/callback"


@pytest.mark.parametrize(
    ("version", "own", "words"),
    [
        ("v0.3.0", "0.3.0", ""),
        ("0.3.0", "1.0.0", ""),
        ("v1.5.0", "0.1.0", ""),
        ("v1.4.0-rc.1+build", "1.0.0", ""),
        ("v0.0.0", "1.0.0", ""),
        ("v0.0.0-master+$Format:%H$", "1.0.0", ""),
        ("v0.2.9", "1.0.0", "older than v0.3.0"),
        ("v0.3.0-rc.1", "1.0.0", "older than v0.3.0"),
        ("v0.0.1", "1.0.0", "older than v0.3.0"),
        ("", "1.0.0", "does not state"),
        ("", "0.0.0", "does not state"),
        ("main", "1.0.0", "cannot be read"),
        ("v1.5", "1.0.0", "cannot be read"),
        ("v1.5.0\x1b[31m", "1.0.0", r"v1.5.0\x1b[31m"),
        # An unversioned build of our own trusts anything; one that cannot be read keeps nobody from working (W-C12).
        ("v0.2.9", "0.0.0", ""),
        ("main", "v0.0.0", ""),
        ("v1.5.0", "garbage", ""),
        ("v0.2.9", "garbage", "older"),
    ],
)
def test_versions(version: str, own: str, words: str) -> None:
    trouble = version_trouble(version, own=own)
    assert bool(trouble) == bool(words)
    assert words in trouble


class TestResponse:
    @staticmethod
    def found(requests: Any = (REQUEST,), kubeconfig: str = KUBECONFIG) -> payloads.BindingResponse:
        document = payloads.binding_response(
            session_id="s", identity="i", kubeconfig=kubeconfig.encode(), requests=tuple(requests)
        )
        return payloads.check_binding_response(document, session_id="s")

    def test_a_good_one(self) -> None:
        chosen = check(self.found(), allow_private=False)
        assert [one.name for request in chosen.requests for one in request.wanted] == ["dbs.example.com"]
        assert chosen.kubeconfig.namespace == "cns"
        assert "t0ken" not in repr(chosen)
        elsewhere = check(self.found(), namespace="other", allow_private=False)
        assert elsewhere.kubeconfig.namespace == "other"

    @pytest.mark.parametrize(
        ("requests", "kubeconfig", "words"),
        [
            ((), KUBECONFIG, "nothing was chosen"),
            ([REQUEST] * 65, KUBECONFIG, "65 requests"),
            ([{**REQUEST, "apiVersion": "v1"}], KUBECONFIG, "request 1 of the provider's answer is"),
            ([REQUEST, {**REQUEST, "spec": {}}], KUBECONFIG, "request 2 of the provider's answer"),
            ([{**REQUEST, "metadata": {"name": "../x"}}], KUBECONFIG, "is not a name"),
            ([REQUEST], KUBECONFIG.replace("token: t0ken", "exec: {command: x}"), "ExecNotAllowed"),
            ([REQUEST], KUBECONFIG.replace("https:", "http:"), "refused"),
            ([REQUEST], KUBECONFIG.replace(", namespace: cns", ""), "NamespaceMissing"),
            ([REQUEST], KUBECONFIG.replace("p.example", "10.0.0.1"), "private"),
            ([REQUEST], KUBECONFIG.replace("current-context: x", ""), "ContextMissing"),
            ([REQUEST], re.sub("clusters: .*", "clusters: []", KUBECONFIG), "ContextMissing"),
        ],
    )
    def test_bad_ones(self, requests: Any, kubeconfig: str, words: str) -> None:
        with pytest.raises(CliError, match=re.escape(words)) as caught:
            check(self.found(requests, kubeconfig), allow_private=False)
        assert caught.value.code is ExitCode.FAILURE
        assert caught.value.next_step
        assert "t0ken" not in str(caught.value)


class TestBrowser:
    @pytest.mark.parametrize(
        ("environment", "platform", "expected"),
        [
            ({}, "linux", False),
            ({"DISPLAY": ""}, "linux", False),
            ({"DISPLAY": ":0"}, "linux", True),
            ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
            ({"BROWSER": "firefox"}, "linux", True),
            ({}, "darwin", True),
            ({}, "win32", True),
        ],
    )
    def test_where_one_is(self, environment: dict[str, str], platform: str, expected: bool) -> None:
        assert browser.can_open(environment, platform) is expected

    def test_that_none_can_be_started_is_no_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise FileNotFoundError

        monkeypatch.setattr(subprocess, "Popen", broken)
        browser.open_address("https://x.example")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["https://b.example/export", "more"], "unknown argument 'more'"),
        (["ftp://b.example/export"], "unknown argument 'ftp://b.example/export'"),
        (["--dry-run"], "the provider's address is missing"),
        (["--dry-run", "-o", "wide", "https://b.example"], "these have no wide form"),
        (["--accept-claims=,", "https://b.example"], "not understood"),
        (["--konnector-image=a b", "https://b.example"], "not an image"),
        (["--conflict-policy=Maybe", "https://b.example"], "Maybe"),
        (["--provider-ca-file=/nowhere", "https://b.example"], "does not exist"),
        (["--kubeconfig", "x", "apiservice"], "unknown argument 'apiservice'"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert run(arguments) == 2
    assert words in capsys.readouterr().err


def test_help_and_commands_still_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "URL | COMMAND" in capsys.readouterr().out
    assert run(["url", "--help"]) == 0
    assert "--no-browser" in capsys.readouterr().out
    assert run(["version"]) == 0
