"""The build of a dependency, or of the app itself, leaves links where root works on, and files where builds look."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import testing
from attacker import Attacker
from testing import on_host

BUILD_CACHES = on_host("build_caches")
MALLORY_CURRENT = on_host("current", "mallory")
MALLORY_DATA = on_host("data", "mallory")


def plant(mallory: Attacker, attack: str) -> None:
    """Let the next build run some Python as its very first."""
    mallory.code(
        {
            "requirements.txt": "flask\n./evil\n",
            "evil/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "evil"\nbackend-path = ["."]\n',
            "evil/evil.py": f"{mallory.canary('build')}\n{attack}\n"
            "def build_wheel(directory, *_rest):\n"
            "    import zipfile\n"
            "    name = 'evil-1-py3-none-any.whl'\n"
            "    with zipfile.ZipFile(os.path.join(directory, name), 'w') as wheel:\n"
            "        about = 'Metadata-Version: 2.1\\nName: evil\\nVersion: 1\\n'\n"
            "        wheel.writestr('evil-1.dist-info/METADATA', about)\n"
            "        wheel.writestr('evil-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nTag: py3-none-any\\n')\n"
            "        wheel.writestr('evil-1.dist-info/RECORD', '')\n"
            "    return name\n",
        }
    )


def test_links_in_what_is_published_lead_nowhere(mallory: Attacker) -> None:
    """A way to root: a hashed static file of the release before is inherited into a link to a directory."""
    mallory.sh("mkdir -p /etc/systemd/system/nginx.service.d")
    mallory.code({"static/drop/canary.3f9c01d2ab44.conf": "[Service]\n"}, proxy={"static": {"/static/": "static"}})
    mallory.deploy()
    plant(
        mallory,
        "here = pathlib.Path.cwd()\n"
        "release = next(path for path in here.parents if path.parent.name == 'releases')\n"
        "(release / 'public/static').mkdir(exist_ok=True)\n"
        "for name, target in (('drop', '/etc/systemd/system/nginx.service.d'), ('key', '/etc/important.conf')):\n"
        "    if not os.path.lexists(release / 'public/static' / name):\n"
        "        os.symlink(target, release / 'public/static' / name)\n"
        "        os.mkfifo(release / 'public/static' / f'{name}.pipe')\n"
        "        os.mkfifo(release / 'code' / f'{name}.pipe')\n",
    )
    mallory.deploy()
    shown = mallory.sh(f"cd {MALLORY_CURRENT}/ && find public -not -type d; find code -type p")
    assert sorted(shown.split()) == ["public/static/drop/canary.3f9c01d2ab44.conf", "public/static/page.css"]


def test_what_a_build_leaves_runs_in_no_other(mallory: Attacker) -> None:
    """Its home, its configuration of installers, its Python: the next build has its own."""
    evil = mallory.canary("later").replace("\n", "\\n").replace('"', '\\"')
    plant(
        mallory,
        f'evil = "{evil}"\n'
        "homes = {os.environ['HOME'], os.environ['UV_CACHE_DIR'], os.environ['PIP_CACHE_DIR'], '/tmp', '/var/tmp'}\n"
        "for home in homes:\n"
        "    for version in ('3.11', '3.13'):\n"
        "        place = pathlib.Path(home, f'.local/lib/python{version}/site-packages')\n"
        "        place.mkdir(parents=True, exist_ok=True)\n"
        "        (place / 'usercustomize.py').write_text(evil)\n"
        "    pathlib.Path(home, '.config/uv').mkdir(parents=True, exist_ok=True)\n"
        "    pathlib.Path(home, '.config/uv/uv.toml').write_text('index-url = \"http://127.0.0.1:9/\"\\n')\n"
        "    if not os.path.lexists(f'{home}/known_hosts'):\n"
        "        os.symlink('/etc/important.conf', f'{home}/known_hosts')\n",
    )
    mallory.deploy()
    assert mallory.sh(f"ls {BUILD_CACHES}/mallory/packages")
    mallory.code({"requirements.txt": "flask\nitsdangerous\n"})
    mallory.deploy()
    mallory.run("true")
    assert testing.find(mallory.host, "-name canary-later") == []


def test_a_build_sees_neither_data_nor_the_sources_of_later_ones(mallory: Attacker) -> None:
    mallory.run(f"echo secret > {MALLORY_DATA}/secret")
    own = (MALLORY_DATA, on_host("cache", "mallory"), f"{BUILD_CACHES}/mallory/source")
    others = (on_host("data", "guestbook"), on_host("home", "guestbook"), f"{on_host('runtime')}/release")
    plant(
        mallory,
        f"for place in {own + others}:\n"
        "    try:\n"
        "        found = os.listdir(place)\n"
        "    except OSError:\n"
        "        continue\n"
        "    raise SystemExit(f'{place} can be read: {found}')\n",
    )
    mallory.deploy()


# Waits in the running app for an open file of the build's, and writes to it for as long as it can.
KEEP = """
import os, socket, time
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.bind("\\0hand-over")
_message, (file,), _flags, _address = socket.recv_fds(sock, 10, 1)
for _turn in range(300):
    os.pwrite(file, b"raise SystemExit('forged')", 0)
    time.sleep(0.1)
"""


def test_a_build_hands_nothing_open_over_to_the_running_app(mallory: Attacker) -> None:
    """It could go on to write to the code when that is root's."""
    mallory.run(f"cat > {MALLORY_DATA}/keep.py <<'END'\n{KEEP}\nEND")
    mallory.run(f"nohup setsid python3 {MALLORY_DATA}/keep.py > {MALLORY_DATA}/kept 2>&1 &")
    plant(
        mallory,
        "import socket\n"
        "code = next(path for path in pathlib.Path.cwd().parents if path.name == 'code')\n"
        "try:\n"
        "    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "    sock.connect('\\0hand-over')\n"
        "    socket.send_fds(sock, [b'x'], [os.open(code / 'owned.py', os.O_RDWR)])\n"
        "except OSError as error:\n"
        "    print(error)\n",
    )
    mallory.deploy()
    assert mallory.host.run("pgrep -u mallory -f keep.py").stdout == "", "it goes on in no unit"
    assert "forged" not in mallory.sh(f"cat {MALLORY_CURRENT}/code/owned.py")


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "uv.lock"])
@pytest.mark.parametrize("kind", ["/etc/important.conf", "/dev/zero", "FIFO"])
def test_files_that_say_what_to_install_are_data(mallory: Attacker, tmp_path: Path, name: str, kind: str) -> None:
    """An archive holds a link or a FIFO in their place: it is refused, without a byte of what it leads to."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = (tarfile.FIFOTYPE, "") if kind == "FIFO" else (tarfile.SYMTYPE, kind)
    with tarfile.open(tmp_path / "app.tar.gz", "w:gz") as archive:
        archive.addfile(entry)
    mallory.options["source"] = {"archive": str(tmp_path / "app.tar.gz")}
    is_left_out = f"{name!r} in the archive is neither a file, a directory nor a link: leave it out"
    is_no_file = "the source has neither requirements.txt, pyproject.toml nor a lock"
    assert "canary-of-root" not in mallory.refused(is_left_out if kind == "FIFO" else is_no_file)
