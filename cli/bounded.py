"""Reading an answer whose sender nobody knows: bounded in size, and in time as a whole.

The usual ways to read a response wait for each piece anew, so a server that sends a byte now and then
holds them for ever, and they unpack whatever compression the server chose.
"""

import time
from typing import Final

import requests
from urllib3.exceptions import HTTPError

PLAIN: Final = {"Accept-Encoding": "identity"}
"""Header of requests whose answers `read` reads."""

_PIECE: Final = 65536


class AnswerTooLargeError(requests.RequestException):
    """The answer has more bytes than it may have, or an encoding that was not asked for."""


def read(response: requests.Response, *, limit: int, deadline: float) -> bytes:
    """Read the body of a response that was opened with ``stream=True``.

    Args:
        response: the response.
        limit: greatest number of bytes.
        deadline: `time.monotonic` at which reading ends.

    Raises:
        AnswerTooLargeError: more bytes, or compressed.
        requests.exceptions.ReadTimeout: not complete in time.
        requests.exceptions.ConnectionError: the connection broke.
    """
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise AnswerTooLargeError("an encoding that was not asked for")
    pieces: list[bytes] = []
    size = 0
    while True:
        try:
            piece = response.raw.read1(_PIECE, decode_content=False)
        except HTTPError as error:
            kind = requests.exceptions.ReadTimeout if "timed out" in str(error) else requests.ConnectionError
            raise kind("the answer broke off") from None
        if not piece:
            return b"".join(pieces)
        size += len(piece)
        if size > limit:
            raise AnswerTooLargeError(f"more than {limit} bytes")
        if time.monotonic() > deadline:
            raise requests.exceptions.ReadTimeout("slow answer")
        pieces.append(piece)
