"""Where consumers find this cluster: pure (spec 4.1 `--external-*`, W-B8).

A kubeconfig with an address that is only reachable inside the cluster, or without a CA, is useless to a
consumer and fails far away from its cause. So it is never made: there is an address and a CA, or an error
that names the flag.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

_LOOPBACK: Final = ("127.", "localhost", "::1")


class AddressError(ValueError):
    """No address that a consumer could use; the message names the flag to set."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a consumer reaches this cluster's API server.

    Attributes:
        server: https URL.
        ca_pem: certificates that its certificate must lead to.
        tls_server_name: name expected in its certificate instead of the URL's host; empty for none.
    """

    server: str
    ca_pem: bytes = field(repr=False)
    tls_server_name: str = ""


@dataclass(frozen=True, slots=True)
class External:
    """The `--external-*` flags.

    Attributes:
        address: https URL, or empty.
        ca_pem: content of the CA file, or empty.
        server_name: name in the certificate, or empty.
    """

    address: str = ""
    ca_pem: bytes = field(default=b"", repr=False)
    server_name: str = ""


def check_address(address: str) -> str:
    """Check `--external-address`.

    Returns:
        The address without a slash at its end.

    Raises:
        AddressError: it is no https URL with a host.
    """
    try:
        parts = urlsplit(address)
        usable = parts.scheme == "https" and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or parts.username or parts.password or parts.query or parts.fragment:
        message = (
            "the external address must be an https URL with a host, for instance https://api.example.org:6443"
        )
        raise AddressError(message)
    return address.rstrip("/")


def check_ca(data: bytes) -> bytes:
    """Check the content of `--external-ca-file`.

    Raises:
        AddressError: it holds no certificate, or a private key, which must not travel to consumers.
    """
    if b"PRIVATE KEY" in data:
        raise AddressError("the external CA file holds a private key: give the certificates only")
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise AddressError("the external CA file holds no PEM certificate")
    return data


def resolve(
    external: External, *, server: str, ca_pem: bytes | None, tls_server_name: str, in_cluster: bool
) -> Endpoint:
    """The endpoint to hand out.

    Args:
        external: the flags.
        server: address in the backend's own configuration.
        ca_pem: CA in the backend's own configuration.
        tls_server_name: server name in the backend's own configuration.
        in_cluster: the configuration is a pod's, so its address is the service address of the cluster.

    Returns:
        The flags where they are given, else the own configuration.

    Raises:
        AddressError: neither gives something that a consumer can use.
    """
    if not external.address and in_cluster:
        message = (
            "inside a cluster the own address is of no use to consumers: set --external-address to"
            " the https URL"
            " at which app clusters reach this API server"
        )
        raise AddressError(message)
    address = external.address or server
    if urlsplit(address).scheme != "https":
        raise AddressError("the API server's address is not https: set --external-address")
    ca = external.ca_pem or ca_pem
    if not ca:
        message = (
            "the CA of the API server is not known: set --external-ca-file to the PEM file that"
            " consumers need to"
            " check its certificate"
        )
        raise AddressError(message)
    # The own server name belongs to the own address; another address has another certificate.
    name = external.server_name or ("" if external.address else tls_server_name)
    return Endpoint(server=address.rstrip("/"), ca_pem=ca, tls_server_name=name)


def is_local(server: str) -> bool:
    """Whether an address can only be reached from this machine (worth a remark to the person)."""
    host = urlsplit(server).hostname or ""
    return host.startswith(_LOOPBACK)
