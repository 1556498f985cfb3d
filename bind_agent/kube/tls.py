"""The TLS context of one cluster: strict, shared by all its connections, renewed in place."""

import os
import ssl
import tempfile
from pathlib import Path

from bind_agent.kube.errors import CredentialError


def harden(context: ssl.SSLContext, *, strict_x509: bool) -> None:
    """Set what must not depend on defaults: TLS 1.2 or later, and how strict certificates are read.

    Args:
        context: context of a client.
        strict_x509: demand RFC 5280 to the letter, which old cluster CAs may fail.
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if strict_x509:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    else:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT


def load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Put a client certificate into a context; handshakes from now on use it.

    OpenSSL's Python interface reads certificates from files only.  The file lives in a private folder,
    readable by this user alone, and is gone before this function returns.

    Args:
        context: context of a client, possibly in use.
        certificate: chain, PEM.
        key: private key, PEM, not encrypted.

    Raises:
        CredentialError: not PEM, the key does not belong to the certificate, or the key is encrypted.
    """
    with tempfile.TemporaryDirectory(prefix="bind-agent-") as folder:
        path = Path(folder) / "client.pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate.rstrip() + b"\n" + key)
        try:
            # The empty password keeps OpenSSL from asking on a terminal.
            context.load_cert_chain(path, password="")
        except (ssl.SSLError, ValueError, OSError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            raise CredentialError(f"the client certificate or its key cannot be used ({reason})") from None
