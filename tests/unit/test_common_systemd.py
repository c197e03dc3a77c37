"""systemd as the programs use it: time limits, transient units, the sandbox that a unit states."""

from __future__ import annotations

import math
import os
import re
import subprocess

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import systemd
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import TIMED_OUT, Systemd, TransientUnit

HOME = on_host("home", "shop")
UNITS: list[tuple[str, str, systemd.Directives]] = [
    ("a directive", "[Service]\nPrivateTmp=yes\n", [("PrivateTmp", "yes")]),
    ("spaces", "[Service]\n  PrivateTmp =  yes  \n", [("PrivateTmp", "yes")]),
    (
        "other sections",
        "[Unit]\nRequires=a\n[Service]\nPrivateTmp=yes\n[Install]\nWantedBy=b\n",
        [("PrivateTmp", "yes")],
    ),
    (
        "a drop-in",
        "# /etc/systemd/system/shop@.service\n[Unit]\nA=b\n[Service]\nMemoryMax=1G\n\n"
        "# /etc/systemd/system/shop@.service.d/own.conf\n[Service]\nMemoryMax=2G\nIPAddressDeny=any\n",
        [("MemoryMax", "1G"), ("MemoryMax", "2G"), ("IPAddressDeny", "any")],
    ),
    ("a drop-in of another section", "[Service]\nPrivateTmp=yes\n\n# own.conf\n[Unit]\nX=y\n", [("PrivateTmp", "yes")]),
    ("comments", "[Service]\n# PrivateTmp=no\n; PrivateTmp=no\n  # A=b\nPrivateTmp=yes\n", [("PrivateTmp", "yes")]),
    (
        "lines that go on",
        "[Service]\nReadOnlyPaths=/a \\\n  /b\nUMask=0077\n",
        [("ReadOnlyPaths", "/a    /b"), ("UMask", "0077")],
    ),
    (
        "a comment between lines that go on",
        "[Service]\nReadOnlyPaths=/a \\\n# not /c \\\n; nor /d\n  /b\n",
        [("ReadOnlyPaths", "/a    /b")],
    ),
    ("a comment that seems to go on", "[Service]\n# why \\\nPrivateTmp=yes\n", [("PrivateTmp", "yes")]),
    (
        "an empty assignment",
        "[Service]\nSystemCallFilter=@system-service\nSystemCallFilter=\nCapabilityBoundingSet=\n",
        [("SystemCallFilter", "@system-service"), ("SystemCallFilter", ""), ("CapabilityBoundingSet", "")],
    ),
    ("=", "[Service]\nSetCredential=a:b=c\n", [("SetCredential", "a:b=c")]),
    ("no assignment", "[Service]\nnonsense\n\n", []),
    ("%i", f"[Service]\nReadOnlyPaths={HOME}/%i /run/%i\n", [("ReadOnlyPaths", f"{HOME}/A /run/A")]),
    ("nothing", "", []),
]


@pytest.mark.parametrize(("text", "found"), [row[1:] for row in UNITS], ids=[row[0] for row in UNITS])
def test_what_a_unit_states(text: str, found: systemd.Directives) -> None:
    assert systemd.service_directives(text, "A") == found
    assert systemd.sandbox(text, "A") == found


def test_what_is_about_the_life_of_a_unit_is_no_part_of_its_sandbox() -> None:
    text = "[Service]\nType=notify\nExecStart=/bin/x\nUser=shop\nUMask=0077\nEnvironmentFile=/e\n"
    assert systemd.sandbox(text, "A") == [("UMask", "0077"), ("EnvironmentFile", "/e")]
    assert systemd.sandbox(text, "A", re.compile("Environment.*")) == [("UMask", "0077")]


