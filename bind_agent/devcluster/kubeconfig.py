"""kubeconfig texts with everything inline, so that one file is all that a client needs."""

import base64
from typing import Any

import yaml

from bind_agent.devcluster.pki import KeyPair


def kubeconfig(
    *,
    cluster: str,
    server: str,
    ca_pem: str,
    user: str,
    namespace: str = "default",
    certificate: KeyPair | None = None,
    token: str | None = None,
) -> str:
    """Write a kubeconfig with one cluster, one user and one context named like the cluster.

    Args:
        cluster: Name of cluster and context.
        server: URL of the API server.
        ca_pem: Certificate authority that the server's certificate is checked against.
        user: Name of the user entry.
        namespace: Namespace of the context.
        certificate: Client certificate and key.
        token: Bearer token.

    Raises:
        ValueError: Not exactly one of ``certificate`` and ``token`` is given.
    """
    credential: dict[str, str]
    if certificate is not None and token is None:
        credential = {
            "client-certificate-data": _encoded(certificate.cert_pem),
            "client-key-data": _encoded(certificate.key_pem),
        }
    elif token is not None and certificate is None:
        credential = {"token": token}
    else:
        raise ValueError("a kubeconfig takes either a client certificate or a token")
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster, "cluster": {"server": server, "certificate-authority-data": _encoded(ca_pem)}}
        ],
        "users": [{"name": user, "user": credential}],
        "contexts": [
            {"name": cluster, "context": {"cluster": cluster, "user": user, "namespace": namespace}}
        ],
        "current-context": cluster,
    }
    return yaml.safe_dump(document, sort_keys=False)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
