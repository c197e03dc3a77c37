# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the backup runs other programs: by their full paths, with an environment of its own, and within their time.

What acts for an account runs as that account in a transient systemd unit. What a program says is kept in bounds, and
shown with its control characters escaped.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import pwd
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from .errors import BackupError, TimeLimitError

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
)
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
SYSTEMCTL, SYSTEMD_RUN = "/usr/bin/systemctl", "/usr/bin/systemd-run"
MOST_TEXT = 1 << 26  # bytes of a program's answer that is read as a whole
MOST_LINE = 1 << 20
SECONDS_TO_END = 10

Directives = list[tuple[str, str]]


@contextlib.contextmanager
def limited(seconds: float, what: str) -> Iterator[None]:
    """Raise TimeLimitError in the block when it takes longer; a program that it waits for is then ended.

    :param seconds: 0 for no limit. Of a block within another one, the shorter time counts.
    """
    outer, began = signal.getitimer(signal.ITIMER_REAL)[0], time.monotonic()
    if not seconds or 0 < outer < seconds:
        yield
        return

    def ring(_number: int, _frame: Any) -> None:
        raise TimeLimitError(f"{what} took longer than {seconds:.0f} s, and was ended")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(0.01, outer - (time.monotonic() - began)))


@dataclass(frozen=True)
class Ran:
    """What came of a program whose output may be long: it is in two files that have no name."""

    returncode: int
    out: IO[bytes]
    err: IO[bytes]

    @property
    def stdout(self) -> str:
        """All that it printed; more than anybody would read raises BackupError."""
        self.out.seek(0)
        found = self.out.read(MOST_TEXT + 1)
        if len(found) > MOST_TEXT:
            raise BackupError(f"its answer is longer than {MOST_TEXT} bytes")
        return found.decode("utf-8", "surrogateescape")

    @property
    def stderr(self) -> str:
        """The end of what it said of errors."""
        end = self.err.seek(0, os.SEEK_END)
        self.err.seek(max(0, end - MOST_LINE))
        return self.err.read().decode("utf-8", "surrogateescape")

    def objects(self, stream: IO[bytes]) -> Iterator[dict[str, Any]]:
        """The JSON objects among the lines of ``out`` or ``err``."""
        stream.seek(0)
        while line := stream.readline(MOST_LINE):
            with contextlib.suppress(ValueError):
                found = json.loads(line.decode("utf-8", "surrogateescape"))
                if isinstance(found, dict):
                    yield found


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it has started: first by asking."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS_TO_END)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(
    argv: Sequence[str],
    scratch: Path,
    environment: Mapping[str, str] = ENVIRONMENT,
    pass_fds: Sequence[int] = (),
    unfollowed: Sequence[str] = (),
) -> Ran:
    """Run a program of root's, and return what came of it, whatever its exit status.

    :param scratch: a directory of root's for what it says.
    :param unfollowed: paths below which the kernel is to follow no link for it; see :func:`follow_no_link`.
    """
    out, err = (tempfile.TemporaryFile(dir=scratch) for _turn in range(2))  # noqa: SIM115
    with subprocess.Popen(
        argv,
        env=dict(environment),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        pass_fds=pass_fds,
        preexec_fn=(lambda: follow_no_link(unfollowed)) if unfollowed else None,
        start_new_session=True,
    ) as process:
        try:
            process.wait()
        except BaseException:
            end(process)
            raise
    return Ran(process.returncode, out, err)


def said_by(
    argv: Sequence[str], limit: int, given: bytes = b"", environment: Mapping[str, str] = ENVIRONMENT
) -> tuple[int, str]:
    """Run a program and return its exit status and the end, at most ``limit`` bytes, of all that it said."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        with subprocess.Popen(
            argv,
            env=dict(environment),
            cwd="/",
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                kept = b""
                while process.stdout and (block := os.read(process.stdout.fileno(), 1 << 16)):
                    kept = (kept + block)[-limit:]
                process.wait()
            except BaseException:
                end(process)
                raise
    return process.returncode, kept.decode("utf-8", "surrogateescape")


# Links


# What mount(2) and unshare(2) take; Python has no names for these.
NEW_MOUNTS, REMOUNT, BIND, RECURSIVE, PRIVATE, NO_SYMLINKS = 0x20000, 32, 4096, 16384, 1 << 18, 256
KEPT_FLAGS = os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME
UNCONFINED = "groundwork: links could be followed"


def follow_no_link(paths: Sequence[str]) -> None:
    """Have the kernel follow no link below these paths, for this process and what it starts (Linux 5.10 and later).

    An app that exchanges one of its directories for a link while it is saved would otherwise have another's files
    saved as its own. Where a host does not allow it, the process says so on stderr, and goes on.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)

        def call(status: int) -> None:
            if status:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))

        def mount(source: str, target: str, flags: int) -> None:
            call(libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None))

        call(libc.unshare(NEW_MOUNTS))
        mount("none", "/", RECURSIVE | PRIVATE)
        for path in paths:
            mount(path, path, BIND | RECURSIVE)
        with open("/proc/self/mountinfo", "rb") as stream:
            fields = [line.split()[4] for line in stream]
        places = {os.fsdecode(re.sub(rb"\\(\d{3})", lambda found: bytes([int(found[1], 8)]), name)) for name in fields}
        for place in places:
            if any(place == path or place.startswith(f"{path}/") for path in paths):
                mount("none", place, REMOUNT | BIND | NO_SYMLINKS | (os.statvfs(place).f_flag & KEPT_FLAGS))
    except OSError as error:
        os.write(2, f"{UNCONFINED}: {error.strerror}\n".encode())