class TestTransientUnit:
    """What systemd-run is asked for."""

    def test_the_command_line(self) -> None:
        unit = TransientUnit("a.service", "import of shop", ("/bin/echo", "%h"), [("User", "shop"), ("UMask", "")])
        assert unit.command("--pipe", "--wait") == [
            "/usr/bin/systemd-run", "--quiet", "--unit=a.service", "--description=import of shop", "--pipe", "--wait",
            "-p", "User=shop", "-p", "UMask=", "--", "/bin/echo", "%h",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "word",
        [
            "$HOME", "${HOME}", "$$", "a$", "a;b", ";", "; b", "\\;", "$(id)",
            "", " ", "%h %%", "a\nb\t", "'\"`\\x41", "\u00fc", "\udcff", "-c",
        ],
    )  # fmt: skip
    def test_a_daemon_reload_before_it_starts_changes_none_of_its_arguments(self, word: str) -> None:
        show = ("/usr/bin/python3", "-c", "print(*map(ascii, __import__('sys').argv[1:]))")
        command = TransientUnit("a.service", "import of shop", (*show, word, "a")).command()
        given = command[command.index("--") + 1 :]
        assert not set("$;") & set("".join(given))
        shown = subprocess.run(given, check=True, capture_output=True, text=True)
        assert shown.stdout == f"{word!a} 'a'\n"

    def test_what_has_no_such_character_is_started_as_it_is(self) -> None:
        assert systemd.plain_argv(("/bin/echo", "%h", "a b")) == ["/bin/echo", "%h", "a b"]

    @pytest.mark.parametrize(("seconds", "said"), [(0.5, "0.5"), (1800, "1800"), (math.inf, "infinity")])
    def test_its_time(self, seconds: float, said: str) -> None:
        assert systemd.runtime_limit(seconds) == ("RuntimeMaxSec", said)


class TestTimeLimit:
    """A service may ask systemd for ever more time."""

    @pytest.mark.parametrize(
        ("shown", "seconds"), [("40s\n", 50), ("1min 30s\n", 100), ("1h 5min\n", 3910), ("infinity\n", 100), ("", 100)]
    )
    def test_the_unit_s_own_limit_and_ten_seconds(
        self, monkeypatch: pytest.MonkeyPatch, shown: str, seconds: float
    ) -> None:
        monkeypatch.setattr(
            Systemd, "systemctl", lambda _self, *_arguments, **_options: type("Done", (), {"stdout": shown})
        )
        assert Systemd().time_limit("shop@1.service", "Stop") == seconds

    def test_one_that_does_not_stop_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[str, ...]] = []

        def systemctl(_self: Systemd, *words: str, **_options: object) -> subprocess.CompletedProcess[str]:
            asked.append(words)
            stuck = words[0] == "stop" and len(asked) == 2
            return subprocess.CompletedProcess(words, TIMED_OUT if stuck else 0, "1s", "")

        monkeypatch.setattr(Systemd, "systemctl", systemctl)
        Systemd().stop("shop@1.service", "shop@1.socket")
        assert asked[1:] == [
            ("stop", "shop@1.service", "shop@1.socket"),
            ("kill", "--signal=KILL", "shop@1.service"),
            ("stop", "shop@1.service", "shop@1.socket"),
        ]

    def test_a_program_that_takes_too_long(self) -> None:
        assert Systemd().run("/usr/bin/sleep", "30", seconds=0.1).returncode == TIMED_OUT


@pytest.mark.parametrize(("shown", "number"), [("3\n", 3), ("0\n", 0), ("", 0), ("[not set]\n", 0)])
def test_numbers_of_systemd(monkeypatch: pytest.MonkeyPatch, shown: str, number: int) -> None:
    monkeypatch.setattr(Systemd, "systemctl", lambda _self, *_arguments: type("Done", (), {"stdout": shown}))
    assert Systemd().restarts("shop@1.service") == number


@pytest.mark.parametrize(
    ("shown", "active"), [("active\nactive\n", True), ("active\n\ninactive\n", False), ("active\n", False), ("", False)]
)
def test_units_are_active_together(monkeypatch: pytest.MonkeyPatch, shown: str, active: bool) -> None:
    monkeypatch.setattr(Systemd, "systemctl", lambda _self, *_arguments: type("Done", (), {"stdout": shown}))
    assert Systemd().is_active("shop@1.socket", "shop@1.service") is active


def test_the_processes_of_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Systemd, "systemctl", lambda _self, *_arguments: type("Done", (), {"stdout": f"{os.getpid()}\n"})
    )
    assert os.getpid() in Systemd().processes("shop@1.service")
    monkeypatch.setattr(Systemd, "systemctl", lambda _self, *_arguments: type("Done", (), {"stdout": "0\n"}))
    assert Systemd().processes("shop@1.service") == set()


def test_the_state_of_each_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "active\n\ndeactivating\n"
    monkeypatch.setattr(Systemd, "systemctl", lambda _self, *_arguments: type("Done", (), {"stdout": shown}))
    assert Systemd().states("a.socket", "a.service") == {"a.socket": "active", "a.service": "deactivating"}
