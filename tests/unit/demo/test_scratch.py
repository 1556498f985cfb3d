"""Temporary folders: removed at the end, and after somebody who had no end."""

import os
from pathlib import Path

import pytest

from bind_agent.devcluster.demo import scratch

pytestmark = pytest.mark.unit


def test_a_folder_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with scratch.folder("t-", root=tmp_path) as folder:
        (folder / "file").write_text("x")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_holds_is_swept_and_what_somebody_holds_stays(tmp_path: Path) -> None:
    (tmp_path / "t-old" / "data").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "t-link").symlink_to(tmp_path / "other")
    with scratch.folder("t-", root=tmp_path) as first, scratch.folder("t-", root=tmp_path) as second:
        assert first != second
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [first.name, second.name, "other", "t-link"]
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make somebody else's folder")
def test_somebody_else_s_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "t-foreign").mkdir()
    os.chown(tmp_path / "t-foreign", 65534, 65534)
    with scratch.folder("t-", root=tmp_path):
        assert (tmp_path / "t-foreign").is_dir()
