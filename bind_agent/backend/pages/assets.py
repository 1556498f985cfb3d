"""Static files of the pages: package data, read once, addressed by content."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from typing import Final

from bind_agent.backend.http.headers import STATIC

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file.

    Attributes:
        name: of the file.
        url: with the content's digest, so that it may be kept for ever.
        type: value of Content-Type.
        etag: its digest in quotes.
        body: as it is.
        packed: compressed by gzip.
    """

    name: str
    url: str
    type: str
    etag: str
    body: bytes = field(repr=False)
    packed: bytes = field(repr=False)


def load() -> Mapping[str, Asset]:
    """All static files by name; files of other types (licences, notes) are not served."""
    found = {}
    for file in resources.files("bind_agent.backend.pages").joinpath("static").iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in _TYPES:
            found[file.name] = _asset(file.name, _TYPES[suffix], file.read_bytes())
    return MappingProxyType(found)


def _asset(name: str, kind: str, body: bytes) -> Asset:
    digest = hashlib.sha256(body).hexdigest()[:16]
    return Asset(
        name=name,
        url=f"{STATIC}{name}?v={digest}",
        type=kind,
        etag=f'"{digest}"',
        body=body,
        packed=gzip.compress(body, mtime=0),
    )
