"""What root does with a tree that an app can write: no link leads it out, nothing makes it wait, no mode stays open."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import trees

APP = 4321  # the account of an app


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with files, and links of each kind; beside it a file that is none of it."""
    (tmp_path / "secret").write_text("secret")
    path = tmp_path / "tree"
    (path / "a/deep").mkdir(parents=True)
    (path / "b").mkdir()
    (path / "file").write_text("file")
    (path / "b/file").write_text("b")
    for name, target in {
        "in": "b/file",
        "a/up": "../b/file",
        "directory": "b",
        "a/deep/down": "../../directory/../in",
        "absolute": str(tmp_path / "secret"),
        "absolute-in": str(path / "file"),
        "out": "../secret",
        "a/out": "../b/../../secret",
        "outside": "..",
        "self": "self",
        "loop-1": "loop-2",
        "loop-2": "loop-1",
        "gone": "nowhere",
    }.items():
        (path / name).symlink_to(target)
    return path


@pytest.fixture(autouse=True)
def _descriptors(tmp_path: Path) -> Iterator[None]:
    """Whatever happens, each descriptor is closed. Threads that other tests have left open and close others."""
    yield
    assert [found for found in descriptors() if f"{tmp_path}/" in f"{found}/"] == []


def descriptors() -> Iterator[str]:
    """What the descriptors of this process lead to."""
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile, as that of this list is
            yield os.readlink(f"/proc/self/fd/{number}")


OPENED: list[tuple[str, str | int]] = [
    ("file", "file"),
    ("b/file", "b"),
    ("./b//file", "b"),
    ("/b/file", "b"),
    ("a/../b/file", "b"),
    ("a/deep/../../file", "file"),
    ("in", "b"),
    ("a/up", "b"),
    ("directory/file", "b"),
    ("a/deep/down", "b"),
    ("..", errno.EXDEV),
    ("../secret", errno.EXDEV),
    ("a/../../secret", errno.EXDEV),
    ("../tree/file", errno.EXDEV),
    ("absolute", errno.EXDEV),
    ("absolute-in", errno.EXDEV),
    ("out", errno.EXDEV),
    ("a/out", errno.EXDEV),
    ("outside/secret", errno.EXDEV),
    ("self", errno.ELOOP),
    ("loop-1", errno.ELOOP),
    ("self/file", errno.ELOOP),
    ("gone", errno.ENOENT),
    ("nowhere/file", errno.ENOENT),
    ("file/file", errno.ENOTDIR),
    ("b", errno.EINVAL),
    ("", errno.EINVAL),
    ("x" * 300, errno.ENAMETOOLONG),
]


class TestOpen:
    """Reading a file that the app names."""

    @pytest.mark.parametrize(("name", "found"), OPENED, ids=[row[0][:20] or "the tree" for row in OPENED])
    def test_by_name(self, tree: Path, name: str, found: str | int) -> None:
        if isinstance(found, str):
            assert trees.read_text(tree, name) == found
        else:
            with pytest.raises(OSError) as error:  # noqa: PT011 (its number is asked for)
                trees.read_text(tree, name)
            assert error.value.errno == found
        assert trees.is_file(tree, name) is isinstance(found, str)

    @pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
    def test_what_is_no_file_makes_nobody_wait(self, tree: Path, kind: str) -> None:
        make_special(tree / "special", kind)
        with pytest.raises(OSError, match=r"regular file|No such device"):
            trees.read_text(tree, "special")
        assert not trees.is_file(tree, "special")
        assert trees.names(tree, "special") == []

    @pytest.mark.parametrize(("size", "fits"), [(0, True), (10, True), (11, False), (2**40, False)])
    def test_no_more_than_is_asked_for(self, tree: Path, size: int, fits: bool) -> None:
        (tree / "file").write_bytes(b"")
        os.truncate(tree / "file", size)
        if fits:
            assert trees.read_bytes(tree, "file", 10) == bytes(size)
        else:
            with pytest.raises(OSError, match="it is longer than 10 bytes"):
                trees.read_bytes(tree, "file", 10)

    def test_what_is_no_utf_8(self, tree: Path) -> None:
        (tree / os.fsdecode(b"\xff.txt")).write_bytes(b"a\xff")
        assert trees.read_text(tree, os.fsdecode(b"\xff.txt")) == "a\ufffd"

    def test_the_tree_itself_is_no_link(self, tree: Path) -> None:
        (tree.parent / "link").symlink_to(tree)
        for ask in (
            lambda path: trees.read_text(path, "file"),
            lambda path: trees.link(path, "file", tree.parent / "target"),
            lambda path: trees.take(path, APP, APP),
            lambda path: list(trees.walk(path)),
        ):
            with pytest.raises(NotADirectoryError):
                ask(tree.parent / "link")
        assert (tree / "file").stat().st_uid == os.geteuid()

    def test_names(self, tree: Path) -> None:
        assert trees.names(tree, "b") == trees.names(tree, "directory") == ["file"]
        assert [trees.names(tree, name) for name in ("file", "outside", "gone", "..")] == [[]] * 4


