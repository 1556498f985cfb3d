"""What a person sees of the login: the address on the terminal, headings, words and links of pages. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import parse_qs, urlsplit

_ADDRESS: Final = re.compile(r"\s+(https?://\S+)")
_MOST_WORDS: Final = 300
_TOLD: Final = frozenset({"h1", "p"})


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link of a page.

    Attributes:
        href: where it leads, as written.
        classes: its classes.
        text: what it says.
    """

    href: str
    classes: frozenset[str]
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """What matters of a page.

    Attributes:
        heading: the first heading.
        words: its paragraphs, shortened.
        anchors: its links, in order.
    """

    heading: str
    words: str
    anchors: tuple[Anchor, ...]

    def bind(self, plural: str, group: str) -> Anchor | None:
        """The link that binds an API: its class is the plural (wire contract, 4.3); None when there is none."""
        for anchor in self.anchors:
            address = urlsplit(anchor.href)
            wanted = {"resource": [plural], "group": [group]}
            query = {name: value for name, value in parse_qs(address.query).items() if name in wanted}
            if plural in anchor.classes and address.path.endswith("/bind") and query == wanted:
                return anchor
        return None


def printed_address(line: str) -> str:
    """The address that `kubectl bind URL` prints for the browser; empty when a line is something else."""
    found = _ADDRESS.fullmatch(line.rstrip())
    return found[1] if found else ""


def read_page(html: str) -> Page:
    """Read a page; whatever is not well-formed is left out."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    words = " ".join(text for tag, text in reader.told if tag == "p")
    heading = next((text for tag, text in reader.told if tag == "h1"), "")
    return Page(
        heading, words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…", tuple(reader.anchors)
    )


class _Reader(HTMLParser):
    """Collects headings, paragraphs and links."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.told: list[tuple[str, str]] = []
        self.anchors: list[Anchor] = []
        self._open: str = ""
        self._text: list[str] = []
        self._link: tuple[str, frozenset[str]] | None = None
        self._link_text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self._link, self._link_text = (given["href"], frozenset(given.get("class", "").split())), []
        elif tag in _TOLD:
            self._end_text()  # a paragraph need not be closed
            self._open = tag if given.get("aria-hidden") != "true" else ""

    def handle_data(self, data: str) -> None:
        if self._link is not None:
            self._link_text.append(data)
        if self._open:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._link is not None:
            href, classes = self._link
            self.anchors.append(Anchor(href, classes, _joined(self._link_text)))
            self._link = None
        elif tag == self._open:
            self._end_text()

    def close(self) -> None:
        super().close()
        self._end_text()

    def _end_text(self) -> None:
        if self._open and (text := _joined(self._text)):
            self.told.append((self._open, text))
        self._open, self._text = "", []


def _joined(texts: Iterable[str]) -> str:
    return " ".join("".join(texts).split())
