# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the append-only files of a running Redis at one point in time, and counts what such a copy holds.

This file is a program of its own that needs the standard library alone; it is run by its path as the app's user, in a
sandbox. It changes no setting of the Redis that it copies, and starts no rewrite of its files. Since Redis 7 these are
a base, increments and a manifest: files only grow until the manifest names others. So the files are opened first; then
Redis says in one transaction how many bytes it has written or is about to write, and how many keys it has. The last
file is copied up to exactly that byte, and what was written since is no part of the copy.

``copy DATA SOCKET OUT`` copies, ``count DIRECTORY`` starts a server on a copy, without a network, and ends it; both
print one line of JSON with the number of keys by database, and of those that expire. A failure is a sentence and exit
status 1.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

DIRECTORY, FILES = "appendonlydir", "appendonly.aof"  # Redis' own defaults
# The packages of the tools have the server's program too, which does what the name says that it is called by.
SERVERS = {
    "/usr/bin/redis-server": "redis-server",
    "/usr/bin/redis-check-rdb": "redis-server",
    "/usr/bin/valkey-server": "valkey-server",
    "/usr/bin/valkey-check-rdb": "valkey-server",
}
SECONDS_TO_SETTLE = 120  # for a rewrite that is under way to end
LINE = re.compile(r"file (?P<name>[A-Za-z0-9._-]+) seq \d+ type (?P<kind>[bih])( .*)?")
BLOCK = 1 << 20


class RedisError(Exception):
    """What Redis refused, or what it answered that it should not have."""


