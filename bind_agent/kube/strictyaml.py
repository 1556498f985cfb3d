"""YAML of the other side: plain data only, bounded, without the features that surprise.

Built on the event stream of the parser, so that nothing is constructed, expanded or nested before it was
checked: no anchors and aliases (a few lines can stand for gigabytes), no tags, no duplicate keys (two
programs would read two different documents), no second document, no deep nesting.  Scalars stay text; nothing
is guessed from their looks.
"""

from typing import Final

import yaml

MAX_DEPTH: Final = 12
MAX_NODES: Final = 2000

Node = dict[str, "Node"] | list["Node"] | str | None
"""Nothing (an empty scalar or `null`) is None; every other scalar is its text."""


class StrictYamlError(ValueError):
    """The document is refused; the message says why and never quotes it."""


def parse(data: bytes) -> Node:
    """Decode one document.

    Args:
        data: UTF-8 text; a byte order mark is allowed, other encodings are not.

    Returns:
        Nested dicts, lists and texts.

    Raises:
        StrictYamlError: not UTF-8, not YAML, or one of the features that are not accepted.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StrictYamlError("it is not UTF-8 text") from None
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.take(event)
    except yaml.YAMLError as error:
        # The parser's own message quotes the document.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise StrictYamlError(f"it is not valid YAML{where}") from None
    return builder.root


class _Builder:
    """Puts nodes together; beside the open collections it holds the key that waits for its value."""

    def __init__(self) -> None:
        self.root: Node = None
        self._documents = 0
        self._nodes = 0
        self._open: list[dict[str, Node] | list[Node]] = []
        self._keys: list[str | None] = []

    def take(self, event: yaml.Event) -> None:
        """Take the next event of the parser."""
        line = f"line {event.start_mark.line + 1}" if event.start_mark else "somewhere"
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise StrictYamlError(f"it holds more than one document ({line})")
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise StrictYamlError(f"anchors and aliases are not accepted ({line})")
        elif isinstance(event, yaml.ScalarEvent):
            self._check_tag(event.tag, line)
            self._add(_scalar(event), line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._check_tag(event.tag, line)
            self._push({} if isinstance(event, yaml.MappingStartEvent) else [], line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()

    def _push(self, collection: dict[str, Node] | list[Node], line: str) -> None:
        self._add(collection, line)
        if len(self._open) >= MAX_DEPTH:
            raise StrictYamlError(f"it is nested too deeply ({line})")
        self._open.append(collection)
        self._keys.append(None)

    def _add(self, node: Node, line: str) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise StrictYamlError(f"it has more than {MAX_NODES} entries")
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent, list):
            parent.append(node)
            return
        key = self._keys[-1]
        if key is not None:
            parent[key] = node
            self._keys[-1] = None
        elif not isinstance(node, str):
            raise StrictYamlError(f"a key is not text ({line})")
        elif node in parent:
            raise StrictYamlError(f"a key is given twice ({line})")
        else:
            self._keys[-1] = node

    def _check_tag(self, tag: str | None, line: str) -> None:
        # "!" alone only says "do not guess the type", which is not done anyway.
        if tag not in {None, "!"}:
            raise StrictYamlError(f"tags are not accepted ({line})")


def _scalar(event: yaml.ScalarEvent) -> str | None:
    plain = event.style is None
    value: str = event.value
    return None if plain and value in {"", "~", "null", "Null", "NULL"} else value
