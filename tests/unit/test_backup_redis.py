"""A copy of Redis' append-only files is of one moment, however much is written meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import step_redis
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.backup.service_redis import counted, differences
from ansible_collections.groundwork.flask.plugins.module_utils.backup.space import need_memory
from ansible_collections.groundwork.flask.plugins.module_utils.backup.step_redis import RedisError, copy, listed
from ansible_collections.groundwork.flask.tests.unit.backup_services import FakeRedis

SET = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n"
MANIFEST = """file appendonly.aof.2.base.rdb seq 2 type b
file appendonly.aof.1.incr.aof seq 1 type h
file appendonly.aof.2.incr.aof seq 2 type i
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The directory of a Redis that has written three commands since its last rewrite."""
    files = tmp_path / "data" / "appendonlydir"
    files.mkdir(parents=True)
    (files / "appendonly.aof.manifest").write_text(MANIFEST)
    (files / "appendonly.aof.2.base.rdb").write_bytes(b"REDIS0010")
    (files / "appendonly.aof.2.incr.aof").write_bytes(SET * 3)
    (tmp_path / "out").mkdir()
    return tmp_path / "data"


def copied(data: Path, **state: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What is said of a copy, and what is in it."""
    FakeRedis(data.parent / "socket", state)
    done = copy(data, str(data.parent / "socket"), data.parent / "out")
    return done, {path.name: path.read_bytes() for path in (data.parent / "out").iterdir()}


@pytest.mark.parametrize(
    "state",
    [
        {"aof_current_size": 9 + len(SET) * 2},
        # One command is written, and one about to be.
        {"aof_current_size": 9 + len(SET), "aof_buffer_length": len(SET)},
        # The empty base of a server's first start is in no number.
        {"aof_current_size": len(SET) * 2, "aof_base_size": 0},
    ],
)
def test_what_was_written_after_the_keys_were_counted_is_no_part_of_the_copy(data: Path, state: dict[str, int]) -> None:
    done, files = copied(data, **state)
    assert done == {"keys": {"db0": {"keys": 5, "expires": 2}}, "version": "7.0.15", "memory": 900}
    assert files == {
        "appendonly.aof.2.base.rdb": b"REDIS0010",
        "appendonly.aof.2.incr.aof": SET * 2,
        "appendonly.aof.manifest": "".join(MANIFEST.splitlines(True)[::2]).encode(),
    }


def test_a_copy_ends_between_two_commands(data: Path) -> None:
    with pytest.raises(RedisError, match="not as long as it says"):
        copied(data, aof_current_size=9 + len(SET) + 5)


def test_a_rewrite_that_is_under_way_is_waited_for_and_none_is_started(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    end = 9 + len(SET)
    redis = FakeRedis(
        data.parent / "socket", {"aof_rewrite_in_progress": 1, "aof_current_size": end}, {"aof_current_size": end}
    )
    copy(data, str(data.parent / "socket"), data.parent / "out")
    assert [words for words in redis.asked if words[0] == "EXEC"] == [["EXEC"]] * 2
    assert {words[0] for words in redis.asked} == {"CONFIG", "MULTI", "INFO", "EXEC"}
    assert all(words[1] == "GET" for words in redis.asked if words[0] == "CONFIG")
    monkeypatch.setattr(step_redis, "SECONDS_TO_SETTLE", -1)
    FakeRedis(data.parent / "other", {"aof_rewrite_in_progress": 1, "aof_current_size": end})
    with pytest.raises(RedisError, match="has not ended"):
        copy(data, str(data.parent / "other"), data.parent / "out")


def test_a_redis_without_an_append_only_file_is_refused(data: Path) -> None:
    FakeRedis(data.parent / "socket", {}, appendonly="no")
    with pytest.raises(RedisError, match="it keeps no append-only file"):
        copy(data, str(data.parent / "socket"), data.parent / "out")


@pytest.mark.parametrize("line", ["file ../x seq 1 type b", "file /etc/passwd seq 1 type b", "anything"])
def test_a_manifest_names_files_in_its_directory(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.manifest").write_text(f"{line}\n")
    with pytest.raises(RedisError, match="has the line"):
        listed(tmp_path, "a")


def test_memory_is_made_sure_of_before_a_copy_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  2048 kB\nMemAvailable:    1024 kB\n")
    need_memory(1 << 20, "loading it", tmp_path / "meminfo")
    with pytest.raises(BackupError, match=r"loading it needs 2.0 MiB of memory, and the host has 1.0 MiB available"):
        need_memory(2 << 20, "loading it", tmp_path / "meminfo")


def test_keys_that_expire_may_be_fewer_and_no_others() -> None:
    saved = {"db0": {"keys": 10, "expires": 4}, "db3": {"keys": 1, "expires": 1}}
    assert differences(saved, {"db0": {"keys": 8, "expires": 2}}) == []
    assert differences(saved, {"db0": {"keys": 9, "expires": 4}, "db3": {"keys": 2, "expires": 2}}) == [
        "Redis db0: 5 keys that do not expire instead of 6",
        "Redis db3: 2 keys that expire instead of 1 at most",
    ]


@pytest.mark.parametrize(
    "answer", [{}, {"keys": 5}, {"keys": {"db0": {}}}, {"keys": {"x\n": {"keys": 1, "expires": 0}}}]
)
def test_what_a_step_says_of_keys_is_data(answer: Any) -> None:
    with pytest.raises(BackupError, match="did not say how many keys"):
        counted(answer)
