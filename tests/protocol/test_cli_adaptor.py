"""The CLI's adaptor and downloads against servers that do what a real API server does not do on demand."""

import gzip
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from bind_agent.api.resource import CONFIGMAPS, SECRETS
from bind_agent.kube.addresses import AddressPolicy
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from bind_agent.kube.execplugin import ExecPlugin
from cli import kube
from cli.access import Access
from cli.binding.request import MAX_BYTES
from cli.binding.source import read_url
from cli.cluster import Cluster
from cli.errors import CliError, ExitCode, RequestRefusedError, UnreachableError, UsageError
from tests.fakes.answering import Answer, Handler, Server, drips, says

pytestmark = pytest.mark.protocol


def refused(status: int, reason: str, message: str = "because") -> Answer:
    return says(status, {"kind": "Status", "reason": reason, "message": message})


def missing(name: str, kind: str = "configmaps") -> Answer:
    """An API server's word that there is no such object."""
    status = {"kind": "Status", "reason": "NotFound", "message": f"{kind} {name} not found"}
    return says(404, status | {"details": {"name": name, "kind": kind}})


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*answers: Answer, context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(list(answers), context))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def cluster(
    server: Server, *, timeout: float = 5.0, lines: list[str] | None = None, **config: Any
) -> Cluster:
    given = ClusterConfig(**{"server": server.url, "credential": Credential(token="s3cret"), **config})
    return Cluster(
        Access(given), label="provider", timeout=timeout, trace=(lines if lines is not None else []).append
    )


def test_a_call_carries_the_token_and_the_trace_does_not(serve: Callable[..., Server]) -> None:
    server = serve(says(200, {"kind": "Secret"}))
    lines: list[str] = []
    with cluster(server, lines=lines) as one:
        assert one.get(SECRETS, "a b", namespace="ns") == {"kind": "Secret"}
    [(method, path, headers)] = server.seen
    assert (method, path) == ("GET", "/api/v1/namespaces/ns/secrets/a%20b")
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["User-Agent"].startswith("kubectl-bind/")
    assert "200" in lines[0]
    assert "s3cret" not in lines[0]


def test_not_there_is_an_answer_and_other_failures_are_errors(serve: Callable[..., Server]) -> None:
    with cluster(serve(missing("x"), refused(403, "Forbidden", "no \x1b[2J"))) as one:
        assert one.get(CONFIGMAPS, "x", namespace="ns") is None
        with pytest.raises(RequestRefusedError, match=r"Forbidden: no \\x1b\[2J") as caught:
            one.get(CONFIGMAPS, "x", namespace="ns")
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")
    assert "missing right" in caught.value.next_step


def test_what_is_said_about_a_secret_is_withheld(serve: Callable[..., Server]) -> None:
    with cluster(serve(refused(422, "Invalid", "data: hunter2"))) as one, pytest.raises(CliError) as caught:
        one.create(SECRETS, {"metadata": {"name": "x"}}, namespace="ns")
    assert "hunter2" not in str(caught.value)
    assert "Invalid" in str(caught.value)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500, 503])
def test_no_word_of_a_refused_secret_is_shown_whatever_the_code(
    serve: Callable[..., Server], status: int
) -> None:
    with (
        cluster(serve(refused(status, "hunter2", "data: hunter2"))) as one,
        pytest.raises(CliError) as caught,
    ):
        one.create(SECRETS, {"metadata": {"name": "x"}}, namespace="ns")
    assert "hunter2" not in f"{caught.value} {caught.value.next_step}"
    assert f"secrets/ns was refused: {status}" in str(caught.value)


