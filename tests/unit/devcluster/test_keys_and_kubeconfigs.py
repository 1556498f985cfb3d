"""Certificates, identities that survive a restart, and kubeconfigs."""

import base64
import ipaddress
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bind_agent.devcluster.identity import Identity
from bind_agent.devcluster.kubeconfig import kubeconfig
from bind_agent.devcluster.pki import Authority, KeyPair, write_private

pytestmark = pytest.mark.unit


def certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def test_a_client_certificate_carries_user_and_groups() -> None:
    authority = Authority.create("test")
    issued = certificate(authority.client("jane", ["a", "b"]).cert_pem)
    issued.verify_directly_issued_by(certificate(authority.cert_pem))
    assert [a.value for a in issued.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["jane"]
    assert [a.value for a in issued.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["a", "b"]
    usage = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    # Python from 3.13 on asks for both in its strict checks.
    assert issued.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert certificate(authority.cert_pem).extensions.get_extension_for_class(x509.KeyUsage).critical


def test_a_serving_certificate_is_for_names_and_addresses() -> None:
    issued = certificate(Authority.create("test").serving(["localhost"], ["127.0.0.1"]).cert_pem)
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]


def test_an_identity_survives_while_its_serving_certificate_is_new(tmp_path: Path) -> None:
    first = Identity.prepare(tmp_path / "pki", "c")
    files = {path.name: path.read_text() for path in (tmp_path / "pki").iterdir()}
    second = Identity.prepare(tmp_path / "pki", "c")
    assert second.authority.cert_pem == first.authority.cert_pem
    kept = {path.name for path in (tmp_path / "pki").iterdir() if path.read_text() == files[path.name]}
    assert kept == {"ca.crt", "ca.key", "sa.crt", "sa.key"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "pki").iterdir())
    assert Identity.prepare(tmp_path / "other", "c").authority.cert_pem != first.authority.cert_pem


def test_another_kind_of_key_is_refused() -> None:
    pair = Authority.create("test").pair
    assert Authority.load(pair).cert_pem == pair.cert_pem
    with pytest.raises(ValueError, match=r"Unable to load|Could not"):
        Authority.load(KeyPair(pair.cert_pem, "no key"))


def test_a_key_does_not_show_in_a_log() -> None:
    pair = Authority.create("test").pair
    assert "PRIVATE KEY" in pair.key_pem
    assert "PRIVATE" not in repr(pair)
    assert "PRIVATE" not in f"{pair}"


def test_private_files_replace_and_do_not_follow_links(tmp_path: Path) -> None:
    path = tmp_path / "file"
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path.symlink_to(victim)
    write_private(path, "new")
    assert (path.read_text(), path.is_symlink(), victim.read_text()) == ("new", False, "mine")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "victim"]


def test_a_kubeconfig_has_one_context_and_everything_inline() -> None:
    pair = Authority.create("test").client("jane")
    text = kubeconfig(
        cluster="c", server="https://127.0.0.1:1", ca_pem="CA", user="u", namespace="n", certificate=pair
    )
    document = yaml.safe_load(text)
    assert document["current-context"] == "c"
    assert document["contexts"] == [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "n"}}]
    cluster = document["clusters"][0]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:1"
    assert base64.b64decode(cluster["certificate-authority-data"]) == b"CA"
    user = document["users"][0]["user"]
    assert base64.b64decode(user["client-key-data"]).decode() == pair.key_pem
    assert set(user) == {"client-certificate-data", "client-key-data"}


def test_a_kubeconfig_with_a_token_has_only_the_token() -> None:
    text = kubeconfig(cluster="c", server="https://127.0.0.1:1", ca_pem="CA", user="u", token="t")
    assert yaml.safe_load(text)["users"] == [{"name": "u", "user": {"token": "t"}}]


def test_a_kubeconfig_takes_exactly_one_credential() -> None:
    pair = Authority.create("test").client("jane")
    for credentials in ({}, {"token": "t", "certificate": pair}):
        with pytest.raises(ValueError, match="either"):
            kubeconfig(cluster="c", server="s", ca_pem="CA", user="u", **credentials)  # type: ignore[arg-type]
