"""Certificates and keys of one cluster.

Elliptic curve keys throughout: an RSA key takes longer to make than a server to start. Nothing is valid for
longer than a year; a playground is not a place to keep things.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)
#: Certificates are valid from a little earlier: clocks of other machines and containers differ.
_BACKDATED = datetime.timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its private key, both PEM."""

    cert_pem: str
    key_pem: str

    def __repr__(self) -> str:
        """Leave the key out: a value of this type may end up in a log."""
        return "KeyPair(...)"


class Authority:
    """A certificate authority that signs for one cluster."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, common_name: str) -> Self:
        """Make a new self-signed authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, pair: KeyPair) -> Self:
        """Read an authority that was saved.

        Raises:
            ValueError: The pair is not an elliptic curve certificate and key.
        """
        key = serialization.load_pem_private_key(pair.key_pem.encode(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is of another kind than expected")  # noqa: TRY004
        return cls(x509.load_pem_x509_certificate(pair.cert_pem.encode()), key)

    @property
    def pair(self) -> KeyPair:
        """Certificate and key, to be saved."""
        return KeyPair(_cert_pem(self._certificate), _key_pem(self._key))

    @property
    def cert_pem(self) -> str:
        """The certificate, for kubeconfigs."""
        return _cert_pem(self._certificate)

    def serving(self, names: Sequence[str], addresses: Sequence[str]) -> KeyPair:
        """Sign a server certificate for the DNS names and IP addresses."""
        san = x509.SubjectAlternativeName(
            [
                *(x509.DNSName(name) for name in names),
                *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
            ]
        )
        return self._sign(names[0], (), ExtendedKeyUsageOID.SERVER_AUTH, san)

    def client(self, username: str, groups: Sequence[str] = ()) -> KeyPair:
        """Sign a client certificate; common name and organisations become Kubernetes user and groups."""
        return self._sign(username, groups, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _sign(
        self,
        common_name: str,
        organisations: Sequence[str],
        usage: x509.ObjectIdentifier,
        san: x509.SubjectAlternativeName | None,
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organisations),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            # Python from 3.13 on refuses certificates without it.
            .add_extension(issuer_key, critical=False)
        )
        if san is not None:
            builder = builder.add_extension(san, critical=False)
        return KeyPair(_cert_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key))


def signing_key() -> KeyPair:
    """Make the key that signs service account tokens: the public key stands in place of a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return KeyPair(public.decode(), _key_pem(key))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it appears complete or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _cert_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
