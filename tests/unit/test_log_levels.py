"""What Python's logging writes to the journal has its level there; what an app does in its own way is left alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import servers

MULTILINE = """
import logging
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("x").exception("broken")
"""


class Program:
    """Python of a release; what it writes to stderr, as the journal gets it."""

    def __init__(self, top: Path) -> None:
        self.entry, self.venv = top / "entry", top / "venv"
        venv.create(self.venv, symlinks=True)
        self.entry.mkdir()
        for name in (servers.AT_START, *servers.ERRORS):
            (self.entry / name).write_text((servers.FILES / name).read_text())

    def run(self, code: str, **environment: str) -> str:
        installed = (path for path in sys.path if path.endswith("-packages"))
        journal, end = socket.socketpair()
        with journal, end:
            found = os.fstat(end.fileno())
            subprocess.run(
                (str(self.venv / "bin/python"), "-c", code), stderr=end.fileno(), check=True,
                timeout=300,
                env={
                    "PATH": os.defpath,
                    "VIRTUAL_ENV": str(self.venv),
                    "PYTHONPATH": ":".join([str(self.entry), *installed]),
                    "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}",
                    **environment,
                },
            )  # fmt: skip
            end.shutdown(socket.SHUT_RDWR)
            return b"".join(iter(lambda: journal.recv(2**16), b"")).decode()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(tmp_path_factory.mktemp("release"))


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("import logging; logging.warning('a')", "<4>WARNING:root:a\n"),
        ("import logging; logging.getLogger('x').error('a')", "<3>a\n"),
        ("import logging; logging.getLogger('x').critical('a\\nb')", "<2>a\n<2>b\n"),
        ("import logging; logging.basicConfig(level=5, format='%(message)s'); logging.info('a'); logging.log(5, 'b')",
         "<6>a\n<7>b\n"),
        ("import logging.handlers; logging.error('a')", "<3>ERROR:root:a\n"),
        ("import logging; logging.error('<User 3> a'); logging.basicConfig(format='%(message)s', force=True); "
         "logging.error('<User 3> a')", "<3>ERROR:root:<User 3> a\n<3><User 3> a\n"),
        ("import logging; logging.basicConfig(format='<5>%(message)s'); logging.error('its own')", "<5>its own\n"),
        ("import flask; flask.Flask('x').logger.error('a')", "<3>[TIME] ERROR in <string>: a\n"),
    ],
)  # fmt: skip
def test_logging_of_an_untouched_app(program: Program, code: str, written: str) -> None:
    found = program.run(code)
    head, bracket, rest = found.partition("[2")
    assert (f"{head}[TIME]{rest.partition(']')[2]}" if bracket else found) == written


def test_each_line_of_a_traceback(program: Program) -> None:
    lines = program.run(MULTILINE).splitlines()
    assert lines[0] == "<3>broken"
    assert lines[-1] == "<3>ZeroDivisionError: division by zero"
    assert all(line.startswith("<3>") for line in lines)


@pytest.mark.parametrize(
    "code",
    [
        # A handler of the app's own class, or a formatter of it, such as one for JSON.
        "import logging\nclass Own(logging.StreamHandler): pass\nlogging.basicConfig(handlers=[Own()])\n",
        "import logging\nclass Own(logging.Formatter):\n def format(self, r): return 'WARNING:root:a'\n"
        "h = logging.StreamHandler(); h.setFormatter(Own()); logging.basicConfig(handlers=[h])\n",
        # What goes to the journal and to somewhere else.
        "import logging, io, sys\nclass Two:\n streams = [sys.stderr, io.StringIO()]\n"
        " def write(self, text): sys.stderr.write(text)\n def flush(self): pass\n"
        "logging.basicConfig(stream=Two())\n",
        # What keeps a copy of each line, and passes for sys.stderr otherwise.
        "import logging, sys\nclass Tee:\n"
        " def write(self, text): sys.stderr.write(text)\n"
        " def __getattr__(self, name): return getattr(sys.stderr, name)\n"
        "logging.basicConfig(stream=Tee())\n",
        # What does not end its lines: a level would stand in the middle of one.
        "import logging\nh = logging.StreamHandler(); h.terminator = ''\n"
        "logging.basicConfig(handlers=[h], format='WARNING:root:%(message)s\\n')\n",
    ],
)
def test_what_the_app_does_in_its_own_way(program: Program, code: str) -> None:
    assert program.run(f"{code}\nlogging.warning('a')") == "WARNING:root:a\n"


def test_what_gunicorn_gives_an_app_for_its_errors(program: Program) -> None:
    code = (
        "import logging, sys\nclass Errors:\n streams = [sys.stderr]\n def write(self, text): sys.stderr.write(text)\n"
    )
    found = program.run(f"{code} def flush(self): pass\nlogging.basicConfig(stream=Errors()); logging.warning('a')")
    assert found == "<4>WARNING:root:a\n"


@pytest.mark.parametrize(
    "variables", [{"GROUNDWORK_LOG_LEVELS": "0"}, {"JOURNAL_STREAM": ""}, {"JOURNAL_STREAM": "1:2"}]
)
def test_without(program: Program, variables: dict[str, str]) -> None:
    assert program.run("import logging; logging.warning('a')", **variables) == "WARNING:root:a\n"


def test_a_file(program: Program, tmp_path: Path) -> None:
    program.run(f"import logging; logging.basicConfig(stream=open({str(tmp_path / 'log')!r}, 'w')); logging.error('a')")
    assert (tmp_path / "log").read_text() == "ERROR:root:a\n"


def test_a_program_that_logs_nothing_imports_nothing_for_it(program: Program) -> None:
    slow = "{'logging', 'typing', 're', 'enum', 'contextlib', 'importlib.machinery'}"
    shown = f"import sys; sys.stderr.write(str({slow} & set(sys.modules)))"
    assert program.run(shown, SENTRY_DSN="any", GROUNDWORK_PATH="any") == "set()"


def test_a_module_logging_of_the_app(program: Program, tmp_path: Path) -> None:
    (tmp_path / "logging.py").write_text("def warning(text): import sys; sys.stderr.write(text)")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import logging; logging.warning('a')"
    assert program.run(code) == "a"
