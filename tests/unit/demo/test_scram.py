"""The stored form of passwords, against a published vector and against libpq."""

import base64
import hashlib
import hmac

import pytest
from psycopg import pq

from bind_agent.devcluster.demo import scram

pytestmark = pytest.mark.unit


def test_the_keys_are_those_of_the_published_example() -> None:
    # RFC 7677, section 3: user "user", password "pencil", i=4096. The RFC gives the proof and the server's
    # signature, from which the stored key (hash of the client key) and the server key are checked here.
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    stored, server = scram.verifier("pencil", salt=salt).rsplit("$", 1)[1].split(":")
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.digest(base64.b64decode(stored), message, "sha256")
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client = bytes(a ^ b for a, b in zip(signature, proof, strict=True))
    assert hashlib.sha256(client).digest() == base64.b64decode(stored)
    assert base64.b64encode(hmac.digest(base64.b64decode(server), message, "sha256")) == (
        b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )


def test_what_libpq_makes_is_recognised() -> None:
    connection = pq.PGconn.connect_start(b"host=127.0.0.1 port=1")
    try:
        made = connection.encrypt_password(b"correct horse", b"user", b"scram-sha-256").decode()
    finally:
        connection.finish()
    assert scram.matches(made, "correct horse")
    assert not scram.matches(made, "battery staple")


def test_a_verifier_matches_its_password_only() -> None:
    made = scram.verifier("one", salt=b"0123456789abcdef")
    assert scram.matches(made, "one")
    assert not scram.matches(made, "two")
    assert not scram.matches(made, "")


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "md5d41d8cd98f00b204e9800998ecf8427e",
        "one",
        "SCRAM-SHA-256$0:AAAA$AAAA:AAAA",
        "SCRAM-SHA-256$999999999:AAAA$AAAA:AAAA",
        "SCRAM-SHA-256$4096:A$A:A",
        "SCRAM-SHA-256$4096:AAAA$AAAA",
    ],
)
def test_other_forms_match_nothing(stored: str) -> None:
    assert not scram.matches(stored, "one")


def test_a_password_beyond_ascii_matches_nothing() -> None:
    assert not scram.matches(scram.verifier("one", salt=b"0123456789abcdef"), "öne")
