"""How a step is confined: by what the app's unit says, whoever wrote it there."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import Directives
from ansible_collections.groundwork.flask.plugins.module_utils.release import sandbox

DATA = on_host("data", "shop")
HOME = on_host("home", "shop")


def names(text: str) -> list[str]:
    return text.split()


LIFE = names("""
    Type NotifyAccess ExecStart ExecStartPre ExecStop ExecStopPost ExecReload ExecCondition Restart RestartSec
    RestartSteps TimeoutStopSec TimeoutStartSec KillMode KillSignal SendSIGKILL FinalKillSignal OOMPolicy WatchdogSec
    RuntimeMaxSec RuntimeDirectory RuntimeDirectoryMode RemainAfterExit PIDFile Sockets FileDescriptorStoreMax
    Environment EnvironmentFile PassEnvironment WorkingDirectory StandardInput StandardOutput StandardError TTYPath
    User Group Slice LogNamespace SyslogIdentifier
""")
# What an app may write or read of its own, and what is meant for a server.
APART = names("""
    TemporaryFileSystem BindPaths BindReadOnlyPaths ReadWritePaths ReadOnlyPaths ExecPaths NoExecPaths StateDirectory
    StateDirectoryMode CacheDirectory LogsDirectory ConfigurationDirectory MemoryMax MemoryHigh MemorySwapMax
    MemoryDenyWriteExecute UMask OOMScoreAdjust ProtectSystem LoadCredential LoadCredentialEncrypted SetCredential
    RestrictAddressFamilies IPAddressDeny IPAddressAllow PrivateNetwork SocketBindDeny
""")
KEPT = names("""
    InaccessiblePaths NoNewPrivileges CapabilityBoundingSet AmbientCapabilities SystemCallFilter
    SystemCallArchitectures SystemCallErrorNumber PrivateDevices PrivateTmp PrivateUsers ProtectHome
    ProtectKernelModules ProtectProc ProcSubset RestrictNamespaces RestrictRealtime RestrictSUIDSGID LockPersonality
    RemoveIPC DevicePolicy TasksMax LimitNOFILE CPUQuota IOWeight KeyringMode
""")


@pytest.mark.parametrize("name", [*LIFE, *APART, *KEPT])
def test_what_is_of_which_kind(name: str) -> None:
    stated = sandbox.of_unit(f"[Service]\n{name}=x\n", "A")
    assert bool(stated) is (name not in LIFE)
    assert ((name, "x") in sandbox.for_app(stated)) is (name not in LIFE)
    assert ((name, "x") in sandbox.for_build(stated, [], [])) is (name in KEPT)


class TestForApp:
    """What acts for the app sees what the app sees."""

    UNIT: ClassVar[Directives] = [("NoNewPrivileges", "no"), ("BindPaths", DATA), ("MemoryMax", "1G")]

    def test_the_units_own_and_then_what_always_holds(self) -> None:
        found = sandbox.for_app(self.UNIT, [Path("/saved")])
        assert found == [*self.UNIT, *sandbox.ALWAYS, ("BindPaths", "-/saved")]
        assert [value for name, value in found if name == "NoNewPrivileges"][-1] == "yes"


class TestForBuild:
    """What builds sees its cache and the release, and nothing that the app can write."""

    UNIT: ClassVar[Directives] = [
        ("BindPaths", DATA),
        ("StateDirectory", "shop"),
        ("ProtectHome", "no"),
        ("CapabilityBoundingSet", "CAP_NET_ADMIN"),
        ("InaccessiblePaths", "-/etc/company"),
        ("TasksMax", "50"),
    ]

    def test_what_it_sees(self) -> None:
        found = sandbox.for_build(self.UNIT, [Path("/cache"), Path("/code")], [Path(HOME)])
        assert [row for row in found if "Paths" in row[0]] == [
            ("InaccessiblePaths", "-/etc/company"),
            ("BindReadOnlyPaths", f"-{HOME}"),
            ("BindPaths", "-/cache"),
            ("BindPaths", "-/code"),
        ]
        assert DATA not in str(found)

    def test_an_operators_own_directives_are_kept_as_far_as_they_confine(self) -> None:
        found = dict(sandbox.for_build(self.UNIT, [], []))  # the last of a name counts
        assert found["InaccessiblePaths"] == "-/etc/company"
        assert found["TasksMax"] == "50"
        assert found.items() >= dict([*sandbox.BUILD, *sandbox.ALWAYS]).items()

    @pytest.mark.parametrize("path", [on_host(name) for name in ("homes", "datas", "caches", "runtime")])
    def test_what_is_of_other_apps_is_not_there(self, path: str) -> None:
        assert f"{path}:ro" in dict(sandbox.BUILD)["TemporaryFileSystem"].split()
