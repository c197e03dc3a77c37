"""What the app leaves in its runtime directory is read by root: as data, whatever it is."""

from __future__ import annotations

import json

import pytest
from attacker import Attacker

KINDS = {
    "a link to a file of root's": "ln -s /etc/shadow $file",
    "a FIFO": "mkfifo $file",
    "an endless file": "ln -s /dev/zero $file",
    "a directory": "mkdir $file",
    "a long line": "yes 4711 | tr -d '\\n' | head -c 10000000 > $file",
    "escapes": "printf '5 workers\\033[2J\\nforged: line\\n' > $file",
}


@pytest.fixture(scope="module", autouse=True)
def deployed(mallory: Attacker) -> None:
    mallory.code({})
    mallory.deploy()


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_workers_is_data(mallory: Attacker, kind: str) -> None:
    mallory.run(f'file="$RUNTIME_DIRECTORY/workers"; rm -rf "$file"; {KINDS[kind]}')
    status = json.loads(mallory.command("status --json").stdout)
    said = mallory.command("status").stdout
    assert mallory.deploy()["action"] == "unchanged"
    mallory.run('rm -rf "$RUNTIME_DIRECTORY/workers"')
    assert "root:" not in said
    assert "\x1b" not in said
    assert len(status["workers"]) <= 200
    assert [line for line in said.splitlines() if line.startswith("forged")] == []
