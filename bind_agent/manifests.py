"""The shipped manifests: one copy under ``manifests/``, read from here by whatever installs them.

A wheel carries the folder inside the package, a source checkout has it beside the packages.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


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