class TestLink:
    """A file of the app's gets another name in a directory of root's."""

    @pytest.mark.parametrize(("name", "same"), [("file", "file"), ("in", "b/file"), ("a/up", "b/file")])
    def test_to_the_file(self, tree: Path, tmp_path: Path, name: str, same: str) -> None:
        trees.link(tree, name, tmp_path / "target")
        assert (tmp_path / "target").samefile(tree / same)
        assert not (tmp_path / "target").is_symlink()

    @pytest.mark.parametrize("name", ["absolute", "out", "outside/secret", "../secret", "self"])
    def test_never_out_of_the_tree(self, tree: Path, tmp_path: Path, name: str) -> None:
        with pytest.raises(OSError, match=r"leads out of the tree|Too many levels"):
            trees.link(tree, name, tmp_path / "target")
        assert not os.path.lexists(tmp_path / "target")


def make_special(path: Path, kind: str) -> None:
    """Make what is neither file, directory nor link."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))
    else:
        with socket.socket(socket.AF_UNIX) as sock:
            here = os.getcwd()
            os.chdir(path.parent)  # the path of a socket may not be long
            sock.bind(path.name)
            os.chdir(here)


def nested(tree: Path, levels: int, name: str = "d") -> None:
    """Make directories in directories, below a path of any length."""
    descriptor = os.open(tree, os.O_RDONLY)
    for _level in range(levels):
        os.mkdir(name, dir_fd=descriptor)
        inner = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


class TestWalk:
    """What is below a directory, as it is at that moment."""

    def test_each_directory_before_what_is_in_it(self, tree: Path) -> None:
        found = [item.path for item in trees.walk(tree) if not stat.S_ISLNK(item.status.st_mode)]
        assert found == ["a", "a/deep", "b", "b/file", "file"]
        links = [item.path for item in trees.walk(tree) if stat.S_ISLNK(item.status.st_mode)]
        assert "a/deep/down" in links
        assert "directory/file" not in links

    @pytest.mark.parametrize(
        "become",
        [
            lambda path: path.symlink_to("../tree-2"),
            lambda path: path.symlink_to("/"),
            lambda path: path.write_text("file"),
            os.mkfifo,
            lambda _path: None,
        ],
        ids=["a link", "a link to /", "a file", "a fifo", "nothing"],
    )
    def test_a_directory_that_becomes_something_else(self, tree: Path, become: Callable[[Path], object]) -> None:
        (tree.parent / "tree-2").mkdir()
        (tree.parent / "tree-2/other").touch()
        found = []
        for item in trees.walk(tree):
            found.append(item.path)
            if item.path == "b":
                (tree / "b").rename(tree.parent / "b-of-before")
                become(tree / "b")
        assert [path for path in found if path.startswith("b/") or path.endswith("other")] == []
        assert found[-1] == "self", "it goes on"

    def test_a_directory_that_is_moved_away_is_the_same(self, tree: Path) -> None:
        """What its parent's descriptor says counts, and not what its path says by then."""
        for item in trees.walk(tree):
            if item.path == "b/file":
                (tree / "b").rename(tree / "c")
                (tree / "b").symlink_to("..")
                assert os.stat(item.name, dir_fd=item.parent).st_size == 1

    def test_no_deeper_than_any_source_tree(self, tree: Path) -> None:
        nested(tree / "b", trees.LEVEL_LIMIT - 2)
        assert len(list(trees.walk(tree / "b"))) == trees.LEVEL_LIMIT - 1
        nested(tree / "a/deep", trees.LEVEL_LIMIT)
        for walk in (lambda: list(trees.walk(tree)), lambda: trees.take(tree, 0, 0), lambda: trees.size(tree)):
            with pytest.raises(OSError, match="more than 200 levels"):
                walk()

    def test_names_that_are_no_utf_8(self, tree: Path) -> None:
        (tree / os.fsdecode(b"\xff")).mkdir()
        (tree / os.fsdecode(b"\xff/\xfe\n")).touch()
        assert [item.path for item in trees.walk(tree)][-2:] == ["\udcff", "\udcff/\udcfe\n"]

    def test_size(self, tree: Path) -> None:
        before = trees.size(tree)
        (tree / "b/more").write_bytes(bytes(100_000))
        os.truncate(tree / "file", 2**40)
        assert 100_000 <= trees.size(tree) - before < 200_000, "a hole takes no room"


