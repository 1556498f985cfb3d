"""The shape of trusted kubeconfig documents: merging, named entries, relative paths, base64."""

import base64
import binascii
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bind_agent.kube.errors import ConfigError, clean


@dataclass(frozen=True, slots=True)
class Source:
    """A mapping of a kubeconfig, and the folder from which its relative paths count.

    Attributes:
        document: the decoded mapping.
        directory: folder of the file it comes from; empty for a document without a file.
    """

    document: Mapping[str, Any]
    directory: str

    def text(self, name: str) -> str:
        """A text field, empty when absent.

        Raises:
            ConfigError: it is something else than text.
        """
        value = self.document.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ConfigError(f"{name} in the kubeconfig must be text, not {type(value).__name__}")
        return value.strip()

    def flag(self, name: str) -> bool:
        """A boolean field, false when absent.

        Raises:
            ConfigError: it is something else than true or false.
        """
        value = self.document.get(name)
        if value is not None and not isinstance(value, bool):
            raise ConfigError(f"{name} in the kubeconfig must be true or false")
        return bool(value)

    def sequence(self, name: str) -> Sequence[Any]:
        """A list field, empty when absent.

        Raises:
            ConfigError: it is something else than a list.
        """
        value = self.document.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise ConfigError(f"{name} in the kubeconfig must be a list")
        return value

    def section(self, name: str) -> "Source | None":
        """A nested mapping, None when absent.

        Raises:
            ConfigError: it is something else than a mapping.
        """
        value = self.document.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} in the kubeconfig must be a mapping")
        return Source(value, self.directory)

    def data(self, name: str) -> bytes:
        """A base64 field, empty when absent.

        Raises:
            ConfigError: it is not base64.
        """
        try:
            return base64.b64decode("".join(self.text(name).split()), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError(f"{name} in the kubeconfig is not base64") from None

    def path(self, name: str) -> str:
        """A file path, made absolute; empty when absent."""
        value = self.text(name)
        return os.path.join(self.directory, value) if value else ""  # noqa: PTH118 - keeps absolute paths as they are


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Named entries of one or several kubeconfigs; of equal names the first one counts."""

    current: str
    contexts: Mapping[str, Source]
    clusters: Mapping[str, Source]
    users: Mapping[str, Source]

    def select(self, context: str | None, *, user: str | None = None) -> tuple[Source, Source, Source]:
        """Context, cluster and user that belong together.

        Args:
            context: name of the context; None for the current one.
            user: name of another user than the one of the context; None for that one.

        Returns:
            The three entries.

        Raises:
            ConfigError: one of them is missing.
        """
        name = context or self.current
        if not name:
            raise ConfigError("the kubeconfig has no current-context: set one, or name a context")
        chosen = _entry(self.contexts, name, "context")
        return (
            chosen,
            _entry(self.clusters, chosen.text("cluster"), "cluster"),
            _entry(self.users, user or chosen.text("user"), "user"),
        )


def merge(sources: Iterable[Source]) -> Kubeconfig:
    """Put kubeconfigs together as other clients do: the first one to name something wins.

    Raises:
        ConfigError: an entry has no shape that could be read.
    """
    current = ""
    kinds: dict[str, dict[str, Source]] = {"context": {}, "cluster": {}, "user": {}}
    for source in sources:
        current = current or source.text("current-context")
        for kind, found in kinds.items():
            for entry in source.sequence(f"{kind}s"):
                if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
                    raise ConfigError(f"an entry of {kind}s in the kubeconfig has no name")
                body = Source(entry, source.directory).section(kind) or Source({}, source.directory)
                found.setdefault(entry["name"], body)
    return Kubeconfig(current, kinds["context"], kinds["cluster"], kinds["user"])


def inline(section: Source, data: str, path: str) -> bytes | None:
    """Content of a field that may be inline (base64) or a file; None when neither is given.

    Raises:
        ConfigError: not base64, or the file cannot be read.
    """
    content = section.data(data)
    if content:
        return content
    file = section.path(path)
    if not file:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path} of the kubeconfig ({file}): {error.strerror}") from None


def _entry(entries: Mapping[str, Source], name: str, kind: str) -> Source:
    try:
        return entries[name]
    except KeyError:
        raise ConfigError(f"the kubeconfig has no {kind} {clean(name, 64)!r}") from None
