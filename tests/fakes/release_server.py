"""A server of releases on the loopback address: the file tree that the Kubernetes and etcd projects publish.

The programs in it are shell scripts that print a version. Any file can be made to go wrong in the ways that
networks and mirrors do.
"""

import hashlib
import io
import tarfile
import threading
from collections.abc import Mapping
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from bind_agent.devcluster.versions import ETCD, KUBERNETES, PROGRAMS, target


class Fault(Enum):
    """What goes wrong with a file."""

    MISSING = "answered with 404"
    BROKEN = "answered with 503"
    CHANGED = "has other bytes of the same length"
    CUT = "the connection ends after half of the announced bytes"
    CUT_UNANNOUNCED = "the connection ends after half of the bytes, and no length was announced"
    SILENT = "nothing comes at all"
    STALLS = "nothing comes after the first half"
    TRICKLES = "a byte now and then"


def script(text: str) -> bytes:
    """A program that prints a text."""
    return f"#!/bin/sh\necho '{text}'\n".encode() + b"# padding\n" * 2000


def etcd_archive(members: Mapping[str, bytes]) -> bytes:
    """A compressed archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class ReleaseFiles:
    """The files of one release.

    Attributes:
        files: Content by path.
        faults: What goes wrong, by path.
    """

    def __init__(self) -> None:
        system, machine = target()
        self.folder = f"etcd-{ETCD}-{system}-{machine}"
        self.archive = f"/etcd/{ETCD}/{self.folder}.tar.gz"
        self.sums = f"/etcd/{ETCD}/SHA256SUMS"
        self.programs = {
            name: f"/kubernetes/{KUBERNETES}/bin/{system}/{machine}/{name}"
            for name in PROGRAMS
            if name != "etcd"
        }
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Fault] = {}
        for name, path in self.programs.items():
            self.publish(path, script(f"{name} {KUBERNETES}"))
        self.publish_etcd(
            {f"{self.folder}/etcd": script(f"etcd {ETCD}"), f"{self.folder}/README.md": b"read me"}
        )

    def publish(self, path: str, data: bytes) -> None:
        """Publish a program with its checksum."""
        self.files[path] = data
        self.files[f"{path}.sha256"] = hashlib.sha256(data).hexdigest().encode()

    def publish_etcd(self, members: Mapping[str, bytes]) -> None:
        """Publish the archive of etcd among others in the list of checksums."""
        self.files[self.archive] = etcd_archive(members)
        checksum = hashlib.sha256(self.files[self.archive]).hexdigest()
        self.files[self.sums] = f"{'0' * 64}  etcd-other.zip\n{checksum}  {self.folder}.tar.gz\n".encode()


class ReleaseServer:
    """Serves release files until the block ends.

    Attributes:
        files: What it serves; may be changed at any time.
        asked: Paths that were asked for, in order.
    """

    def __init__(self) -> None:
        self.files = ReleaseFiles()
        self.asked: list[str] = []
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="releases")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def kubernetes(self) -> str:
        """Base URL of the Kubernetes programs."""
        return f"{self._base}/kubernetes"

    @property
    def etcd(self) -> str:
        """Base URL of the etcd archives."""
        return f"{self._base}/etcd"

    @property
    def _base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                try:
                    outer._answer(self)
                except OSError:
                    self.close_connection = True  # the client gave up

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        data = self.files.files.get(handler.path)
        fault = self.files.faults.get(handler.path)
        if fault is Fault.SILENT:
            self._closing.wait(30)
            return
        if fault is Fault.BROKEN or fault is Fault.MISSING or data is None:
            handler.send_error(503 if fault is Fault.BROKEN else 404)
            return
        if fault is Fault.CHANGED:
            data = bytes([data[0] ^ 1]) + data[1:]
        handler.send_response(200)
        if fault is not Fault.CUT_UNANNOUNCED:
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        half = data[: len(data) // 2]
        if fault in {Fault.CUT, Fault.CUT_UNANNOUNCED}:
            handler.wfile.write(half)
        elif fault is Fault.STALLS:
            handler.wfile.write(half)
            self._closing.wait(30)
        elif fault is Fault.TRICKLES:
            for byte in data:
                if self._closing.wait(0.05):
                    return
                handler.wfile.write(bytes([byte]))
        else:
            handler.wfile.write(data)
