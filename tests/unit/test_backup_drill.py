"""A drill compares what it has restored with the list of the snapshot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.backup.drill import compare


def test_compare(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d" / "file").write_text("12345")
    (tmp_path / "d" / "link").symlink_to("file")

    def node(path: str, kind: str, **more: Any) -> dict[str, Any]:
        found = os.lstat(tmp_path / "d")
        return {"struct_type": "node", "path": path, "type": kind, "uid": found.st_uid, "gid": found.st_gid, **more}

    mode = (tmp_path / "d" / "file").stat().st_mode
    good = [
        {"struct_type": "snapshot"},
        node("/d", "dir", mode=2147484136),
        node("/d/file", "file", mode=mode, size=5),
        node("/d/link", "symlink", mode=134218239),
    ]
    assert list(compare(good, tmp_path)) == []
    bad = [
        node("/d", "dir", mode=0o755),
        node("/d/file", "file", mode=mode, size=6),
        node("/d/gone", "file", mode=mode, size=6),
        node("/d/link", "file", mode=mode, size=5),
    ]
    assert list(compare(bad, tmp_path)) == [
        "/d has another mode",
        "/d/file has 5 bytes instead of 6",
        "/d/gone is missing",
        "/d/link is not a file",
    ]
