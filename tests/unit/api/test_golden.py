"""Golden vectors of spec section 12: what the Go programs compute, byte for byte."""

import orjson
import pytest

from bind_agent.api import base62, naming, payloads
from bind_agent.api.conversion import binding_owner
from bind_agent.api.payloads import LoginState

pytestmark = pytest.mark.unit

ZERO_UID = "00000000-0000-0000-0000-000000000000"
OTHER_UID = "3f1b6c0e-9d3f-4a37-8c53-0f7f3f1f9b11"
STATE = (
    "eyJyZWRpcmVjdFVSTCI6Imh0dHA6Ly9sb2NhbGhvc3Q6MTIzNDUvY2FsbGJh"
    "Y2siLCJzaWQiOiJhYmMxMjMiLCJjaWQiOiJkZWY0NTYifQ=="
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ZERO_UID, "6EbPozMiZe3yNDtnN9p69Clx98PUarmSc6CZbN"),
        (OTHER_UID, "4F83NxTHBF6lGXfC1g2mkWp9RYqRkZwGY8Tq2t"),
        ('{"group":"mangodb.com"}', "469MdUdbOr0TFPPEw7Qez8uKim09uBuG8pZjXK"),
    ],
)
def test_base62_of_sha224(text: str, expected: str) -> None:
    assert base62.sha224(text.encode()) == expected


@pytest.mark.parametrize(("uid", "expected"), [(ZERO_UID, "6EbPoz"), (OTHER_UID, "4F83Nx")])
def test_cluster_id(uid: str, expected: str) -> None:
    assert base62.cluster_id(uid) == expected


def test_base62_of_nothing_and_zero() -> None:
    assert base62.encode(b"") == base62.encode(b"\0\0") == ""
    assert base62.encode(b"\x3e") == "10"


@pytest.mark.parametrize(
    ("binding", "template", "expected"),
    [
        ("my-binding", "postgresql", "appclusterbinding-my-binding-postgresql-2ee91e53"),
        ("control-plane-test", "mangodbs", "appclusterbinding-control-plane-test-mangodbs-e35fb3e0"),
        (
            "a-very-long-app-cluster-binding-name",
            "postgresqlinstances",
            "appclusterbinding-a-very-long-app-cluster--postgresqli-d4d47a19",
        ),
        (
            "Team_A.prod",
            "mangodbs.mangodb.com",
            "appclusterbinding-team-a-prod-mangodbs-mangodb-com-d2896475",
        ),
    ],
)
def test_export_request_names(binding: str, template: str, expected: str) -> None:
    assert naming.export_request(binding, template) == expected
    assert len(expected) <= 63


def test_export_request_names_of_nothing() -> None:
    name = naming.export_request("--", "__")

    assert name.startswith("appclusterbinding-binding-export-")


def test_state() -> None:
    state = LoginState(redirect_url="http://localhost:12345/callback", sid="abc123", cid="def456")

    assert payloads.encode_state(state) == STATE
    assert payloads.decode_state(STATE) == state


@pytest.mark.parametrize(
    ("url", "differs"), [("https://x.example/c?ab=1", True), ("https://x.example/cb?ab=1", False)]
)
def test_alphabets_differ_as_described(url: str, *, differs: bool) -> None:
    """Spec 12.4: a question mark on the third byte of a group; we read both."""
    state = LoginState(redirect_url=url, sid="abc123", cid="def456")
    text = payloads.encode_state(state)

    assert ("_" in text or "-" in text) is differs
    assert (
        payloads.decode_state(text)
        == payloads.decode_state(text.replace("_", "/").replace("-", "+"))
        == state
    )


def test_binding_provider_sample() -> None:
    assert payloads.binding_provider("example-backend", "v1.5.0", "https://host/authorize") == {
        "apiVersion": "v1alpha1",
        "kind": "BindingProvider",
        "providerPrettyName": "example-backend",
        "version": "v1.5.0",
        "authenticationMethods": [
            {
                "method": "OAuth2CodeGrant",
                "oauth2CodeGrant": {"authenticatedURL": "https://host/authorize"},
            }
        ],
    }


def test_binding_response_sample() -> None:
    request = {
        "apiVersion": "klutch.anynines.com/v1alpha1",
        "kind": "APIServiceExportRequest",
        "metadata": {"name": "mangodbs.mangodb.com"},
        "spec": {"resources": [{"group": "mangodb.com", "resource": "mangodbs"}]},
        "status": {},
    }
    assert payloads.binding_response(
        session_id="abc123", identity="https://issuer/sub", kubeconfig=b"kube", requests=(request,)
    ) == {
        "apiVersion": "klutch.anynines.com/v1alpha1",
        "kind": "BindingResponse",
        "authentication": {"oauth2CodeGrant": {"sid": "abc123", "id": "https://issuer/sub"}},
        "kubeconfig": "a3ViZQ==",
        "requests": [request],
    }


def test_documents_have_the_bytes_that_go_writes() -> None:
    """The fields in Go's order, nothing for what is empty, no line break."""
    provider = payloads.binding_provider("Shop", "v1.5.0", "https://host/authorize")
    assert orjson.dumps(provider) == (
        b'{"kind":"BindingProvider","apiVersion":"v1alpha1","providerPrettyName":"Shop","version":"v1.5.0",'
        b'"authenticationMethods":[{"method":"OAuth2CodeGrant",'
        b'"oauth2CodeGrant":{"authenticatedURL":"https://host/authorize"}}]}'
    )
    response = payloads.binding_response(
        session_id="abc123", identity="https://issuer/sub", kubeconfig=b"kube", requests=({"kind": "X"},)
    )
    assert orjson.dumps(response) == (
        b'{"kind":"BindingResponse","apiVersion":"klutch.anynines.com/v1alpha1",'
        b'"authentication":{"oauth2CodeGrant":{"sid":"abc123","id":"https://issuer/sub"}},'
        b'"kubeconfig":"a3ViZQ==","requests":[{"kind":"X"}]}'
    )


def test_owner_reference_of_crd() -> None:
    assert binding_owner("mangodbs.mangodb.com", "u") == {
        "apiVersion": "klutch.anynines.com/v1alpha1",
        "kind": "APIServiceBinding",
        "name": "mangodbs.mangodb.com",
        "uid": "u",
        "controller": True,
    }
