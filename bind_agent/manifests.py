"""The shipped manifests: one copy under ``manifests/``, read from here by whatever installs them.

A wheel carries the folder inside the package, a source checkout has it beside the packages.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from bind_agent._version import __version__
from bind_agent.api import bundle
from bind_agent.api.resource import BINDINGS

KONNECTOR_REPOSITORY: Final = "bind-agent/konnector"
"""Repository of the konnector's image; the same name stands in ``manifests/konnector``."""

_IMAGE: Final = re.compile(r"[a-z0-9][a-z0-9._/:@-]*[a-zA-Z0-9._-]*")
_LONGEST_IMAGE: Final = 500


@cache
def manifests_dir() -> Path:
    """The folder ``manifests/`` of this installation.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    here = Path(__file__).resolve().parent
    for candidate in (here / "manifests", here.parent / "manifests"):
        if candidate.is_dir():
            return candidate
    message = "the manifests folder is missing from this installation; reinstall bind-agent"
    raise FileNotFoundError(message)


def load_manifests(relative: str) -> list[dict[str, Any]]:
    """All objects of one file, or of each ``*.yaml`` of a folder in name order.

    Args:
        relative: path below ``manifests/``, for instance ``crds`` or ``konnector/role.yaml``.

    Returns:
        A fresh list of fresh objects; ``kustomization.yaml`` is left out.
    """
    path = manifests_dir() / relative
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return [
        document
        for file in files
        if file.name != "kustomization.yaml"
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        if document
    ]


def konnector_image() -> str:
    """The konnector's image that belongs to this version."""
    return f"{KONNECTOR_REPOSITORY}:v{__version__}"


def is_image(text: str) -> bool:
    """Whether a text can be an image reference."""
    return len(text) <= _LONGEST_IMAGE and _IMAGE.fullmatch(text) is not None


def konnector_manifests(image: str, arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    """All objects of the konnector, in the order in which they are applied.

    Args:
        image: the konnector's.
        arguments: of the konnector.
    """
    objects = load_manifests("konnector/base") + load_manifests("konnector")
    for obj in objects:
        if obj["kind"] == "Deployment":
            container = obj["spec"]["template"]["spec"]["containers"][0]
            container["image"] = image
            if arguments:
                container["args"] = list(arguments)
    return bundle.in_order(objects)


def binding_crd() -> dict[str, Any]:
    """The CRD of bindings, which a konnector installs at its start as well."""
    (crd,) = load_manifests(f"crds/{BINDINGS.crd_name}.yaml")
    return crd


def dump(objects: list[dict[str, Any]]) -> str:
    """Objects as a stream of YAML documents, as `kubectl apply -f` reads it.

    Characters that could steer a terminal leave as escapes; parsers read the same text.
    """
    return "---\n".join(yaml.safe_dump(one, sort_keys=False, default_flow_style=False) for one in objects)