class TestTake:
    """A tree gets another owner, and nobody else keeps a hand in it."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (0o644, 0o644),
            (0o755, 0o755),
            (0o600, 0o640),  # packed under a umask of 077: the app is to read it
            (0o700, 0o750),
            (0o777, 0o755),
            (0o664, 0o644),
            (0o4755, 0o755),
            (0o2755, 0o755),
            (0o1777, 0o755),
            (0o6777, 0o755),
            (0o000, 0o000),
        ],
        ids=oct,
    )
    def test_modes(self, tree: Path, before: int, after: int) -> None:
        for path in (tree, tree / "b", tree / "b/file"):
            os.chown(path, APP, APP)
            path.chmod(before)
        trees.take(tree, os.geteuid(), APP)
        for path in (tree, tree / "b", tree / "b/file"):
            found = path.stat()
            assert (found.st_uid, found.st_gid, oct(stat.S_IMODE(found.st_mode))) == (os.geteuid(), APP, oct(after))

    def test_all_of_it_and_nothing_else(self, tree: Path) -> None:
        (tree / os.fsdecode(b"\xff")).touch()
        outside = [tree.parent / "secret", tree.parent]
        before = [(path.stat().st_uid, path.stat().st_mode) for path in outside]
        trees.take(tree, APP, APP)
        assert {path.lstat().st_uid for path in (tree, *tree.rglob("*"))} == {APP}
        assert [(path.stat().st_uid, path.stat().st_mode) for path in outside] == before
        assert (tree / "out").is_symlink()

    @pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
    def test_what_is_neither_file_nor_directory_goes(self, tree: Path, kind: str) -> None:
        make_special(tree / "b/special", kind)
        trees.take(tree, os.geteuid(), APP)
        assert os.listdir(tree / "b") == ["file"]

    def test_files_only(self, tree: Path) -> None:
        trees.take(tree, os.geteuid(), APP, files_only=True)
        assert sorted(item.path for item in trees.walk(tree)) == ["a", "a/deep", "b", "b/file", "file"]
        assert (tree.parent / "secret").read_text() == "secret"

    def test_a_file_of_two_names(self, tree: Path) -> None:
        """Its other name may be anywhere that the app could write: the file is not its own any more."""
        os.link(tree / "file", tree.parent / "other")
        os.chown(tree / "file", APP, APP)
        (tree / "file").chmod(0o666)
        trees.take(tree, os.geteuid(), APP)
        assert (tree.parent / "other").stat().st_uid == os.geteuid()
        assert oct((tree.parent / "other").stat().st_mode & 0o777) == "0o644"

    @pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
    def test_what_becomes_a_link_meanwhile(
        self, tree: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
    ) -> None:
        secret, path, real = tree.parent / "secret", tree / "swapped", os.chown
        secret.chmod(0o666)
        make(path)
        path.chmod(0o777)

        def chown(name: str, *rest: int, **options: Any) -> None:
            real(name, *rest, **options)
            if name == path.name:
                path.rename(tree.parent / "taken-away")
                path.symlink_to(secret)

        monkeypatch.setattr(os, "chown", chown)
        with pytest.raises(OSError, match="symbolic links"):
            trees.take(tree, APP, APP)
        assert (secret.stat().st_uid, oct(secret.stat().st_mode & 0o777)) == (os.geteuid(), "0o666")


class TestRemove:
    """Whatever an app has made there."""

    def test_a_path_of_5000_characters(self, tmp_path: Path) -> None:
        (tmp_path / "tree").mkdir()
        nested(tmp_path / "tree", 20, "d" * 250)
        trees.remove(tmp_path / "tree")
        assert list(tmp_path.iterdir()) == []

    def test_links_and_not_what_they_lead_to(self, tree: Path) -> None:
        trees.remove(tree / "out", tree / "directory", tree / "gone")
        assert (tree / "b/file").exists()
        assert not os.path.lexists(tree / "gone")
        trees.remove(tree, tree / "not there")
        assert [path.name for path in tree.parent.iterdir()] == ["secret"]

    @pytest.mark.parametrize("name", [b"\xff", b"-rf", b"a\nb", b" ", b"*"])
    def test_names(self, tmp_path: Path, name: bytes) -> None:
        path = tmp_path / os.fsdecode(name)
        path.mkdir()
        (path / os.fsdecode(name)).touch()
        (tmp_path / "other").touch()
        trees.remove(path)
        assert [path.name for path in tmp_path.iterdir()] == ["other"]

    def test_nothing(self) -> None:
        trees.remove()

    def test_what_cannot_be_removed_is_named(self, tree: Path) -> None:
        with pytest.raises(OSError, match="refusing to remove") as error:
            trees.remove(tree / "b", f"{tree}/a/.")
        assert f"{tree}/a/." in str(error.value)
        assert not (tree / "b").exists()
