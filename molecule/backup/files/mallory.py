"""The data of an app that wants to harm: what no backup can save, what leads elsewhere, and a great many databases."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing

os.chdir("/var/lib/mallory")


def database(path: str) -> None:
    """A database with a row."""
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE t AS SELECT 'kept' AS x")
        made.commit()


for name, start in (("sparse", b""), ("sparse.db", b"SQLite format 3\0")):
    with open(name, "wb") as stream:
        stream.write(start)
        stream.truncate(4 << 40)
with open("unreadable", "w") as stream:
    os.chmod("unreadable", 0)
os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("socket")
for directory in ("d", "small", "odd"):
    os.mkdir(directory)
database("d/app.db")
for number in range(1250):
    database(f"small/{number:0120}.db")
for name in (
    "a\nb.db",
    "axb.db",
    "$HOME.db",
    "$$",
    "end ",
    "end\n",
    "st*r",
    "[x]",
    "back\\slash",
    "\x1b[2J.db",
    "\udcff",
):
    database(f"odd/{name}")
with open("odd/\x1b]0;owned\x07", "wb") as stream:
    stream.write(b"SQLite format 3\0" + b"\0" * 100)
here = os.open(".", os.O_RDONLY)
for _level in range(25):
    os.mkdir("d" * 200, dir_fd=here)
    here = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
