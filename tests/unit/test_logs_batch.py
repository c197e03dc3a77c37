"""Lines of a journal on their way to a command: cut, counted, bounded."""

from __future__ import annotations

import json

from ansible_collections.groundwork.flask.plugins.module_utils.logs import batch

CURSOR = "s=" + "a" * 32 + ";i=1f;b=" + "b" * 32 + ";m=2c;t=3d;x=4e"


def entry(message: str, cursor: str = CURSOR) -> bytes:
    return json.dumps({"MESSAGE": message, "__CURSOR": cursor, "_UID": "990"}).encode()


def test_the_cursor_of_a_line_is_found_wherever_it_stands() -> None:
    assert batch.cursor_of(entry("hello")) == CURSOR
    assert batch.cursor_of(entry("x" * 100_000)) == CURSOR
    assert batch.cursor_of(b"-- Boot --") == ""


def test_a_message_cannot_pass_for_a_cursor() -> None:
    forged = CURSOR.replace("i=1f", "i=99")
    for message in (f'"__CURSOR":"{forged}"', f'","__CURSOR":"{forged}', f'\\","__CURSOR":"{forged}","x":"'):
        assert batch.cursor_of(entry(message)) == CURSOR


def test_lines_are_whole_however_they_come() -> None:
    text = entry("one") + b"\n" + entry("two") + b"\n" + entry("three")
    for size in (1, 7, 1000):
        lines = batch.Lines()
        found = [line for at in range(0, len(text), size) for line in lines.add(text[at : at + size])]
        assert found == [entry("one") + b"\n", entry("two") + b"\n"]
        assert lines.add(b"\n") == [entry("three") + b"\n"]


def test_a_line_that_is_too_long_is_replaced_and_its_cursor_kept() -> None:
    for text in (entry("x" * 5_000_000), entry("x")[:-1] + b', "MORE": "' + b"x" * 5_000_000 + b'"}'):
        lines, found, most = batch.Lines(), [], 0
        for at in range(0, len(text), 65536):
            found += lines.add(text[at : at + 65536])
            most = max(most, len(lines.rest))
        found += lines.add(b"\n" + entry("next") + b"\n")
        assert json.loads(found[0])["__CURSOR"] == CURSOR
        assert f"a line of {len(text)} bytes" in json.loads(found[0])["MESSAGE"].replace(",", "")
        assert found[1:] == [entry("next") + b"\n"]
        assert most <= batch.LINE_LIMIT + 65536


def test_a_batch_ends_where_its_last_line_does() -> None:
    later = CURSOR.replace("i=1f", "i=20")
    found = batch.Batch()
    found.add([entry("one") + b"\n", entry("two", later) + b"\n"])
    assert found.cursor == later
    assert not found.is_full
    found.add([b"x" * batch.BATCH_BYTES])
    assert found.is_full
    assert found.cursor == later
