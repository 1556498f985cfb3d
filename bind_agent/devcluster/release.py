"""Fetches the programs that the Kubernetes and etcd projects publish, with their published SHA-256.

Where the network refuses, this has to fail within seconds, because there is another way to the programs:
short time to connect, a limit on silence and on slowness, no repetition.
"""

import hashlib
import re
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from bind_agent.devcluster.errors import ChecksumError, DownloadError
from bind_agent.devcluster.progress import Percentage, Progress
from bind_agent.devcluster.versions import ETCD, KUBERNETES, PROGRAMS, target

KUBERNETES_BASE = "https://dl.k8s.io/release"
ETCD_BASE = "https://github.com/etcd-io/etcd/releases/download"
_CHUNK = 1 << 18
_CHECKSUM_BYTES = 1 << 16
_FILE_BYTES = 1 << 30
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download may take.

    Attributes:
        connect: Seconds to connect.
        silence: Seconds without a byte.
        window: Seconds over which the rate is measured.
        rate: Least bytes per second over a window.
    """

    connect: float = 4.0
    silence: float = 15.0
    window: float = 20.0
    rate: float = 64 * 1024


class ReleaseServer:
    """The two places that releases come from."""

    def __init__(
        self, *, kubernetes: str = KUBERNETES_BASE, etcd: str = ETCD_BASE, patience: Patience | None = None
    ) -> None:
        """Name the places.

        Args:
            kubernetes: Base URL of the Kubernetes programs, up to before the version.
            etcd: Base URL of the etcd archives, up to before the version.
            patience: Time limits.
        """
        self._kubernetes = kubernetes.rstrip("/")
        self._etcd = etcd.rstrip("/")
        self._patience = patience or Patience()

    def fetch(self, folder: Path, progress: Progress) -> None:
        """Fetch all programs into ``folder/bin``.

        Raises:
            ChecksumError: A file is not what was published.
            DownloadError: A file cannot be fetched.
        """
        system, machine = target()
        with requests.Session() as session:
            # Checksums first: they are small, so a network that refuses is noticed at once.
            archive = f"etcd-{ETCD}-{system}-{machine}.tar.gz"
            sums = self._text(session, f"{self._etcd}/{ETCD}/SHA256SUMS")
            wanted = {}
            for program in PROGRAMS[1:]:
                url = f"{self._kubernetes}/{KUBERNETES}/bin/{system}/{machine}/{program}"
                wanted[url] = (program, _checksum(self._text(session, f"{url}.sha256"), None, url))
            etcd_url = f"{self._etcd}/{ETCD}/{archive}"
            etcd_sum = _checksum(sums, archive, etcd_url)
            for url, (program, checksum) in wanted.items():
                path = folder / "bin" / program
                self._file(session, url, path, checksum, progress)
                path.chmod(0o755)
            packed = folder / archive
            self._file(session, etcd_url, packed, etcd_sum, progress)
        unpack_etcd(packed, f"etcd-{ETCD}-{system}-{machine}/etcd", folder / "bin" / "etcd")
        packed.unlink()

    def _text(self, session: requests.Session, url: str) -> str:
        data = b"".join(self._stream(session, url, _CHECKSUM_BYTES)[1])
        return data.decode(errors="replace")

    def _file(
        self, session: requests.Session, url: str, path: Path, checksum: str, progress: Progress
    ) -> None:
        total, chunks = self._stream(session, url, _FILE_BYTES)
        digest = hashlib.sha256()
        label = f"downloading {url.rsplit('/', 1)[1]} {KUBERNETES if '/bin/' in url else ''}".rstrip()
        with Percentage(progress, label, total) as meter, path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                meter.add(len(chunk))
        if digest.hexdigest() != checksum:
            raise ChecksumError(
                f"{url} has SHA-256 {digest.hexdigest()}, published is {checksum}: it was changed or cut off "
                "on the way, and nothing of it is used"
            )

    def _stream(self, session: requests.Session, url: str, limit: int) -> tuple[int | None, Iterator[bytes]]:
        timeout = (self._patience.connect, self._patience.silence)
        try:
            answer = session.get(url, stream=True, timeout=timeout, headers={"Accept-Encoding": "identity"})
        except requests.RequestException as error:
            raise DownloadError(f"{urlsplit(url).netloc} cannot be reached: {_cause(error)}") from error
        if answer.status_code != 200:
            answer.close()
            raise DownloadError(f"{url} is answered with HTTP {answer.status_code}")
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        return total, self._chunks(answer, url, total, limit)

    def _chunks(self, answer: requests.Response, url: str, total: int | None, limit: int) -> Iterator[bytes]:
        done, mark, since = 0, 0, time.monotonic()
        with closing(answer):
            try:
                # Raw reads give what has arrived; iter_content would wait for a whole chunk and hide
                # slowness.
                while chunk := answer.raw.read1(_CHUNK):
                    done += len(chunk)
                    if done > limit:
                        raise DownloadError(f"{url} is larger than {limit} bytes")
                    yield chunk
                    passed = time.monotonic() - since
                    if passed >= self._patience.window:
                        if (done - mark) / passed < self._patience.rate:
                            raise DownloadError(
                                f"{url} comes too slowly: {(done - mark) / passed:.0f} bytes/s"
                            )
                        mark, since = done, time.monotonic()
            except (requests.RequestException, OSError, _urllib3_error()) as error:
                raise DownloadError(f"{url} broke off after {done} bytes: {_cause(error)}") from error
        if total is not None and done != total:
            raise DownloadError(f"{url} broke off after {done} of {total} bytes")


def unpack_etcd(archive: Path, member: str, program: Path) -> None:
    """Take one program out of an archive; names in the archive decide nothing about where it goes.

    Raises:
        DownloadError: The archive cannot be read or lacks the program.
    """
    try:
        with tarfile.open(archive, "r:gz") as packed:
            source = packed.extractfile(member)
            if source is None:
                raise DownloadError(f"{archive.name} holds no file {member}")
            with source, program.open("wb") as file:
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
    except (KeyError, tarfile.TarError, EOFError, OSError) as error:
        raise DownloadError(f"{archive.name} does not hold {member}: {error}") from error
    program.chmod(0o755)


def _checksum(text: str, name: str | None, url: str) -> str:
    """Find the checksum in ``<hash>`` or in lines of ``<hash>  <name>``."""
    for line in text.splitlines():
        fields = line.split()
        if fields and _SHA256.fullmatch(fields[0]) and (name is None or fields[-1].lstrip("*") == name):
            return fields[0]
    raise DownloadError(f"no SHA-256 is published for {url}")


def _cause(error: BaseException) -> str:
    """Return the innermost reason: the outer ones are the libraries' own wrapping."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None:
            return str(error) or type(error).__name__
        error = inner


def _urllib3_error() -> type[Exception]:
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    return HTTPError