def test_overload_is_waited_out(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    busy = says(429, {}, headers={"Retry-After": "0.05"})
    server = serve(busy, says(429, {}, headers={"Retry-After": "soon"}), says(200, {"ok": 1}))
    with cluster(server) as one:
        assert one.get(CONFIGMAPS, "x", namespace="ns") == {"ok": 1}
    monkeypatch.setattr(kube, "_PATIENCE", 0.3)
    with cluster(serve(busy)) as one, pytest.raises(RequestRefusedError, match="429"):
        one.get(CONFIGMAPS, "x", namespace="ns")


def test_redirects_are_not_followed(serve: Callable[..., Server]) -> None:
    other = serve(says(200, {}))
    server = serve(says(302, headers={"Location": other.url}))
    with cluster(server) as one, pytest.raises(UnreachableError, match="does not answer like an API server"):
        one.get(CONFIGMAPS, "x", namespace="ns")
    assert other.seen == []


@pytest.mark.parametrize("raw", [b"<html>", b"[]", b'"text"'])
def test_what_is_no_object_is_no_api_server(serve: Callable[..., Server], raw: bytes) -> None:
    with (
        cluster(serve(says(200, raw=raw))) as one,
        pytest.raises(UnreachableError, match="does not answer like"),
    ):
        one.get(CONFIGMAPS, "x", namespace="ns")
    with cluster(serve(says(500, raw=raw))) as one, pytest.raises(RequestRefusedError, match="500"):
        one.get(CONFIGMAPS, "x", namespace="ns")


@pytest.mark.parametrize(
    "answer",
    [
        says(200, raw=b" " * 200_000),
        says(200, raw=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}),
    ],
    ids=["large", "packed"],
)
def test_answers_are_bounded(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(kube, "_MAX_ANSWER", 100_000)
    with cluster(serve(answer)) as one, pytest.raises(UnreachableError, match="too large"):
        one.get(CONFIGMAPS, "x", namespace="ns")


def test_an_answer_that_breaks_off(serve: Callable[..., Server]) -> None:
    def breaks(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"{")
        handler.close_connection = True

    with cluster(serve(breaks)) as one, pytest.raises(UnreachableError):
        one.get(CONFIGMAPS, "x", namespace="ns")


def test_a_server_that_drips_does_not_hold_the_command(serve: Callable[..., Server]) -> None:
    started = time.monotonic()
    with (
        cluster(serve(drips), timeout=0.5) as one,
        pytest.raises(UnreachableError, match="no complete answer") as caught,
    ):
        one.get(CONFIGMAPS, "x", namespace="ns")
    assert time.monotonic() - started < 20
    assert caught.value.code == ExitCode.TIMEOUT


def test_nobody_there() -> None:
    config = ClusterConfig(server="https://127.0.0.1:1", credential=Credential(token="t"))
    with (
        Cluster(Access(config), label="provider") as one,
        pytest.raises(UnreachableError, match=r"no connection to https://127\.0\.0\.1:1"),
    ):
        one.get(CONFIGMAPS, "x", namespace="ns")


def test_lists_are_paged_and_end(serve: Callable[..., Server]) -> None:
    def page(name: str, more: str) -> Answer:
        return says(200, {"metadata": {"continue": more}, "items": [{"metadata": {"name": name}}, "odd"]})

    server = serve(page("a", "next one"), page("b", ""))
    with cluster(server) as one:
        items = one.list(CONFIGMAPS, namespace="ns", label_selector="a=b")
    assert [item["metadata"]["name"] for item in items] == ["a", "b"]
    assert "continue=next+one" in server.seen[1][1]
    with cluster(serve(page("a", "more"))) as one, pytest.raises(UnreachableError, match="does not end"):
        one.list(CONFIGMAPS)


def test_discovery(serve: Callable[..., Server]) -> None:
    resources = {
        "resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}, {"name": "a/b"}, 7]
    }
    server = serve(refused(404, "NotFound"), says(200, resources))
    with cluster(server) as one:
        assert one.served("example.com", "v1", "things") is None
        assert one.served("", "v1", "configmaps") == CONFIGMAPS
        assert one.served("", "v1", "others") is None
        assert one.resource_of({"apiVersion": "v1", "kind": "ConfigMap"}) == CONFIGMAPS
        with pytest.raises(RequestRefusedError, match="does not serve Thing"):
            one.resource_of({"apiVersion": "v1", "kind": "Thing"})
    assert len(server.seen) == 2
    with cluster(serve(refused(403, "Forbidden"))) as one, pytest.raises(RequestRefusedError):
        one.served("", "v1", "configmaps")


NO_PROOF = [
    refused(404, "NotFound", "the server could not find the requested resource"),
    missing("another"),
    missing("x", "secrets"),
    says(404, "404 page not found"),
    says(404, {"error": "no upstream"}),
]


@pytest.mark.parametrize("answer", NO_PROOF, ids=["kind", "other name", "other kind", "text", "proxy"])
def test_a_404_that_is_not_about_the_object_does_not_say_that_it_is_not_there(
    serve: Callable[..., Server], answer: Answer
) -> None:
    with cluster(serve(answer)) as one:
        with pytest.raises(RequestRefusedError) as caught:
            one.get(CONFIGMAPS, "x", namespace="ns")
        assert caught.value.status == 404
        assert "serves this kind" in caught.value.next_step
        with pytest.raises(RequestRefusedError):
            one.delete(CONFIGMAPS, "x", namespace="ns", uid="u")


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        (missing("x"), True),
        (refused(409, "x"), True),
        (refused(200, "x"), True),
        (refused(403, "x"), False),
    ],
    ids=["gone", "another", "done", "denied"],
)
def test_deleting_takes_one_object_and_not_there_is_fine(
    serve: Callable[..., Server], answer: Answer, passes: bool
) -> None:
    server = serve(answer)
    with cluster(server) as one:
        if passes:
            one.delete(CONFIGMAPS, "x", namespace="ns", uid="u")
        else:
            with pytest.raises(RequestRefusedError):
                one.delete(CONFIGMAPS, "x", namespace="ns", uid="u")


