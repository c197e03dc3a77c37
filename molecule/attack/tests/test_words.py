"""What the app says reaches the operator's terminal: as text that it does not obey, and no more of it than helps."""

from __future__ import annotations

from attacker import Attacker
from testing import on_host

ESCAPES = "\\x1b]0;owned\\x07\\x1b[2J\\r\\u202eforged"


def test_an_exception_is_shown_with_its_escapes_as_text(mallory: Attacker) -> None:
    mallory.code({"owned.py": f'raise RuntimeError("{ESCAPES}")\n'})
    reason = mallory.refused("the app cannot be imported")
    ledger = mallory.sh(f"tail -n 1 {on_host('state')}/releases/mallory.jsonl")
    shown = mallory.command("releases").stdout
    for text in (reason, ledger, shown):
        assert not set(text) & set("\x1b\x07\r\u202e"), ascii(text)
    assert "\\x1b]0;owned" in reason


def test_a_release_that_says_too_much_costs_no_memory(mallory: Attacker) -> None:
    mallory.code(
        {"owned.py": "import os\nfor _ in range(200):\n    os.write(1, b'x' * 2**20)\nraise SystemExit('end of it')\n"}
    )
    reason = mallory.refused("end of it")
    assert len(reason) < 2**21


def test_a_command_has_a_terminal_of_its_own(mallory: Attacker) -> None:
    """It could type into root's, with TIOCSTI, where the kernel still allows that."""
    mallory.code({})
    mallory.deploy()
    show = """script -qec "tty; mallory run sh -c 'tty; exit 7'; echo status \\$?" /dev/null"""
    said = mallory.sh(f"{show} </dev/null || true").split()
    assert said[0].startswith("/dev/pts/")
    assert said[1] != said[0]
    assert said[-1] == "7"
