# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run other programs as root: without a shell, with a fixed environment, a time limit and bounded output.

A program is named by its absolute path and gets nothing of the caller's environment. It runs in ``/`` in a session of
its own, so that it can be ended with all that it has started. :func:`run` keeps the end of the output in memory, which
is right for most programs; :func:`run_to_files` keeps all of it in two files, for output that is read item by item.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import IO, Any, cast

from .text import line

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
)
OUTPUT_LIMIT = 2**20  # bytes of each stream that run() keeps
ANSWER_LIMIT = 2**26  # bytes that LongOutput.stdout reads as one text
LINE_LIMIT = 2**20  # bytes of one line of a LongOutput
OUTPUT_GRACE = 2  # seconds to wait for output that what a program has left behind holds open
SECONDS_TO_END = 10  # between SIGTERM and SIGKILL


@contextlib.contextmanager
def time_limit(seconds: float, error: Exception | None = None) -> Iterator[None]:
    """Interrupt the block when it takes longer, whatever it waits for. Only for the main thread.

    :param seconds: 0 for no limit. Of two nested blocks, the shorter remaining time counts.
    :param error: what to raise; by default a TimeoutError that says the seconds.
    """
    outer, began = signal.getitimer(signal.ITIMER_REAL)[0], time.monotonic()
    if not seconds or 0 < outer < seconds:
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise error or TimeoutError(f"it takes more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        finally:  # the time may be up at this very moment; the limit around this one counts on
            signal.signal(signal.SIGALRM, before)
            if outer:
                signal.setitimer(signal.ITIMER_REAL, max(0.01, outer - (time.monotonic() - began)))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program that leads a session of its own, and all that it has started: with SIGTERM, then SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS_TO_END)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(
    argv: Sequence[str],
    *,
    seconds: float | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
    payload: bytes = b"",
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    merge: bool = False,
    limit: int = OUTPUT_LIMIT,
    errors: str = "replace",
) -> subprocess.CompletedProcess[str]:
    """Run a program and return its exit status with the end of what it printed.

    It is ended, with all that it has started, when the caller is interrupted, for example by :func:`time_limit`.

    :param argv: the argument vector; the first element is an absolute path.
    :param seconds: the time limit; None for no limit of its own.
    :param environment: all of its environment variables.
    :param payload: its standard input; empty by default.
    :param stdin: a file that is its standard input, in place of a payload.
    :param stdout: a file that its standard output goes to; none of it is returned then.
    :param merge: standard error goes into ``stdout``, in order; ``stderr`` is then empty.
    :param limit: bytes of each stream that are kept.
    :param errors: how bytes that are not UTF-8 are read: ``surrogateescape`` keeps file names as they are.
    :raises OSError: the program cannot be started.
    :raises subprocess.TimeoutExpired: it took longer than ``seconds``, and was ended.
    """
    with contextlib.ExitStack() as stack:
        if payload:
            import tempfile  # with all that it reads itself: a program that runs twice a minute needs none of it

            stdin = stack.enter_context(tempfile.TemporaryFile())
            stdin.write(payload)
            stdin.seek(0)
        process = stack.enter_context(
            subprocess.Popen(
                argv,
                env=dict(environment),
                cwd="/",
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or subprocess.PIPE,
                stderr=subprocess.STDOUT if merge else subprocess.PIPE,
                start_new_session=True,
            )
        )
        try:
            out, err = _collect(process, seconds, limit)
        except BaseException:
            end(process)
            raise
    return subprocess.CompletedProcess(argv, process.returncode, out.decode(errors=errors), err.decode(errors=errors))