def test_only_the_clusters_own_authority_is_trusted(serve: Callable[..., Server], ca: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    server = serve(says(200, {"ok": 1}), context=context)
    pem = ca.cert_pem.bytes()
    with cluster(server, ca_pem=pem) as one:
        assert one.get(CONFIGMAPS, "x", namespace="ns") == {"ok": 1}
    with (
        cluster(server, ca_pem=trustme.CA().cert_pem.bytes()) as one,
        pytest.raises(UnreachableError, match="no trusted connection"),
    ):
        one.get(CONFIGMAPS, "x", namespace="ns")
    with cluster(server, ca_pem=None, insecure_skip_tls_verify=True) as one:
        assert one.get(CONFIGMAPS, "x", namespace="ns") == {"ok": 1}
    with cluster(server, ca_pem=pem, tls_server_name="other.example") as one, pytest.raises(UnreachableError):
        one.get(CONFIGMAPS, "x", namespace="ns")


def test_the_name_in_the_certificate_may_differ_from_the_host(
    serve: Callable[..., Server], ca: trustme.CA
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("api.example").configure_cert(context)
    server = serve(says(200, {"ok": 1}), context=context)
    with cluster(server, ca_pem=ca.cert_pem.bytes(), tls_server_name="api.example") as one:
        assert one.get(CONFIGMAPS, "x", namespace="ns") == {"ok": 1}


def test_client_certificates_leave_no_file(
    serve: Callable[..., Server], ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    issued = ca.issue_cert("client.example")
    credential = Credential(certificate=issued.cert_chain_pems[0].bytes(), key=issued.private_key_pem.bytes())
    server = serve(says(200, {"ok": 1}), context=context)
    with cluster(server, ca_pem=ca.cert_pem.bytes(), credential=credential) as one:
        assert one.get(CONFIGMAPS, "x", namespace="ns") == {"ok": 1}
        assert list(tmp_path.iterdir()) == []
    assert "Authorization" not in server.seen[0][2]


def test_broken_pem_is_told(ca: trustme.CA) -> None:
    server = "https://one.example"
    with pytest.raises(CliError, match="not a PEM"):
        Access(ClusterConfig(server, Credential(token="t"), ca_pem=b"nonsense")).ssl_context()
    broken = Credential(certificate=ca.cert_pem.bytes(), key=b"nonsense")
    with pytest.raises(CliError, match="client certificate"):
        Access(ClusterConfig(server, broken)).ssl_context()


def test_an_exec_plugin_is_asked_once_and_again_after_a_401(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    script = tmp_path / "plugin"
    script.write_text(
        '#!/bin/sh\necho x >> "$0.runs"\n'
        'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",\'\\\n'
        '\'"status":{"token":"t\'$(wc -l < "$0.runs" | tr -d " ")\'"}}\'\n'
    )
    script.chmod(0o700)
    server = serve(says(200, {}), says(401, {}), says(200, {"ok": 1}), says(401, {}))
    credential = Credential(plugin=ExecPlugin(command=str(script)))
    with cluster(server, credential=credential) as one:
        one.get(CONFIGMAPS, "x", namespace="ns")
        assert one.get(CONFIGMAPS, "x", namespace="ns") == {"ok": 1}
        assert [headers["Authorization"] for _, _, headers in server.seen] == [
            "Bearer t1",
            "Bearer t1",
            "Bearer t2",
        ]
        # A second refusal in a row is told.
        with pytest.raises(RequestRefusedError, match="401"):
            one.get(CONFIGMAPS, "x", namespace="ns")


def test_a_failing_plugin_is_told(serve: Callable[..., Server]) -> None:
    credential = Credential(plugin=ExecPlugin(command="/nonexistent/plugin"))
    with pytest.raises(CliError, match="no credential for"):
        cluster(serve(says(200, {})), credential=credential)


@pytest.mark.parametrize(
    ("policy", "host", "refused_"),
    [
        (None, "127.0.0.1", False),
        (AddressPolicy(private=True, loopback=True), "127.0.0.1", False),
        (AddressPolicy(private=True, loopback=False), "localhost", True),
        (AddressPolicy(private=False, loopback=False), "10.1.2.3", True),
    ],
)
def test_addresses_are_checked_after_resolution(
    policy: AddressPolicy | None, host: str, refused_: bool
) -> None:
    access = Access(ClusterConfig(f"https://{host}", Credential(token="t"), addresses=policy))
    if refused_:
        with pytest.raises(CliError, match="is refused"):
            access.check_address()
    else:
        access.check_address()


def test_a_document_is_downloaded_through_redirects(serve: Callable[..., Server]) -> None:
    target = serve(says(200, raw=b"kind: x"))
    server = serve(says(302, headers={"Location": f"{target.url}/there"}))
    assert read_url(server.url, timeout=5.0) == b"kind: x"
    assert "Authorization" not in target.seen[0][2]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (says(404), UnreachableError, "answered 404"),
        (
            says(302, headers={"Location": "http://elsewhere.example"}),
            CliError,
            "redirects to what is not an https",
        ),
        (says(302, headers={"Location": "/again"}), UnreachableError, "redirects too often"),
        (drips, UnreachableError, "did not answer in time"),
    ],
)
def test_downloads_that_fail(
    serve: Callable[..., Server], answer: Answer, error: type[CliError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_url(serve(answer).url, timeout=0.5)


@pytest.mark.parametrize(
    "answer",
    [says(200, raw=b"x" * (3 * MAX_BYTES)), says(200, raw=b"x", headers={"Content-Encoding": "gzip"})],
    ids=["large", "packed"],
)
def test_downloads_are_bounded(serve: Callable[..., Server], answer: Answer) -> None:
    with pytest.raises(UsageError, match="larger than 1024 KiB"):
        read_url(serve(answer).url, timeout=5.0)


def test_downloads_check_certificates(serve: Callable[..., Server], ca: trustme.CA, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    server = serve(says(200, raw=b"fine"), context=context)
    with pytest.raises(UnreachableError, match="no trusted connection") as caught:
        read_url(server.url, timeout=5.0)
    assert "give it with --file" in caught.value.next_step
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(ca.cert_pem.bytes())
    assert read_url(server.url, timeout=5.0, ca_file=str(bundle)) == b"fine"
    with pytest.raises(UnreachableError, match="no connection"):
        read_url("https://127.0.0.1:1/x", timeout=5.0)


def test_a_refusal_names_the_right_that_is_missing(serve: Callable[..., Server]) -> None:
    with cluster(serve(refused(403, "Forbidden"))) as one:
        with pytest.raises(
            RequestRefusedError, match="listing configmaps in namespace ns was refused"
        ) as caught:
            one.list(CONFIGMAPS, namespace="ns")
        assert caught.value.next_step.endswith("the missing right: list configmaps in namespace ns")
        with pytest.raises(RequestRefusedError, match="reading configmaps/ns/x was refused") as caught:
            one.get(CONFIGMAPS, "x", namespace="ns")
        assert caught.value.next_step.endswith("the missing right: get configmaps in namespace ns")
        with pytest.raises(RequestRefusedError, match="listing configmaps was refused") as caught:
            one.list(CONFIGMAPS)
        assert caught.value.next_step.endswith("the missing right: list configmaps")


def test_a_role_that_grants_too_much_is_explained_on_one_line(serve: Callable[..., Server]) -> None:
    said = (
        'user "x" is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:["a"]}\n{APIGroups:["b"]}'
    )
    answer = says(403, {"kind": "Status", "reason": "Forbidden", "message": said})
    with cluster(serve(answer)) as one, pytest.raises(RequestRefusedError) as caught:
        one.apply(CONFIGMAPS, {"metadata": {"name": "x"}}, namespace="ns")
    assert "\\x0a" not in caught.value.message
    assert "not currently held: {APIGroups" in caught.value.message
    assert "a role can be made only by those who have its rights" in caught.value.next_step
