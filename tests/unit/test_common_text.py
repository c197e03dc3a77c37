"""What an app says, as a terminal and a log get it."""

from __future__ import annotations

import time

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line, printable, visible
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcödé ☃ 𝄞 日本", "plain, ünïcödé ☃ 𝄞 日本"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("50 %\rdone", "50 %\\rdone"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x00\x08\x0b\x0c\x7f", "\\x00\\x08\\x0b\\x0c\\x7f"),
        ("\x80\x85\x9b31m\x9f", "\\x80\\x85\\x9b31m\\x9f"),
        ("soft\xadhyphen", "soft\\xadhyphen"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\u202enur\u202c \u2066x\u2069", "\\u202enur\\u202c \\u2066x\\u2069"),
        ("a\u200bb\u200d\ufeff\u2060", "a\\u200bb\\u200d\\ufeff\\u2060"),
        ("\udcff", "\\udcff"),
        ("\\x1b is written so", "\\x1b is written so"),
        ("", ""),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    shown.encode()


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("one\ntwo\n\n  three\t", 200, "one two three"),
        ("failed\nroot: all is well", 200, "failed root: all is well"),
        ("\x1b[1m\r\n", 200, "\\x1b[1m"),
        ("12345", 5, "12345"),
        ("123456", 5, "1234…"),
        ("\u2028", 200, "\\u2028"),
        (" \n ", 200, ""),
    ],
)
def test_line(text: str, limit: int, shown: str) -> None:
    assert line(text, limit) == shown


def test_an_error_is_printable() -> None:
    error = ReleaseError("import", "it said \x1b[2J", "Traceback\n\x07 in \u202egnp.py")
    assert (error.message, error.log) == ("it said \\x1b[2J", "Traceback\n\\x07 in \\u202egnp.py")
    assert str(error) == "it said \\x1b[2J\n  Traceback\n  \\x07 in \\u202egnp.py"


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (
            "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>",
            "500 Internal Server Error Internal Server Error",
        ),
        ("<html><style>\np { color: red }\n</style><!-- <b> --><body class='a'><p>No <b>host</b></body>", "No host"),
        ("<HTML><SCRIPT>alert(1)</SCRIPT ><P>\x1b[2J", "\\x1b[2J"),
        ("<html><body>1 < 2", "1 < 2"),
        ('{"error": "<class \'KeyError\'>"}', '{"error": "<class \'KeyError\'>"}'),
        ("plain\ntext", "plain text"),
        ("<html><body>" + "x" * 10_000, "x" * 199 + "…"),
        ("", ""),
    ],
)
def test_what_a_visitor_reads_of_a_page(page: str, shown: str) -> None:
    assert visible(page) == shown


def test_a_page_that_is_made_to_be_slow_is_not() -> None:
    began = time.thread_time()
    for page in (
        "<html>" + "<script" * 3000,
        "<html>" + "<!--" * 5000,
        "<html>" + "<a" * 10_000,
        "<h1>" + "</style" * 3000,
    ):
        visible(page)
    assert time.thread_time() - began < 2  # 0.035 on a quiet machine
