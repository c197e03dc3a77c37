"""Archives as users have them, unpacked by the program that the engine runs."""

from __future__ import annotations

import inspect
import io
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import unpack
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import archive_names
from ansible_collections.groundwork.flask.tests.unit.git_repository import Repository

# Python as the engine starts it, in the locale that a bare host has.
PROGRAM = (sys.executable, "-I", "-c", inspect.getsource(unpack))
LATIN = os.fsdecode(b"caf\xe9")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """An empty directory, not at the top of what a test may write to."""
    (tmp_path / "above/code").mkdir(parents=True)
    return tmp_path / "above/code"


def run(packed: bytes, code: Path, strip: bool = False) -> str:
    """Unpack; what is said, "" when all went well."""
    with tempfile.TemporaryFile() as stream:
        stream.write(packed)
        stream.seek(0)
        done = subprocess.run(
            (*PROGRAM, "strip" if strip else "as it is"), stdin=stream, cwd=code, capture_output=True, check=False,
            env={"LANG": "C.UTF-8"},
        )  # fmt: skip
    said = done.stderr.decode()
    assert bool(done.returncode) == bool(said)
    assert "Traceback" not in said
    return said.strip()


def zip_of(*members: tuple[str, int, str], system: int = 3) -> bytes:
    """A zip file of names, modes and contents."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, text in members:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = system, mode << 16
            archive.writestr(info, text)
    return packed.getvalue()


def tar_of(*members: tuple[str, bytes, str]) -> bytes:
    """A tar archive of names, types, and targets or contents."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o4777
            content = b""
            if kind == tarfile.REGTYPE:
                content = text.encode()
                info.size = len(content)
            else:
                info.linkname = text
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


class TestZip:
    """Zip files, by whatever program they were made."""

    def test_modes_and_links(self, code: Path) -> None:
        packed = zip_of(
            ("shop/run", stat.S_IFREG | 0o755, "#!"), ("shop/app.py", stat.S_IFREG | 0o664, "1"),
            ("shop/bare", 0, "1"), ("shop/link", stat.S_IFLNK | 0o777, "app.py"), ("shop/empty/", 0, ""),
        )  # fmt: skip
        assert run(packed, code, strip=True) == ""
        modes = {path.name: path.lstat().st_mode & 0o777 for path in code.iterdir() if path.is_file()}
        assert modes == {"run": 0o755, "app.py": 0o644, "bare": 0o644, "link": 0o777}
        assert os.readlink(code / "link") == "app.py"
        assert (code / "empty").is_dir()

    def test_as_git_makes_it(self, tmp_path: Path, code: Path) -> None:
        """The same as GitHub's "Download ZIP"."""
        repository = Repository(tmp_path / "shop")
        (repository.path / "manage").write_text("#!/bin/sh\n")
        (repository.path / "manage").chmod(0o755)
        (repository.path / "latest").symlink_to("manage")
        (repository.path / LATIN).write_text("latin")
        (repository.path / "grüße").write_text("utf-8")
        repository.commit(app="1")
        repository.git("archive", "--format=zip", "--prefix=shop-main/", f"--output={tmp_path}/shop.zip", "HEAD")
        assert run((tmp_path / "shop.zip").read_bytes(), code, strip=True) == ""
        names = {os.fsencode(path.name) for path in code.iterdir()}
        assert names == {b"app.py", b"manage", b"latest", b"caf\xe9", "grüße".encode()}
        assert os.access(code / "manage", os.X_OK)
        assert (code / "latest").read_text() == "#!/bin/sh\n"

    def test_of_macos(self, code: Path) -> None:
        packed = zip_of(("shop/app.py", 0o100644, "x"), ("__MACOSX/shop/._app.py", 0o100644, "attributes"))
        assert run(packed, code, strip=True) == ""
        assert os.listdir(code) == ["app.py"]
        (code / "shop.zip").write_bytes(packed)
        assert archive_names(str(code / "shop.zip")) == {"app.py"}

    def test_of_windows(self, code: Path) -> None:
        assert run(zip_of(("shop\\static\\a.css", 0, "x"), system=0), code) == ""
        assert (code / "shop/static/a.css").read_text() == "x"

    @pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "a\\..\\..\\b"])
    def test_what_leads_out(self, code: Path, name: str) -> None:
        said = run(zip_of((name, 0, "x"), system=0), code)
        assert said.endswith("in the archive leads out of it")
        assert list(code.parent.iterdir()) == [code]

    def test_what_cannot_be_read(self, code: Path) -> None:
        packed = bytearray(zip_of(("a", 0, "x" * 1000)))
        packed[40] ^= 0xFF
        assert "cannot be read" in run(bytes(packed), code)
        assert "cannot be read" in run(b"no archive", code)
        assert "cannot be read" in run(b"", code)


class TestTar:
    """Tar archives."""

    def test_names_modes_and_links(self, code: Path) -> None:
        packed = tar_of(
            (f"./{LATIN}", FILE, "1"), ("new\nline", FILE, "2"), ("a", FILE, "3"), ("b", HARD, "a"),
            ("c", LINK, "a"), ("gone", LINK, "/nowhere"), ("a", FILE, "4"), ("c", FILE, "5"),
        )  # fmt: skip
        assert run(packed, code) == ""
        assert {os.fsencode(path.name) for path in code.iterdir()} == {
            b"caf\xe9",
            b"new\nline",
            b"a",
            b"b",
            b"c",
            b"gone",
        }
        assert ((code / "a").read_text(), (code / "b").read_text(), (code / "c").read_text()) == ("4", "3", "5")
        assert (code / "a").stat().st_mode & 0o7777 == 0o755
        assert not (code / "c").is_symlink()

    @pytest.mark.parametrize(
        ("members", "said"),
        [
            ([("../a", FILE, "")], "'../a' in the archive leads out of it"),
            ([("/a", FILE, "")], "'/a' in the archive leads out of it"),
            ([("out", LINK, ".."), ("out/a", FILE, "")], "'out/a' in the archive leads through a link"),
            ([("out", LINK, "/tmp"), ("out/b/a", FILE, "")], "'out/b/a' in the archive leads through a link"),
            ([("a", HARD, "/etc/passwd")], "'/etc/passwd' in the archive leads out of it"),
            ([("a", HARD, "../x")], "'../x' in the archive leads out of it"),
            ([("l", LINK, "/etc/passwd"), ("a", HARD, "l")], "'a' in the archive is a hard link to 'l', not in it"),
            ([("a", HARD, "none")], "'a' in the archive is a hard link to 'none', not in it"),
            ([("null", tarfile.CHRTYPE, "")], "'null' in the archive is neither a file, a directory nor a link: leave"),
            ([("fifo\x1b", tarfile.FIFOTYPE, "")], r"'fifo\x1b' in the archive is neither a file"),
        ],
    )
    def test_what_is_refused(self, code: Path, members: list[tuple[str, bytes, str]], said: str) -> None:
        assert run(tar_of(*members), code).startswith(said)
        assert list(code.parent.iterdir()) == [code]
        assert not [path for path in code.iterdir() if not path.is_symlink()]