class Redis:
    """A connection to a Redis on this host."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.answers = self.socket.makefile("rb")

    def ask(self, *words: str) -> Any:
        """Send one command and return its answer."""
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self.socket.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        return self.answer()

    def answer(self) -> Any:
        """The next answer: a text, a number, None, or a list of these."""
        line = self.answers.readline().decode(errors="replace").rstrip("\r\n")
        kind, rest = line[:1], line[1:]
        if kind == "+":
            return rest
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else self.answers.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == "*":
            return [self.answer() for _one in range(int(rest))]
        raise RedisError(rest or "it closed the connection")

    def setting(self, name: str, default: str) -> str:
        """What ``CONFIG GET`` says of a setting."""
        found = self.ask("CONFIG", "GET", name)
        return str(found[1]) if len(found) > 1 else default


def fields(text: str) -> dict[str, str]:
    """What ``INFO`` printed, by name."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def keys(info: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """The number of keys, and of those that expire, by database."""
    found = {}
    for name, text in info.items():
        if re.fullmatch(r"db\d+", name):
            numbers = dict(part.split("=", 1) for part in text.split(","))
            found[name] = {kind: int(numbers[kind]) for kind in ("keys", "expires")}
    return found


def listed(directory: Path, name: str) -> list[str]:
    """The lines of a manifest that name files in use, in order."""
    lines = (directory / f"{name}.manifest").read_text().splitlines()
    used = [(line, LINE.fullmatch(line)) for line in lines if line and not line.startswith("#")]
    if unknown := [line for line, found in used if found is None]:
        raise RedisError(f"the manifest of its append-only files has the line {unknown[0][:200]!r}")
    return [line for line, found in used if found and found["kind"] != "h"]


def copy(data: Path, path: str, out: Path) -> dict[str, Any]:
    """Copy the files of a Redis as of one moment.

    :param path: the socket of Redis.
    :returns: what it held at that moment.
    """
    redis = Redis(path)
    if redis.setting("appendonly", "no") != "yes":
        raise RedisError("it keeps no append-only file (appendonly no), so there is nothing of it to save")
    directory, name = data / redis.setting("appenddirname", DIRECTORY), redis.setting("appendfilename", FILES)
    until = time.monotonic() + SECONDS_TO_SETTLE
    while True:
        with ExitStack() as stack:
            try:
                lines = listed(directory, name)
                names = [line.split()[1] for line in lines]
                opened = [stack.enter_context((directory / one).open("rb")) for one in names]
                done = copy_opened(redis, opened, names, out, lambda seen=lines: listed(directory, name) == seen)
            except FileNotFoundError:
                done = None  # A rewrite has ended in between.
            if done is not None:
                (out / f"{FILES}.manifest").write_text("".join(f"{line}\n" for line in lines))
                return done
        if time.monotonic() > until:
            raise RedisError(f"a rewrite of its append-only file has not ended within {SECONDS_TO_SETTLE} s")
        time.sleep(0.2)


def copy_opened(
    redis: Redis, opened: Sequence[IO[bytes]], names: Sequence[str], out: Path, unchanged: Any
) -> dict[str, Any] | None:
    """Copy files that are open, as of now; None while a rewrite is under way or has exchanged them.

    :param unchanged: tells whether the manifest still names these files.
    """
    redis.ask("MULTI")
    for section in ("persistence", "keyspace", "server", "memory"):
        redis.ask("INFO", section)
    state, held, server, memory = map(fields, redis.ask("EXEC"))
    if state.get("aof_rewrite_in_progress") != "0" or not opened or not unchanged():
        return None
    written = int(state["aof_current_size"]) + int(state["aof_buffer_length"])
    # The empty base that a server makes when it starts for the first time is in no number until it is rewritten.
    counted = opened[:-1] if int(state["aof_base_size"]) else opened[1:-1]
    last = written - sum(os.fstat(one.fileno()).st_size for one in counted)
    wait_for_size(opened[-1], last)
    if not is_between_commands(opened[-1], last):
        raise RedisError("its append-only files are not as long as it says")
    for one, name in zip(opened, names, strict=True):
        with (out / name).open("xb") as target:
            copy_bytes(one, target, last if one is opened[-1] else -1)
    used = int(memory.get("used_memory", 0))
    return {"keys": keys(held), "version": server.get("redis_version", ""), "memory": used}


def wait_for_size(file: IO[bytes], size: int) -> None:
    """Wait until Redis has written so much of a file."""
    until = time.monotonic() + 30
    while os.fstat(file.fileno()).st_size < size:
        if time.monotonic() > until:
            raise RedisError("it did not write its append-only file within 30 s")
        time.sleep(0.05)


def is_between_commands(file: IO[bytes], place: int) -> bool:
    """Whether a command, or a comment, ends at this place of a file, and another begins there or nothing."""
    before, after = os.pread(file.fileno(), 2, max(0, place - 2)), os.pread(file.fileno(), 1, place)
    return place >= 0 and (place == 0 or before == b"\r\n") and after in (b"", b"*", b"#")


def copy_bytes(source: IO[bytes], target: IO[bytes], length: int) -> None:
    """Copy the first bytes of a file, or all of it for a negative length."""
    if length < 0:
        shutil.copyfileobj(source, target, BLOCK)
        return
    while length and (block := source.read(min(BLOCK, length))):
        target.write(block)
        length -= len(block)
    if length:
        raise RedisError("its append-only file ended early")


def count(directory: Path) -> dict[str, Any]:
    """Load a copy into a server of its own and count what it holds; the server is ended."""
    program = next((one for one in SERVERS if os.path.exists(one)), "")
    if not program:
        raise RedisError("there is no server of Redis on this host. Run the playbook groundwork.flask.site first")
    with tempfile.TemporaryDirectory() as place:
        path, log = f"{place}/redis.sock", Path(place) / "log"
        options = {
            "port": "0",
            "unixsocket": path,
            "dir": str(directory),
            "appendonly": "yes",
            "appenddirname": DIRECTORY,
            "appendfilename": FILES,
            "appendfsync": "no",
            "aof-load-truncated": "no",
            "auto-aof-rewrite-percentage": "0",
            "save": "",
            "daemonize": "no",
        }
        argv = [SERVERS[program], *(word for name, value in options.items() for word in (f"--{name}", value))]
        with (
            log.open("wb") as output,
            subprocess.Popen(argv, executable=program, stdout=output, stderr=output, env={}) as server,
        ):
            try:
                return loaded(server, path, log)
            finally:
                server.kill()


def loaded(server: subprocess.Popen[bytes], path: str, log: Path) -> dict[str, Any]:
    """Wait until a server has loaded its files, and return what it holds."""
    while server.poll() is None:
        try:
            redis = Redis(path)
            state = fields(redis.ask("INFO", "persistence"))
            if state.get("loading") == "0" and state.get("async_loading", "0") == "0":
                return {"keys": keys(fields(redis.ask("INFO", "keyspace")))}
        except (OSError, RedisError):
            pass  # It is not there yet.
        time.sleep(0.1)
    last = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise RedisError(f"a server does not load it: {' / '.join(last)}")


def main(command: str, *arguments: str) -> None:
    """Carry out one command; SystemExit when it fails."""
    os.umask(0o077)
    try:
        if command == "copy":
            data, path, out = arguments
            done = copy(Path(data), path, Path(out))
        else:
            done = count(Path(*arguments))
    except (OSError, RedisError, ValueError, KeyError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