# Units


# What of an app's unit is about its life, and not about what it may do.
LIFE = re.compile(
    r"Type|NotifyAccess|Exec(Start|Stop|Reload|Condition).*|Restart.*|Timeout.*|Kill.*|SendSIG.*|FinalKillSignal|OOMPolicy"
    r"|Watchdog.*|RuntimeMaxSec|RuntimeDirectory.*|RemainAfterExit|GuessMainPID|PIDFile|Sockets|FileDescriptor.*"
    r"|Standard(Input|Output|Error).*|TTY.*|User|Group|Slice"
)
OF_A_RELEASE = re.compile(r"EnvironmentFile|WorkingDirectory")
# Holds for whatever acts for an account.
ALWAYS: Directives = [
    ("NoNewPrivileges", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("LimitCORE", "0"),
    ("KillMode", "control-group"),
    ("TimeoutStopSec", "5"),
]
# For a program that reads and writes files of one account, and nothing else.
STRICT: Directives = [
    *ALWAYS,
    ("ProtectSystem", "strict"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("PrivateDevices", "yes"),
    ("PrivateTmp", "yes"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallFilter", "~@privileged @resources"),
    ("SystemCallErrorNumber", "EPERM"),
    ("UMask", "0077"),
    ("TasksMax", "64"),
    ("MemoryMax", "50%"),
]
OFFLINE: Directives = [("PrivateNetwork", "yes"), ("RestrictAddressFamilies", "AF_UNIX")]
SECRETS = "-/etc/ssl/private -/etc/ssl/groundwork -/etc/letsencrypt -/etc/groundwork -/run/groundwork -/root"
NUMBERS = itertools.count(1)


def quoted(path: str) -> str:
    """A path as a word of a directive."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def account(uid: int, gid: int) -> Directives:
    """The user and group of a unit, and what nobody but root keeps."""
    if uid == 0:
        # It reads what is root's without being able to do anything else as root.
        return [("CapabilityBoundingSet", "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER")]
    nothing = [("CapabilityBoundingSet", ""), ("PrivateUsers", "yes"), ("InaccessiblePaths", SECRETS)]
    try:
        return [("User", pwd.getpwuid(uid).pw_name), *nothing]
    except KeyError:
        return [("User", str(uid)), ("Group", str(gid)), *nothing]


def sandbox_of(user: str) -> Directives:
    """The sandbox that ``<user>@.service`` states, with the live release's environment; nothing where there is none."""
    if not os.path.exists(f"/etc/systemd/system/{user}@.service"):
        return []
    release = ""
    with contextlib.suppress(OSError):
        release = os.path.basename(os.readlink(f"/srv/{user}/current"))
    instance = release if re.fullmatch(r"[A-Za-z0-9_.-]+", release) else ""
    status, text = said_by((SYSTEMCTL, "cat", f"{user}@{instance or 'none'}.service"), MOST_LINE)
    if status:
        raise BackupError(f"systemctl cat {user}@.service: {text.strip()}")
    return directives(text, instance)


def directives(text: str, release: str) -> Directives:
    """What a unit says of what its processes may do.

    :param text: the unit file with its drop-ins, as ``systemctl cat`` prints them.
    :param release: what ``%i`` stands for; without one, what belongs to a release is left out.
    """
    found: Directives = []
    section = ""
    for raw in re.sub(r"\\\n", " ", text).splitlines():
        row = raw.strip()
        if match := re.fullmatch(r"\[(.+)\]", row):
            section = match[1]
        elif section == "Service" and "=" in row and row[0] not in "#;":
            name, _equals, value = (part.strip() for part in row.partition("="))
            if not LIFE.fullmatch(name) and (release or not OF_A_RELEASE.fullmatch(name)):
                found.append((name, value.replace("%i", release)))
    return found


def own_unit() -> str:
    """The unit of a backup or drill that this process belongs to; "" when somebody has started it by hand."""
    with contextlib.suppress(OSError):
        found = re.search(r"/(groundwork-backup[\w-]*\.service)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return ""


def in_unit(
    argv: Sequence[str], sandbox: Directives, seconds: float, given: bytes = b"", limit: int = MOST_LINE
) -> tuple[int, str]:
    """Run a command in a transient unit; its exit status, and the end of what it said.

    :param seconds: after which systemd ends it, should this process have been killed; else ``limited`` does.
    """
    name = f"groundwork-backup-step-{os.getpid()}-{next(NUMBERS)}.service"
    more: Directives = [("RuntimeMaxSec", f"{seconds + 60:.0f}")]
    if unit := own_unit():
        more.append(("BindsTo", unit))
    options = [word for key, value in [*sandbox, *more] for word in ("-p", f"{key}={value}")]
    # systemd would put variables into the arguments; $$ is a plain dollar.
    words = [word.replace("$", "$$") for word in argv]
    start = (SYSTEMD_RUN, "--quiet", "--pipe", "--wait", "--collect", f"--unit={name}")
    try:
        return said_by([*start, "--description=A step of the backup", *options, "--", *words], limit, given)
    except BaseException:
        subprocess.run((SYSTEMCTL, "stop", name), env=ENVIRONMENT, cwd="/", capture_output=True, check=False)
        raise
