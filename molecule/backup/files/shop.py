"""A small app: `serve` answers on the socket it was given, `write` moves money about, fifty times a second."""

from __future__ import annotations

import os
import select
import signal
import socket
import sqlite3
import sys
import time

DATABASE = "/var/lib/shop/shop.db"


def connect() -> sqlite3.Connection:
    """Open the database as many apps do: made when it is not there, in WAL mode."""
    database = sqlite3.connect(DATABASE, timeout=30, isolation_level=None)
    database.execute("PRAGMA journal_mode = wal")
    database.execute("CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, amount INTEGER)")
    database.execute("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, text TEXT)")
    database.execute("INSERT OR IGNORE INTO account VALUES (1, 1000000), (2, 1000000)")
    return database


def write() -> None:
    """The sum of both accounts stays the same; a torn copy shows another one."""
    while True:
        try:
            database = connect()
            while os.path.exists(DATABASE):
                database.execute("BEGIN IMMEDIATE")
                database.execute("UPDATE account SET amount = amount - 1 WHERE id = 1")
                database.execute("UPDATE account SET amount = amount + 1 WHERE id = 2")
                database.execute("COMMIT")
                time.sleep(0.02)
        except sqlite3.Error:
            time.sleep(0.05)


def serve() -> None:
    """Answer each visitor with the number of entries; asked to stop, answer the one who is there and go."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    listener = socket.socket(fileno=3)
    database = connect()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    while signal.SIGTERM not in signal.sigpending():
        if not select.select([listener], [], [], 0.1)[0]:
            continue
        visitor, _address = listener.accept()
        visitor.recv(1000)
        try:
            answer = str(database.execute("SELECT count(*) FROM entry").fetchone()[0])
        except sqlite3.Error as error:
            answer = repr(error)
        visitor.sendall(f"HTTP/1.0 200 OK\r\n\r\n{answer}".encode())
        visitor.close()


if __name__ == "__main__":
    {"serve": serve, "write": write}[sys.argv[1]]()
