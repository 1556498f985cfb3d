"""The keys that make a cluster what it is: authority, serving certificate, service account key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bind_agent.devcluster.pki import Authority, KeyPair, signing_key, write_private
from bind_agent.devcluster.ports import LOOPBACK

_SERVING_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True, slots=True)
class Identity:
    """Keys of a cluster that outlive a restart on the same data.

    Attributes:
        authority: Signs the serving certificate and every client certificate.
    """

    authority: Authority

    @classmethod
    def prepare(cls, folder: Path, cluster: str) -> Self:
        """Read the keys of a cluster from a folder, or make them there.

        The authority and the service account key are kept when they exist: tokens and root certificates
        stored in the cluster's data depend on them. The serving certificate is always new.

        Args:
            folder: Created with mode 0700 when missing.
            cluster: Name, for the subject of the authority.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ca = _read(folder, "ca")
        authority = Authority.load(ca) if ca is not None else Authority.create(f"{cluster} authority")
        if ca is None:
            _write(folder, "ca", authority.pair)
        if _read(folder, "sa") is None:
            _write(folder, "sa", signing_key())
        _write(folder, "apiserver", authority.serving(_SERVING_NAMES, (LOOPBACK, "10.0.0.1")))
        return cls(authority)


def _read(folder: Path, name: str) -> KeyPair | None:
    try:
        return KeyPair((folder / f"{name}.crt").read_text(), (folder / f"{name}.key").read_text())
    except FileNotFoundError:
        return None


def _write(folder: Path, name: str, pair: KeyPair) -> None:
    write_private(folder / f"{name}.key", pair.key_pem)
    write_private(folder / f"{name}.crt", pair.cert_pem)
