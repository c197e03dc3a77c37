"""Commands of a set run as its user, in the sandbox of the user's own unit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import steps
from ansible_collections.groundwork.flask.plugins.module_utils.backup.commands import sandbox_of, shell
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

RELEASES = on_host("releases", "shop")
UNIT = f"""# /etc/systemd/system/shop@.service
[Unit]
Description=x
[Service]
Type=notify
ExecStart={RELEASES}/%i/start
ExecStartPre=/bin/true
User=shop
EnvironmentFile={RELEASES}/%i/env
RuntimeDirectory=shop-%i
# Comment=no
SystemCallFilter=@system-service
SystemCallFilter=~@privileged \\
  @resources
CapabilityBoundingSet=
Restart=always
[Install]
WantedBy=multi-user.target
"""


def test_commands_of_an_app_run_in_its_sandbox() -> None:
    sandbox = [
        ("SystemCallFilter", "@system-service"),
        ("SystemCallFilter", "~@privileged    @resources"),
        ("CapabilityBoundingSet", ""),
    ]
    assert steps.directives(UNIT, "r1") == [("EnvironmentFile", f"{RELEASES}/r1/env"), *sandbox]
    assert steps.directives(UNIT, "") == sandbox


@pytest.mark.parametrize("services", [(), ("postgresql",)])
def test_commands_of_an_app_with_a_database_reach_it_past_the_pooler(
    monkeypatch: pytest.MonkeyPatch, services: tuple[str, ...]
) -> None:
    monkeypatch.setattr(steps, "unit_sandbox", lambda _user: [("EnvironmentFile", f"{RELEASES}/r1/env")])
    found = sandbox_of(BackupSet("shop", ("/a",), user="nobody", services=services))
    direct = ("EnvironmentFile", f"-{on_host('current', 'nobody')}/env.direct")
    assert (direct in found[1:]) == bool(services)


@pytest.mark.parametrize(
    ("user", "message"), [("nobody-there", "there is no user nobody-there on this host"), ("root", "leave `user` out")]
)
def test_commands_of_an_account_that_cannot_be(user: str, message: str) -> None:
    with pytest.raises(BackupError, match=message):
        sandbox_of(BackupSet("shop", ("/a",), user=user))


def test_commands_of_a_set_with_a_user_never_run_as_root(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def unit(argv: Any, sandbox: list[tuple[str, str]], _seconds: float) -> tuple[int, str]:
        started.append((argv, dict(sandbox)))
        return 0, ""

    monkeypatch.setattr(steps, "in_unit", unit)
    monkeypatch.setattr(programs, "run", lambda *_arguments, **_options: pytest.fail("not in a unit"))
    item = BackupSet("shop", (str(scene.data),), user="nobody")
    shell("touch dump", item, "before", 60)
    ((argv, sandbox),) = started
    assert argv == ("/bin/sh", "-c", "touch dump")
    assert (sandbox["User"], sandbox["NoNewPrivileges"], sandbox["Environment"]) == ("nobody", "yes", "BACKUP_SET=shop")
