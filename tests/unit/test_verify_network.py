"""What a host says of its addresses and open ports, for the look from outside."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.verify import network
from ansible_collections.groundwork.flask.plugins.module_utils.verify.look import Look

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue\n"
TCP = f"""{HEAD}   0: 00000000:01BB 00000000:0000 0A 00000000:00000000
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000
   2: 0500580A:0016 0100580A:8AE4 01 00000000:00000000
   3: 0500580A:0050 00000000:0000 0A 00000000:00000000
"""
TCP6 = f"""{HEAD}   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 00000000:00000000
"""
SHOWN = '[{"addr_info": [{"local": "10.88.0.5"}, {"local": "2001:db8::5"}]}, {"addr_info": [{}]}, {}]'


@pytest.mark.parametrize(
    ("shown", "addresses"), [(SHOWN, ["10.88.0.5", "2001:db8::5"]), ("", []), ("no JSON", []), ("[7]", [])]
)
def test_addresses(tmp_path: Path, shown: str, addresses: list[str]) -> None:
    def run(argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 0, shown, "")

    assert network.addresses(Look(tmp_path, run)) == addresses


def test_ports_on_which_something_listens_for_others(tmp_path: Path) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/tcp").write_text(TCP)
    (tmp_path / "proc/net/tcp6").write_text(TCP6)
    assert network.listening(Look(tmp_path)) == [22, 80, 443]
