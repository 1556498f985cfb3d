"""Where a request document comes from: a file, standard input, or an https address."""

from pathlib import Path
from typing import BinaryIO, Final

from cli.binding.request import MAX_BYTES
from cli.errors import UnreachableError, UsageError
from cli.output import inert
from cli.web import TooLargeError, Web

_CA: Final = "where its CA is a private one, download the document yourself and give it with --file"


def read_file(path: str, stdin: BinaryIO) -> bytes:
    """A file, or standard input for ``-``, up to a byte more than allowed (the size check tells).

    Raises:
        UsageError: the file cannot be read.
    """
    if path == "-":
        return stdin.read(MAX_BYTES + 1)
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{inert(path)} cannot be read: {error.strerror}", next_step="check the path given with --file"
        ) from None


def read_url(url: str, *, timeout: float, ca_file: str = "") -> bytes:
    """Download a document.

    Only https is spoken (plain http to this machine itself), also after a redirect: the document
    decides what gets bound. No credential is sent along.

    Args:
        url: the address.
        timeout: seconds for everything together.
        ca_file: CA bundle, or empty for the system's.

    Raises:
        UsageError: the address is not https, or the document too large.
        CliError: it redirects to an address that is not https.
        UnreachableError: nothing usable came.
    """
    hint = "use https, or download the document yourself and give it with --file"
    try:
        answer = Web(timeout=timeout, ca_file=ca_file, http_hint=hint, ca_hint=_CA).get(url, limit=MAX_BYTES)
    except TooLargeError as error:
        raise UsageError(
            error.message, next_step="a request only names APIs and claims; leave everything else out"
        ) from None
    if answer.status != 200:
        raise UnreachableError(
            f"{inert(answer.url)} answered {answer.status} instead of a document",
            next_step="check the address",
        )
    return answer.body
