"""Checks of single fields of a kubeconfig that came from the other side; see `intake`."""

import base64
import binascii
import re
import ssl
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

from bind_agent.kube.addresses import AddressPolicy, parse_address
from bind_agent.kube.errors import ConfigError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?"
)
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:RSA |EC )?PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END (?:RSA |EC )?PRIVATE KEY-----"
)


class IntakeError(ConfigError):
    """A kubeconfig of the other side is refused.

    Attributes:
        reason: one word, the same in conditions, events and the CLI.
        next_step: what a person should do.
    """

    def __init__(self, reason: str, what: str, next_step: str) -> None:
        self.reason = reason
        self.next_step = next_step
        super().__init__(f"{what}; {next_step}" if next_step else what)


def server(url: str, policy: AddressPolicy) -> str:
    """The address of the API server.

    Args:
        url: as in the kubeconfig.
        policy: where it may point.

    Returns:
        The URL, normalised: lower-case host, no default port, no slash at its end.

    Raises:
        IntakeError: not https, not a plain URL of a host (and a path at most), or an address that is not
            allowed.
    """
    if not url:
        raise IntakeError(
            "ServerMissing", "the kubeconfig names no server", "set it to the URL of the API server"
        )
    parts = _split(url)
    if parts.scheme != "https":
        raise IntakeError("PlainHTTPNotAllowed", "server of the kubeconfig is not an https URL", "use https")
    if "@" in parts.netloc:
        raise _bad_server("holds a user or password")
    if "?" in url or "#" in url:
        raise _bad_server("has a query or fragment")
    if not _PATH.fullmatch(parts.path) or any(piece in {".", ".."} for piece in parts.path.split("/")):
        raise _bad_server("has an odd path")
    host, port = parts.hostname or "", parts.port
    address = parse_address(host)
    if "%" in host or port == 0 or (address is None and (not _HOST.fullmatch(host) or _is_numeric(host))):
        raise _bad_server("has no valid host and port")
    refusal = policy.refusal(host)
    if refusal:
        raise IntakeError(
            "AddressNotAllowed",
            f"server of the kubeconfig points to {host}, which {refusal}",
            "use an address that is reachable from outside, or allow it at the konnector",
        )
    shown = f"[{address.compressed}]" if isinstance(address, IPv6Address) else host
    return f"https://{shown}{f':{port}' if port not in {None, 443} else ''}{parts.path.rstrip('/')}"


def server_name(name: str) -> str:
    """The name expected in the server's certificate; empty for the host of the URL.

    Raises:
        IntakeError: it is neither a host name nor an IP address.
    """
    if name and not _HOST.fullmatch(name) and parse_address(name) is None:
        raise IntakeError(
            "ServerNameInvalid", "tls-server-name of the kubeconfig is no host name", "fix or remove it"
        )
    return name


def namespace(name: str, *, required: bool) -> str:
    """The namespace of the context.

    Raises:
        IntakeError: it is no valid name, or missing although required.
    """
    if not name and required:
        raise IntakeError(
            "NamespaceMissing",
            "the context of the kubeconfig has no namespace",
            "set it to the namespace that the provider gave",
        )
    if name and not _NAME.fullmatch(name):
        raise IntakeError(
            "NamespaceInvalid", "the namespace of the kubeconfig is no valid name", "fix the kubeconfig"
        )
    return name


def token(value: str) -> str:
    """A bearer token that a header can carry; may be empty.

    Raises:
        IntakeError: it holds characters that no token has.
    """
    stripped = value.strip()
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise IntakeError(
            "TokenInvalid", "the token of the kubeconfig holds characters that no token has", "copy it again"
        )
    return stripped


def authorities(encoded: str) -> bytes | None:
    """CA certificates (PEM) out of base64; None when there are none.

    Raises:
        IntakeError: not base64 of PEM, or no certificates in it.
    """
    name = "certificate-authority-data"
    certificates = pem(encoded, name, CERTIFICATE)
    if not certificates:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise _bad_pem(name) from None
    return certificates


def pem(encoded: str, name: str, block: re.Pattern[bytes]) -> bytes:
    """The PEM blocks of a base64 field, and nothing but them.

    Args:
        encoded: value of the field.
        name: name of the field.
        block: `CERTIFICATE` or `PRIVATE_KEY`.

    Returns:
        The blocks, or nothing for an empty field.

    Raises:
        IntakeError: not base64, or no such block in it.
    """
    text = "".join(encoded.split())
    if not text:
        return b""
    try:
        blocks = block.findall(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        blocks = []
    if not blocks:
        raise _bad_pem(name)
    return b"\n".join(blocks) + b"\n"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _bad_server("is no URL") from None
    # Some parsers drop blanks and line ends, some take a backslash for a slash: nobody is to read another
    # URL.
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise _bad_server("holds characters that no URL has")
    return parts


def _bad_server(what: str) -> IntakeError:
    return IntakeError("ServerInvalid", f"server of the kubeconfig {what}", "write it as https://host:port")


def _bad_pem(name: str) -> IntakeError:
    return IntakeError("PEMInvalid", f"{name} of the kubeconfig is not PEM in base64", "fix the kubeconfig")


def _is_numeric(host: str) -> bool:
    """Addresses in spellings that resolvers take and parsers do not: 0x7f.1, 2130706433, 0177.0.0.1."""
    return re.fullmatch(r"0[xX][0-9a-fA-F]*|[0-9]+", host.rstrip(".").rpartition(".")[2]) is not None
