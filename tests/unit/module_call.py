"""Calls a module as Ansible does: arguments as JSON, the result as the JSON that it prints before it exits."""

from __future__ import annotations

import json
from contextlib import ExitStack
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.groundwork.flask.plugins.module_utils.common import privileges


class Caller:
    """A module, and what its last call printed.

    :ivar as_root: whether the module takes itself to run as root.
    """

    def __init__(self, module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
        self.module, self.capsys = module, capsys
        self.printed = ""
        self.as_root = True

    def __call__(self, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run the module; its result, failed or not. The exit status must agree with it."""
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(privileges, "is_root", return_value=self.as_root))
            stack.enter_context(patch_module_args({**arguments, "_ansible_check_mode": check}))
            ended = stack.enter_context(pytest.raises(SystemExit))
            self.module.main()
        self.printed = self.capsys.readouterr().out
        result: dict[str, Any] = json.loads(self.printed)
        assert bool(ended.value.code) is result.get("failed", False)
        return result
