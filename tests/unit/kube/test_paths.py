"""Request paths: what is put together, what is encoded, and what never gets there."""

import pytest

from bind_agent.api.resource import CONFIGMAPS, NAMESPACES, SECRETS, Resource
from bind_agent.kube import paths
from bind_agent.kube.errors import InvalidName, KubeError

pytestmark = pytest.mark.unit

WIDGETS = Resource("shop.example.org", "v1beta2", "widgets")


SHOP = "/apis/shop.example.org/v1beta2/namespaces/ns/widgets"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (paths.collection(CONFIGMAPS), "/api/v1/configmaps"),
        (paths.collection(CONFIGMAPS, "ns"), "/api/v1/namespaces/ns/configmaps"),
        (paths.collection(NAMESPACES), "/api/v1/namespaces"),
        (paths.item(NAMESPACES, "ns"), "/api/v1/namespaces/ns"),
        (paths.collection(WIDGETS, "ns"), SHOP),
        (paths.item(WIDGETS, "w", "ns", "status"), f"{SHOP}/w/status"),
        (paths.item(WIDGETS, "a:b c", "ns"), f"{SHOP}/a%3Ab%20c"),
        (paths.item(WIDGETS, "..a", "ns"), f"{SHOP}/..a"),
        (paths.item(WIDGETS, "é?#&=", "ns"), f"{SHOP}/%C3%A9%3F%23%26%3D"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "/",
        "a%2fb",
        "%",
        "a\nb",
        "a\0",
        "a\r\nHost: x",
        "\x7f",
        "\u202ea",
        "a\u2028b",
        "x" * 254,
    ],
    ids=repr,
)
def test_names_that_never_reach_a_path(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        paths.item(CONFIGMAPS, name, "ns")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, KubeError)
    assert str(caught.value).isprintable()
    if name:
        with pytest.raises(InvalidName):
            paths.collection(CONFIGMAPS, name)


def test_longest_name() -> None:
    assert paths.segment("x" * 253) == "x" * 253


@pytest.mark.parametrize(
    "resource",
    [
        Resource("../x", "v1", "widgets"),
        Resource("a..b", "v1", "widgets"),
        Resource("Example.org", "v1", "widgets"),
        Resource("example.org", "../v1", "widgets"),
        Resource("example.org", "", "widgets"),
        Resource("example.org", "v1/x", "widgets"),
        Resource("example.org", "v1", "wid/gets"),
        Resource("example.org", "v1", ""),
        Resource("example.org", "v1", "widgets?x"),
    ],
    ids=str,
)
def test_resources_that_never_reach_a_path(resource: Resource) -> None:
    with pytest.raises(InvalidName):
        paths.collection(resource)


def test_scope_is_checked() -> None:
    with pytest.raises(InvalidName, match="namespaced"):
        paths.item(CONFIGMAPS, "a")
    with pytest.raises(InvalidName, match="cluster-scoped"):
        paths.item(NAMESPACES, "a", "ns")
    with pytest.raises(InvalidName, match="subresource"):
        paths.item(CONFIGMAPS, "a", "ns", "status/../x")


def test_queries() -> None:
    assert paths.query() == ""
    assert paths.query(a="", b=0, c=None, d=False) == ""
    assert paths.query(watch=True, limit=5, labelSelector="a in (b, c)") == (
        "?watch=true&limit=5&labelSelector=a%20in%20%28b%2C%20c%29"
    )


def test_secrets_are_known() -> None:
    assert paths.is_secret(SECRETS)
    assert not paths.is_secret(Resource("example.org", "v1", "secrets"))
    assert not paths.is_secret(CONFIGMAPS)
