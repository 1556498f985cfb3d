"""Fixtures of the backend's unit tests."""

import pytest
import trustme


@pytest.fixture(scope="session")
def real_ca() -> bytes:
    """A CA certificate as PEM."""
    return trustme.CA().cert_pem.bytes()
