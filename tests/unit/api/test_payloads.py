"""Documents between backend, browser and CLI (spec 3.10)."""

from typing import Any

import pytest

from bind_agent.api import encoding, payloads
from bind_agent.api.validation import InvalidObject

pytestmark = pytest.mark.unit

PROVIDER = payloads.binding_provider("Example", "v1.5.0", "https://host/authorize")
REQUEST = {
    "apiVersion": "klutch.anynines.com/v1alpha1",
    "kind": "APIServiceExportRequest",
    "metadata": {"name": "mangodbs.mangodb.com"},
    "spec": {"resources": [{"group": "mangodb.com", "resource": "mangodbs", "permissionClaims": None}]},
    "status": {},
}


def response(**changes: Any) -> dict[str, Any]:
    document = payloads.binding_response(
        session_id="abc123", identity="i/s", kubeconfig=b"s3cret", requests=(REQUEST,)
    )
    return {**document, **changes}


def test_provider() -> None:
    found = payloads.parse_binding_provider(PROVIDER)

    assert found.login_url() == "https://host/authorize"
    assert found.version == "v1.5.0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apiVersion": "klutch.anynines.com/v1alpha1"}, "apiVersion: must be v1alpha1"),
        ({"kind": "Other"}, "kind: must be BindingProvider"),
        ({"version": ""}, "version: must not be empty"),
        ({"authenticationMethods": None}, "must offer OAuth2CodeGrant"),
        ({"authenticationMethods": [{"method": "Telepathy"}]}, "must offer OAuth2CodeGrant"),
        ({"authenticationMethods": [{"method": "OAuth2CodeGrant"}]}, "must offer OAuth2CodeGrant"),
        ({"authenticationMethods": "x"}, "Expected `array`"),
    ],
)
def test_provider_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidObject, match=message):
        payloads.parse_binding_provider({**PROVIDER, **change})


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "/authorize", "https://", "file:///etc/passwd", "http://[x"]
)
def test_provider_with_odd_login_address(url: str) -> None:
    with pytest.raises(InvalidObject, match="absolute http"):
        payloads.parse_binding_provider(payloads.binding_provider("x", "v1.0.0", url))


@pytest.mark.parametrize("encode", [encoding.to_base64, encoding.to_base64_urlsafe])
def test_response_of_either_alphabet(encode: Any) -> None:
    import orjson

    found = payloads.parse_binding_response(encode(orjson.dumps(response())), session_id="abc123")

    assert found.kubeconfig_bytes() == b"s3cret"
    assert found.export_requests()[0].spec.resources[0].group_resource == "mangodbs.mangodb.com"


def test_response_never_prints_the_kubeconfig() -> None:
    text = payloads.encode_binding_response(response())
    found = payloads.parse_binding_response(text, session_id="abc123")

    assert repr(found) == "BindingResponse(session='abc123', requests=1)"
    assert list(found.__rich_repr__()) == [("requests", 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apiVersion": "v1"}, "apiVersion: must be klutch"),
        ({"kind": "x"}, "kind: must be BindingResponse"),
        ({"kubeconfig": ""}, "kubeconfig: must not be empty"),
        ({"kubeconfig": "$$$"}, "not base64"),
        ({"authentication": {}}, "belongs to another session"),
        ({"authentication": {"oauth2CodeGrant": {"sid": "other"}}}, "belongs to another session"),
        ({"requests": {}}, "Expected `array`"),
    ],
)
def test_response_refused(change: dict[str, Any], message: str) -> None:
    text = payloads.encode_binding_response(response(**change))

    with pytest.raises(InvalidObject, match=message) as caught:
        payloads.parse_binding_response(text, session_id="abc123")

    assert "s3cret" not in str(caught.value)
    assert encoding.to_base64(b"s3cret") not in str(caught.value)


@pytest.mark.parametrize("text", ["", "###", "bm8ganNvbg=="])
def test_response_that_is_no_document(text: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        payloads.parse_binding_response(text, session_id="abc123")
    assert "ganNvbg" not in str(caught.value)


def test_response_needs_a_session_to_answer() -> None:
    text = payloads.encode_binding_response(response(authentication={}))

    with pytest.raises(InvalidObject, match="another session"):
        payloads.parse_binding_response(text, session_id="")


def test_requests_are_checked_only_when_asked_for() -> None:
    text = payloads.encode_binding_response(response(requests=[{"kind": "Pod"}]))
    found = payloads.parse_binding_response(text, session_id="abc123")

    with pytest.raises(InvalidObject, match="must be APIServiceExportRequest"):
        found.export_requests()
