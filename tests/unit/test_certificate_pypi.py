"""certbot from PyPI: pinned, and exchanged in one step."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import certbot_program, processes, pypi
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.messages import CertificateError
from ansible_collections.groundwork.flask.tests.unit.certificate_host import FakeHost


class Index:
    """Stands for pip and the index behind it: notes what is run, and fails where it is told to."""

    def __init__(self, fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake = fake
        self.calls: list[tuple[str, ...]] = []
        self.failing = ""
        self.answer = "Looking\nERROR: no such version\n"
        self.link = fake.paths.certbot
        self.link.parent.mkdir(parents=True)
        monkeypatch.setattr(pypi, "run", self.run)
        monkeypatch.setattr(certbot_program, "run", self.run)

    def run(self, *argv: str, environment: dict[str, str], **_options: Any) -> Any:
        self.calls.append(argv)
        if "venv" in argv:
            (Path(argv[-1]) / "bin").mkdir(parents=True)
            (Path(argv[-1]) / "bin/certbot").touch()
        if "pip" in argv:
            assert environment["PIP_CERT"] == pypi.CA_BUNDLE
        failed = bool(self.failing) and self.failing in argv
        return subprocess.CompletedProcess(argv, int(failed), "", self.answer if failed else "")

    def acme(self, pinned: str = "", *requirements: str) -> Any:
        """The provider of another run of the program, with these options."""
        self.calls.clear()
        self.fake.paths.pinned.write_text(pinned)
        self.fake.options(pinned=bool(pinned), requirements=requirements)
        return self.fake.reconciler().context.providers["acme"]

    def names(self) -> set[str]:
        """What there is of it on the host."""
        return {path.name for path in self.link.parent.iterdir()}


@pytest.fixture
def index(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Index:
    return Index(fake, monkeypatch)


def test_certbot_from_pypi_is_installed_as_it_is_pinned(index: Index) -> None:
    index.acme("certbot==5.8.0 --hash=sha256:0").certbot.install()
    new = str(index.link.resolve())
    hashed = ("--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(index.fake.paths.pinned))
    assert index.calls == [
        ("/usr/bin/python3", "-I", "-m", "venv", new),
        (f"{new}/bin/python3", "-I", "-m", "pip", "install", "--quiet", "--no-cache-dir", *hashed),
        (f"{new}/bin/certbot", "--version"),
    ]
    acme = index.acme("certbot==5.8.0 --hash=sha256:0")
    acme.certbot.install()
    assert index.calls == [], "what is there is not installed again"
    assert acme.certbot.path == f"{index.link}/bin/certbot"


def test_what_the_user_chose_is_installed_beside_what_is_pinned_with_a_warning(
    index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    index.acme("certbot==5.8.0 --hash=sha256:0", "certbot-dns-mine==1").certbot.install()
    pinned, chosen = (argv for argv in index.calls if "pip" in argv)
    assert "--require-hashes" in pinned
    assert Path(chosen[-1]).read_text() == "certbot-dns-mine==1\n"
    assert (
        "not pinned by this collection, so taken as the index gives it: certbot-dns-mine==1" in capsys.readouterr().err
    )

    index.acme("", "certbot==5.0.0").certbot.install()
    (chosen,) = (argv for argv in index.calls if "pip" in argv)
    assert "--require-hashes" not in chosen
    assert Path(chosen[-1]).read_text() == "certbot==5.0.0\n"


def test_another_certbot_takes_the_place_of_the_one_before_once_it_runs(index: Index) -> None:
    index.acme("certbot==5.8.0 --hash=sha256:0").certbot.install()
    first = index.link.resolve()

    # The index is down, or gives something else: the one before goes on.
    index.failing = "pip"
    acme = index.acme("certbot==5.9.0 --hash=sha256:1")
    for _name in ("shop", "wiki"):
        acme.certbot.install()
    assert len([argv for argv in index.calls if "pip" in argv]) == 1, "it is tried once in a run"
    assert (index.link.resolve(), index.names()) == (first, {index.link.name, first.name})
    assert acme.renew().startswith("certbot could not be installed from PyPI: pip: ERROR: no such version. ")
    assert index.calls[-1][:3] == (f"{index.link}/bin/certbot", "-q", "renew")

    # A run was killed while it installed.
    index.failing = ""
    acme = index.acme("certbot==5.9.0 --hash=sha256:1")
    (acme.certbot.pypi.target / "half").mkdir(parents=True)
    acme.certbot.install()
    assert index.names() == {index.link.name, index.link.resolve().name}
    assert index.link.resolve() != first
    assert not (index.link / "half").exists()
    assert acme.renew() == ""


def test_without_any_certbot_the_error_says_why(index: Index) -> None:
    index.failing, index.answer = (
        "pip",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If\n",
    )
    acme = index.acme("certbot==5.8.0 --hash=sha256:0")
    for _name in ("shop", "wiki"):
        with pytest.raises(CertificateError, match=r"FILE\. If\. The index gives something else than was published: "):
            acme.certbot.install()
    assert len([argv for argv in index.calls if "pip" in argv]) == 1, "it is tried once in a run"
    assert index.names() == set()


def make_wheel(directory: Path, says: str) -> str:
    """Something on the index under certbot's name; returns its hash."""
    directory.mkdir(exist_ok=True)
    wheel, about = directory / "certbot-5.8.0-py3-none-any.whl", "certbot-5.8.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("certbot.py", f"def main():\n    print({says!r})\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: certbot\nVersion: 5.8.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{about}/entry_points.txt", "[console_scripts]\ncertbot = certbot:main\n")
        archive.writestr(f"{about}/RECORD", "")
    return f"--hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


def test_a_wheel_that_is_not_the_pinned_one_is_not_installed(
    fake: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real pip, and an index that gives another wheel under the same name and version."""
    monkeypatch.setattr(pypi, "PYTHON", (sys.executable, "-I"))
    fake.paths.certbot.parent.mkdir(parents=True)
    here = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index"), "PIP_CONFIG_FILE": os.devnull}
    fake.paths.install_environment.write_text(json.dumps(here))
    fake.options(pinned=True)
    true = make_wheel(tmp_path / "index", "true")
    fake.paths.pinned.write_text(f"certbot==5.8.0 {true}\n")
    make_wheel(tmp_path / "index", "false")
    with pytest.raises(CertificateError, match="DO NOT MATCH THE HASHES"):
        fake.reconciler().context.providers["acme"].certbot.install()
    assert not fake.paths.certbot.is_symlink()

    true = make_wheel(tmp_path / "index", "true")
    fake.paths.pinned.write_text(f"certbot==5.8.0 {true}\n")
    acme = fake.reconciler().context.providers["acme"]
    acme.certbot.install()
    assert processes.run(acme.certbot.path).stdout == "true\n"
