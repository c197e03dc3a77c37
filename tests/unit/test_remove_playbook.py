"""The playbook remove: which names it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

PLAYBOOK = Path(__file__).parents[2] / "playbooks/remove.yml"


@pytest.mark.parametrize(
    ("known", "services", "taken"),
    [
        (["shop"], {}, True),
        ([], {}, False),
        ([], {"blog": ["database.json"]}, False),
        # A purge that failed at the database: account and ledger are gone, and it is run again.
        ([], {"shop": ["database.json"]}, True),
    ],
)
def test_a_removal_that_was_cut_off_can_be_run_again(known: list[str], services: dict[str, Any], taken: bool) -> None:
    plays: list[dict[str, Any]] = yaml.safe_load(PLAYBOOK.read_text())
    tasks = [task for play in plays for task in play.get("pre_tasks", [])]
    (test,) = [task["ansible.builtin.assert"]["that"] for task in tasks if "ansible.builtin.assert" in task]
    host = {"known_apps": known, "services": services}
    found: object = NativeEnvironment().from_string(f"{{{{ {test} }}}}").render(app="shop", remove_host=host)
    assert found is taken
