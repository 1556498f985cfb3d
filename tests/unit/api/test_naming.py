"""What is a name, and the names that the product makes."""

import pytest

from bind_agent.api import naming

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("text", ["a", "a-b", "0", "a" * 63])
def test_labels(text: str) -> None:
    assert naming.is_label(text)


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a.b", "a_b", "a" * 64, "a\n"])
def test_not_labels(text: str) -> None:
    assert not naming.is_label(text)


def test_subdomains() -> None:
    assert naming.is_subdomain("a.b-c.d")
    assert naming.is_subdomain("a" * 253)
    for text in ("", "a..b", ".a", "a.", "A.b", "a" * 254, "a.b\n"):
        assert not naming.is_subdomain(text)


def test_groups_resources_versions() -> None:
    assert naming.is_group("")
    assert naming.is_group("example.com")
    assert not naming.is_group("example.com.-")
    assert not naming.is_group("example.com\n")
    assert naming.is_resource("databases")
    assert not naming.is_resource("d")
    assert not naming.is_resource("Databases")
    assert not naming.is_resource("databases/status")
    assert naming.is_version("v1")
    assert naming.is_version("v1alpha1")
    assert not naming.is_version("1")
    assert not naming.is_version("v0")


def test_label_keys_and_values() -> None:
    assert naming.is_label_key("app")
    assert naming.is_label_key("app.kubernetes.io/Name_x")
    for text in ("", "/a", "a/", "a/b/c", "A/b", "-a", "a" * 64):
        assert not naming.is_label_key(text)
    assert naming.is_label_value("")
    assert naming.is_label_value("A.b_c-1")
    assert not naming.is_label_value("a b")
    assert not naming.is_label_value("a" * 64)


@pytest.mark.parametrize("group", ["", "apps", "k8s.io", "rbac.authorization.k8s.io", "x.kubernetes.io"])
def test_protected_groups(group: str) -> None:
    assert naming.is_protected_group(group)


@pytest.mark.parametrize("group", ["example.com", "notk8s.io", "k8s.io.example.com"])
def test_other_groups(group: str) -> None:
    assert not naming.is_protected_group(group)


def test_service_namespace_is_readable() -> None:
    assert naming.service_namespace("cluster-7xk2p", "team") == "cluster-7xk2p-team"


def test_service_namespace_that_is_too_long_gets_a_digest() -> None:
    name = naming.service_namespace("cluster-7xk2p", "t" * 63)

    assert naming.is_label(name)
    assert len(name) == 63
    assert name.startswith("cluster-7xk2p-ttt")
    assert name != naming.service_namespace("cluster-7xk2p", "t" * 62 + "u")


def test_two_pairs_of_the_same_joined_name_get_two_namespaces() -> None:
    """Threats A30: (a, b-c) and (a-b, c)."""
    records: dict[str, str] = {}
    chosen = []
    for pair in (("a", "b-c"), ("a-b", "c")):
        name = naming.choose_service_namespace(*pair, records.get)
        assert name is not None
        records[name] = naming.service_namespace_record(*pair)
        chosen.append(name)

    assert chosen[0] == "a-b-c"
    assert chosen[1] != chosen[0]
    assert naming.is_label(chosen[1])
    # And both are found again.
    assert naming.choose_service_namespace("a", "b-c", records.get) == chosen[0]
    assert naming.choose_service_namespace("a-b", "c", records.get) == chosen[1]


def test_namespace_without_record_is_not_taken_over() -> None:
    assert naming.choose_service_namespace("a", "b", {"a-b": ""}.get) != "a-b"


def test_no_candidate_left_is_a_conflict() -> None:
    assert naming.choose_service_namespace("a", "b", lambda _name: "others/own-it") is None


def test_binding_root() -> None:
    assert naming.binding_root_namespace("ns", "edge") == "klutch-bind-ns-edge"
    long = naming.binding_root_namespace("n" * 40, "e" * 40)
    assert naming.is_label(long)
    assert long != naming.binding_root_namespace("n" * 41, "e" * 39)


def test_prefix_gets_a_dash_only_if_it_lacks_one() -> None:
    assert (
        naming.cluster_namespace_prefix("cluster")
        == naming.cluster_namespace_prefix("cluster-")
        == "cluster-"
    )


def test_shortened() -> None:
    assert naming.shortened("short") == "short"
    cut = naming.shortened("x" * 30 + "." + "y" * 80, limit=42)
    assert cut.startswith("x" * 30 + "-")
    assert naming.shortened("z" * 300, limit=253) != naming.shortened("z" * 299, limit=253)


def test_label_value() -> None:
    assert naming.label_value("databases.example.com") == "databases.example.com"
    assert naming.is_label_value(naming.label_value("d" * 200))


def test_digest_knows_the_boundary() -> None:
    assert naming.digest("a", "b-c") != naming.digest("a-b", "c")
    assert naming.digest("ab", "") != naming.digest("a", "b")
