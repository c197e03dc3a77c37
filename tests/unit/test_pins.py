"""What the collection fetches by itself is pinned: every requirement at one version, with hashes."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pins as program
import pytest
import yaml
from ansible_collections.groundwork.flask.plugins.module_utils.release import pins
from packaging.requirements import Requirement

ROLE = Path(__file__).parents[2] / "roles" / "certificate"
FILES = {path.stem: path.read_text() for path in sorted((ROLE / "files" / "certbot").iterdir())}
TEXTS = {"uv": pins.UV, **FILES}
# As pip reads them: a continued line is one, and what follows the requirement is options.
HASHES = re.compile(r"( --hash=sha256:[0-9a-f]{64})+")


def requirements(text: str) -> dict[Requirement, int]:
    """The requirements of a file, each with how many hashes it has."""
    found = {}
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        if line.startswith("#"):
            continue
        requirement, space, hashes = line.partition(" --hash")
        assert HASHES.fullmatch(f"{space}{hashes}"), f"no hash, or another option: {line[:80]}"
        found[Requirement(requirement)] = line.count("--hash")
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_every_requirement_is_exact_and_hashed(name: str) -> None:
    found = requirements(TEXTS[name])
    assert found
    for requirement in found:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", requirement
        assert "*" not in specifier.version, requirement
        assert requirement.url is None


def test_uv_has_a_wheel_for_every_architecture() -> None:
    found = requirements(pins.UV)
    assert len(found) == 1
    requirement, hashes = next(iter(found.items()))
    assert str(requirement) == f"uv=={pins.UV_VERSION}"
    assert hashes >= 12, "glibc and musl; x86_64, aarch64, armv7, i686, ppc64le, s390x, riscv64"


def test_each_plugin_of_certbot_s_own_project_has_its_file() -> None:
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    plugins = {f"certbot-dns-{name}" for name in variables["__certificate_dns_plugins"]["certbot"]}
    assert set(FILES) == {"certbot", *plugins}
    assert set(program.PLUGINS) == plugins


@pytest.mark.parametrize("python", ["3.11.2", "3.12.3", "3.13.5", "3.14.4"])
@pytest.mark.parametrize("name", FILES)
def test_a_plugin_can_be_installed_beside_certbot(name: str, python: str) -> None:
    """One version of everything, for each Python; certbot and its plugin are of the same release."""
    environment = {
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
    }
    versions: dict[str, set[str]] = {}
    for requirement in [*requirements(FILES["certbot"]), *requirements(FILES[name])]:
        if not requirement.marker or requirement.marker.evaluate(environment):
            versions.setdefault(requirement.name, set()).add(str(requirement.specifier))
    assert {package: found for package, found in versions.items() if len(found) != 1} == {}
    assert versions[name] == versions["certbot"]


def test_another_wheel_under_uv_s_name_is_refused_by_pip(tmp_path: Path) -> None:
    """As the engine calls pip, with an index that gives something else; a mirror gives the same bytes."""
    file = tmp_path / "requirements.txt"
    file.write_text(pins.UV)
    about = f"uv-{pins.UV_VERSION}.dist-info"
    with zipfile.ZipFile(tmp_path / f"uv-{pins.UV_VERSION}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: uv\nVersion: {pins.UV_VERSION}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{about}/RECORD", "")
    pip = [
        sys.executable,
        "-I",
        "-m",
        "pip",
        "install",
        "--no-index",
        f"--find-links={tmp_path}",
        f"--target={tmp_path}/uv",
    ]
    hashed = ["--no-deps", "--only-binary=:all:", "--require-hashes", f"--requirement={file}"]
    environment = {"PATH": "", "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run([*pip, *hashed], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "uv").exists()


def wheel(name: str, digest: str = "a") -> dict[str, Any]:
    """A wheel as pylock.toml tells of it."""
    return {"url": f"https://index.test/files/{name}", "hashes": {"sha256": digest * 64}}


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("py3-none-manylinux_2_17_armv7l.manylinux2014_armv7l.musllinux_1_1_armv7l", True),
        ("py3-none-linux_armv6l", True),
        ("cp311-cp311-manylinux_2_17_x86_64", True),
        ("cp37-abi3-musllinux_1_2_aarch64", True),
        ("cp310-cp310-manylinux_2_17_x86_64", False),
        ("cp313-cp313t-manylinux_2_17_x86_64", False),
        ("pp310-pypy310_pp73-manylinux_2_17_x86_64", False),
        ("py3-none-win_amd64", False),
        ("cp312-cp312-macosx_11_0_arm64", False),
    ],
)
def test_wheels_that_a_supported_host_can_install_are_kept(tags: str, kept: bool) -> None:
    assert program.is_for_linux(f"some_thing-1.0-{tags}.whl") is kept


def test_a_requirements_file_is_written_from_a_lock() -> None:
    wheels = [wheel("b-2-py3-none-any.whl", "b"), wheel("b-2-py3-none-win32.whl", "c")]
    marker = "python_full_version >= '3.11' and python_full_version < '3.13'"
    packages = [
        {"name": "b", "version": "2", "marker": marker, "wheels": wheels},
        {"name": "pywin32", "version": "1", "marker": "sys_platform == 'win32'", "wheels": wheels[1:]},
        {"name": "a", "version": "1", "wheels": [wheel("a-1-py3-none-any.whl")]},
    ]
    text = program.requirements(program.pins({"packages": packages}), "These.")
    assert text.splitlines() == [
        f"# These. {program.NOTE}",
        "a==1 \\",
        f"    --hash=sha256:{'a' * 64}",
        "b==2 ; python_full_version < '3.13' \\",
        f"    --hash=sha256:{'b' * 64}",
    ]


def test_a_package_without_a_wheel_is_refused() -> None:
    """To install it, root would have to run its code first."""
    with pytest.raises(SystemExit, match="a 1 has no wheel for Linux"):
        program.pins({"packages": [{"name": "a", "version": "1", "wheels": []}]})


def test_the_module_that_holds_uv_reads_back_as_it_was_written(tmp_path: Path) -> None:
    pin = program.Pin("uv", "1.2.3", "", ("sha256:" + "a" * 64, "sha256:" + "b" * 64))
    (tmp_path / "pins.py").write_text(program.uv_module([pin]))
    names = runpy.run_path(str(tmp_path / "pins.py"))
    assert names["UV_VERSION"] == "1.2.3"
    assert names["UV"] == f"{pin}\n"
    assert len(requirements(names["UV"])) == 1