def _collect(process: subprocess.Popen[bytes], seconds: float | None, limit: int) -> tuple[bytes, bytes]:
    """Wait for the end of a process; the last bytes of its two streams.

    Its own end counts, not that of its streams: what it has left behind may hold these open for ever.

    :raises subprocess.TimeoutExpired: it is still running after ``seconds``.
    """
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    kept = {stream: bytearray() for stream in (process.stdout, process.stderr) if stream}
    with open(os.pidfd_open(process.pid), "rb") as ended, selectors.DefaultSelector() as selector:
        for stream in (*kept, ended):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _events in selector.select(None if left == math.inf else left):
                stream = cast("IO[bytes]", key.fileobj)
                if stream is ended:
                    deadline = time.monotonic() + OUTPUT_GRACE
                elif block := os.read(stream.fileno(), 2**16):
                    kept[stream] += block
                    del kept[stream][:-limit]
                    continue
                selector.unregister(stream)
    if process.poll() is None:
        raise subprocess.TimeoutExpired(process.args, seconds or 0)
    out, err = (bytes(kept[stream]) if stream else b"" for stream in (process.stdout, process.stderr))
    return out, err


@dataclass(frozen=True)
class LongOutput:
    """The exit status of a program whose output may be long, and the two files without a name that hold all of it."""

    returncode: int
    out: IO[bytes]
    err: IO[bytes]

    @property
    def stdout(self) -> str:
        """All of its standard output.

        :raises OSError: EFBIG when it is longer than :data:`ANSWER_LIMIT`.
        """
        self.out.seek(0)
        found = self.out.read(ANSWER_LIMIT + 1)
        if len(found) > ANSWER_LIMIT:
            raise OSError(errno.EFBIG, f"the output is longer than {ANSWER_LIMIT} bytes")
        return found.decode(errors="surrogateescape")

    @property
    def stderr(self) -> str:
        """The end of its standard error, at most :data:`LINE_LIMIT` bytes."""
        length = self.err.seek(0, os.SEEK_END)
        self.err.seek(max(0, length - LINE_LIMIT))
        return self.err.read().decode(errors="surrogateescape")

    @staticmethod
    def objects(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
        """The JSON objects among the lines of ``out`` or ``err``; any other line is skipped."""
        stream.seek(0)
        while raw := stream.readline(LINE_LIMIT):
            with contextlib.suppress(ValueError):
                found = json.loads(raw.decode(errors="surrogateescape"))
                if isinstance(found, dict):
                    yield found


def file_of(payload: bytes, directory: Path) -> IO[bytes]:
    """A file without a name that holds the payload, to be read from its beginning."""
    import tempfile

    file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - the caller closes it
    file.write(payload)
    file.seek(0)
    return file


def run_to_files(
    argv: Sequence[str],
    directory: Path,
    *,
    environment: Mapping[str, str] = ENVIRONMENT,
    payload: bytes = b"",
    pass_fds: Sequence[int] = (),
    before: Callable[[], None] | None = None,
) -> LongOutput:
    """Run a program whose output may be long; see :func:`run`. The time limit is the caller's :func:`time_limit`.

    :param directory: where the two files are made; only root may be able to write there.
    :param payload: its standard input; empty by default.
    :param pass_fds: descriptors that stay open in the program.
    :param before: called in the new process before the program starts.
    :raises OSError: the program cannot be started.
    """
    import tempfile

    out, err = (tempfile.TemporaryFile(dir=directory) for _stream in range(2))  # noqa: SIM115 - the caller reads them
    with (
        file_of(payload, directory) as given,
        subprocess.Popen(
            argv,
            env=dict(environment),
            cwd="/",
            stdin=given,
            stdout=out,
            stderr=err,
            pass_fds=pass_fds,
            preexec_fn=before,
            start_new_session=True,
        ) as process,
    ):
        try:
            process.wait()
        except BaseException:
            end(process)
            raise
    return LongOutput(process.returncode, out, err)


def explanation(result: subprocess.CompletedProcess[str], limit: int = 500) -> str:
    """What a program printed, errors first, on one printable line; its exit status if it printed nothing."""
    return line(f"{result.stderr}\n{result.stdout}", limit) or f"exit status {result.returncode}"
