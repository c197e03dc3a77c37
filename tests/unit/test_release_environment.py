"""Environment variables and their file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import (
    env_file,
    expanded,
    read_env_file,
)


@pytest.mark.parametrize(
    "value",
    [
        "plain", "", " spaces ", 'a "quoted" word', "it's", "two\nlines\n", "back\\slash\\", "\\n is no newline",
        "$HOME ${HOME}", "`id`", "ünïcödé ☃ \U0001f40d", '"\nNAME="x"\n', "-----BEGIN KEY-----\r\nabc\r\n", "a#b;c",
        "tab\there", "%h %%", "\\", '\\"',
    ],
)  # fmt: skip
def test_an_environment_survives_its_file(tmp_path: Path, value: str) -> None:
    environment = {"A": "first", "VALUE": value, "Z": "last"}
    (tmp_path / "env").write_bytes(env_file(environment).encode())
    assert read_env_file(tmp_path / "env") == environment


def test_a_shell_reads_the_same_from_an_environments_file(tmp_path: Path) -> None:
    """Its quoting is systemd's, which is the shell's."""
    values = {"A": 'a"b$c\\d`e', "B": "two\nlines", "C": "it's ☃"}
    (tmp_path / "env").write_text(env_file(values))
    script = ". " + str(tmp_path / "env") + '; printf "%s|" "$A" "$B" "$C"'
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "".join(f"{value}|" for value in values.values())


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("$DATA_DIR/x", "/data/x"),
        ("sqlite:///${DATA_DIR}/shop.db", "sqlite:////data/shop.db"),
        ("$RELEASE_DIR/settings.py:$DATA_DIR", "/code/settings.py:/data"),
        ("${DATA_DIR}_old", "/data_old"),
        *(
            (value, value)
            for value in ("$DATA_DIR_OLD", "$DATA_DIRx", "$HOME", "${HOME}", "$$", "100%", "${DATA_DIR", "")
        ),
    ],
)
def test_the_two_directories_are_replaced_and_nothing_else(value: str, becomes: str) -> None:
    assert expanded(value, {"DATA_DIR": "/data", "RELEASE_DIR": "/code"}) == becomes
