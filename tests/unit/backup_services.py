"""A database server and a Redis that only pretend, for the tests of what a set saves beside its files."""

from __future__ import annotations

import getpass
import json
import shutil
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import service_database, service_redis
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet, Config
from ansible_collections.groundwork.flask.plugins.module_utils.backup.snapshot import SnapshotManifest
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError

USER = getpass.getuser()


class FakeServer:
    """Databases that are files: a dump is one of them with its tables in it.

    :ivar fail: methods that fail.
    :ivar live: tables by database.
    """

    def __init__(self, place: Path) -> None:
        self.place, self.fail, self.made = place, set[str](), list[str]()
        place.mkdir()
        self.write(USER, {"orders": 3})

    def write(self, database: str, tables: dict[str, int]) -> None:
        (self.place / database).write_text(json.dumps({"tables": tables}))

    def tables(self, database: str = "") -> dict[str, int]:
        found: dict[str, int] = json.loads((self.place / (database or USER)).read_text())["tables"]
        return found

    def step(self, code: str, *arguments: str) -> list[str]:
        return [
            "/usr/bin/python3",
            "-I",
            "-c",
            f"import sys, shutil, pathlib; a, *b = sys.argv[1:]; {code}",
            *arguments,
        ]

    def dump(self, target: str, database: str = "") -> list[str]:
        if "dump" in self.fail:
            return self.step("sys.exit(a)", "pg_dump: it ended early")
        return self.step("shutil.copy(a, b[0]); print(open(a).read())", str(self.place / (database or USER)), target)

    def load(self, dump: str, database: str = "") -> list[str]:
        if "load" in self.fail:
            return self.step("sys.exit(a)", "pg_restore: unexpected end of file")
        code = 'shutil.copy(a, b[0]); print(\'{"skipped": ["EVENT TRIGGER x"]}\')'
        return self.step(code, dump, str(self.place / database))

    def counts(self, database: str = "") -> list[str]:
        return self.step("print(open(a).read())", str(self.place / (database or USER)))

    def exists(self, database: str = "") -> bool:
        return (self.place / (database or USER)).exists()

    def size(self, database: str = "") -> int:
        return len((self.place / (database or USER)).read_bytes())

    def databases(self) -> list[str]:
        return sorted(path.name for path in self.place.iterdir())

    def create_fresh(self, suffix: str) -> str:
        self.made.append(f"{USER}.{suffix}")
        self.write(f"{USER}.{suffix}", {})
        return f"{USER}.{suffix}"

    def swap(self, fresh: str, kept: str) -> None:
        if "swap" in self.fail:
            raise DatabaseError("the server is shutting down")
        (self.place / USER).rename(self.place / kept)
        (self.place / fresh).rename(self.place / USER)

    def drop(self, database: str) -> None:
        (self.place / database).unlink(missing_ok=True)


def with_services(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, **options: Any) -> SimpleNamespace:
    """The scene with a set that has a database, and its server; no Redis is loaded or stopped."""
    scene.server = FakeServer(scene.path / "databases")
    scene.stopped = []
    monkeypatch.setattr(service_database, "server_of", lambda _app, _provider: scene.server)
    monkeypatch.setattr(service_database, "servers_with", lambda _app, _provider: [scene.server])
    monkeypatch.setattr(service_database, "DISKS", {"postgresql": scene.path, "mariadb": scene.path})
    monkeypatch.setattr(service_redis, "directory", lambda _app: scene.path / "redis")
    monkeypatch.setattr(service_redis, "unit_stopped", lambda _config, unit, **_again: Stopped(scene.stopped, unit))
    options = {"services": ("postgresql",), "user": USER, **options}
    scene.item = BackupSet("shop", (str(scene.data),), **options)
    scene.settings = scene.config(scene.item)
    scene.settings.state.mkdir()
    return scene


class Stopped:
    """A unit that is stopped for the time of a block."""

    def __init__(self, log: list[str], unit: str) -> None:
        self.log, self.unit = log, unit

    def __enter__(self) -> None:
        self.log.append(f"stop {self.unit}")

    def __exit__(self, *_error: object) -> None:
        self.log.append(f"start {self.unit}")


class FakeSnapshot:
    """A snapshot that is a directory."""

    id, time = "01234567", "2026-11-29T02:30:00Z"

    def __init__(self, config: Config, source: Path, stage: Path, place: Path) -> None:
        """Keep what a path and the stage have now, in ``place``."""
        self.kept, self.stage = place, place / str(stage).lstrip("/")
        shutil.rmtree(place, ignore_errors=True)
        for path in (source, stage):
            shutil.copytree(path, place / str(path).lstrip("/"))
        self.restic = SimpleNamespace(config=config, repository=SimpleNamespace(name="local"))

    def restore(self, target: Path) -> SnapshotManifest:
        shutil.copytree(self.kept, target)
        return SnapshotManifest.read(self, target)  # type: ignore[arg-type]  # it has what is asked of it


class FakeRedis:
    """A Redis that answers from a list of what it says of itself, for each time it is asked.

    :ivar asked: what it was asked.
    """

    def __init__(self, path: Path, *states: dict[str, Any], appendonly: str = "yes") -> None:
        self.states, self.appendonly, self.asked = list(states), appendonly, list[list[str]]()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        connection, _address = self.socket.accept()
        with connection.makefile("rwb") as stream:
            while line := stream.readline():
                words = []
                for _word in range(int(line[1:])):
                    length = int(stream.readline()[1:])
                    words.append(stream.read(length + 2)[:-2].decode())
                self.asked.append(words)
                stream.write(self.answer(words))
                stream.flush()

    def answer(self, words: list[str]) -> bytes:
        if words[:2] == ["CONFIG", "GET"]:
            return texts(words[2], self.appendonly) if words[2] == "appendonly" else b"*0\r\n"
        if words == ["EXEC"]:
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            persistence = {"aof_rewrite_in_progress": 0, "aof_buffer_length": 0, "aof_base_size": 1, **state}
            parts = [
                persistence,
                {"db0": "keys=5,expires=2,avg_ttl=0"},
                {"redis_version": "7.0.15"},
                {"used_memory": 900},
            ]
            return texts(*("".join(f"{key}:{value}\r\n" for key, value in part.items()) for part in parts))
        return b"+QUEUED\r\n"


def texts(*parts: str) -> bytes:
    """A list as Redis sends it."""
    return (f"*{len(parts)}\r\n" + "".join(f"${len(part)}\r\n{part}\r\n" for part in parts)).encode()
