"""Which addresses a connection may go to.

A kubeconfig of the other side decides where this process sends requests, from inside its own network.  The
rules are checked on literal addresses at intake and again on every address that a name resolves to, because a
name can change its meaning between the two (design section 5, threats A43).
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

# Names that only mean something inside the cluster in which this process runs.
_IN_CLUSTER = (".svc", ".cluster.local")
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data"})


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What a server address may be.

    Attributes:
        private: private ranges (RFC 1918, unique local, carrier-grade NAT) and in-cluster service names are
            allowed.
        loopback: this machine is allowed (playground and tests).
    """

    private: bool = True
    loopback: bool = False

    def refusal(self, host: str) -> str:
        """Why a host must not be used.

        Args:
            host: a name, or an IP address without brackets.

        Returns:
            Half a sentence, or an empty string when the host is fine (a name still has to pass after
            resolution).
        """
        address = parse_address(host)
        if address is not None:
            return self._address(address)
        name = host.lower().rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):
            return "" if self.loopback else "is this machine itself"
        if name in _METADATA_NAMES:
            return "is a metadata service"
        if not self.private and (
            name.endswith(_IN_CLUSTER) or "." not in name or name.startswith("kubernetes.default")
        ):
            return "is a name inside the own cluster or network"
        return ""

    def _address(self, address: Address) -> str:
        if isinstance(address, IPv6Address):
            inner = (
                address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
            )
            if inner is not None:
                return self._address(inner)
        # The order matters: loopback and link-local addresses count as private, too.
        if address.is_loopback:
            return "" if self.loopback else "is this machine itself"
        if address.is_link_local:
            return "is a link-local address (metadata services live there)"
        if address.is_multicast or address.is_unspecified or _is_reserved(address):
            return "is no address of a server"
        if not address.is_global and not self.private:
            return "is a private address"
        return ""


def parse_address(host: str) -> Address | None:
    """The IP address that a host is, or None for a name; zone indexes are dropped."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by literal address or by its reserved name."""
    address = parse_address(host)
    if address is None:
        return host.lower().rstrip(".") == "localhost"
    return address.is_loopback


def _is_reserved(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        # 0.0.0.0/8 reaches this machine on Linux; 240.0.0.0/4 holds the broadcast address.
        return address.is_reserved or address.packed[0] == 0
    return False
