"""Calls a module as Ansible does: arguments as JSON, the result as the JSON that it prints before it exits."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args


class Caller:
    """A module, and what its last call printed."""

    def __init__(self, module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
        self.module, self.capsys = module, capsys
        self.printed = ""

    def __call__(self, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run the module; its result, failed or not. The exit status must agree with it."""
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit) as ended:
            self.module.main()
        self.printed = self.capsys.readouterr().out
        result: dict[str, Any] = json.loads(self.printed)
        assert bool(ended.value.code) is result.get("failed", False)
        return result
