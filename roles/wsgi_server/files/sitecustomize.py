"""Has the app's programs see its code as the app does: `alembic`, `celery`, a script that the app itself installs.

Python imports this when it starts. The directories of the code come before the installed packages, as under the
server, and after the standard library, so that a `types.py` or `email.py` of the app breaks no program. What puts the
working directory first, as `python -m` and `flask` do, goes on to do so. The server's own modules come before the code.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False  # every start of a Python of the app pays for what is imported here; typing alone takes 5 ms
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any

CODE = [directory for directory in os.environ.get("GROUNDWORK_PATH", "").split(":") if directory]


def show_code() -> None:
    """Put the directories of the code on the path."""
    installed = (place for place, entry in enumerate(sys.path) if entry.endswith(("site-packages", "dist-packages")))
    place = len(sys.path) if is_shadowed(sys.argv[0]) else next(installed, len(sys.path))
    sys.path[place:place] = [directory for directory in CODE if directory not in sys.path]


def is_of_the_app() -> bool:
    """Whether this is the Python of the app's virtual environment."""
    return os.path.realpath(sys.prefix) == os.path.realpath(os.environ.get("VIRTUAL_ENV", ""))


def is_shadowed(program: str) -> bool:
    """Whether this is a program of a package whose name a module of the code has too, as a directory `alembic` may."""
    beside, name = os.path.split(program)
    if not os.path.exists(os.path.join(beside, "python")):
        return False
    modules = (os.path.join(directory, name, "__init__.py") for directory in CODE)
    return any(map(os.path.exists, (*modules, *(os.path.join(directory, f"{name}.py") for directory in CODE))))


def find_on_path(name: str, path: list[str] | None = None) -> ModuleSpec | None:
    """Find a module as Python itself does, without `importlib.machinery`, which imports more than is needed."""
    from _frozen_importlib_external import PathFinder

    found: ModuleSpec | None = PathFinder.find_spec(name, path)
    return found


def run_hidden() -> None:
    """Run the file of this name that Python would have imported without this one."""
    hidden = [entry for entry in sys.path if entry not in (os.path.dirname(os.path.abspath(__file__)), *CODE)]
    spec = find_on_path(__name__, hidden)
    if spec and spec.loader:
        module = type(sys)(__name__)
        module.__file__ = spec.origin
        spec.loader.exec_module(module)


class LevelsOfLogging:
    """Has what Python's logging writes to the journal as it is arrive there with its level, line by line.

    systemd takes ``<3>`` at the beginning of a line as its level, and away. Nothing is done before a program imports
    ``logging``, and nothing to a handler or formatter of another class than Python's own, or to a stream that is a
    file, a pipe or a terminal.
    """

    has_acted = False

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Have ``logging`` loaded as ever, and amended then."""
        if name != "logging" or self.has_acted:
            return None
        self.has_acted = True
        spec = find_on_path(name)
        loader: Any = spec.loader if spec else None
        if hasattr(loader, "exec_module"):
            load = loader.exec_module

            def load_and_amend(module: Any) -> None:
                load(module)
                with_levels(module)

            loader.exec_module = load_and_amend
        return spec


def with_levels(logging: Any) -> None:
    """Amend Python's module ``logging``; a module of the app's of that name is left alone."""
    as_they_are = [getattr(logging, name, None) for name in ("StreamHandler", "_StderrHandler")]
    if not all(as_they_are) or not hasattr(logging, "Formatter"):
        return
    unchanged = logging.Handler.format

    def formatted(self: Any, record: Any) -> str:
        text: str = unchanged(self, record)
        if type(self) not in as_they_are or type(self.formatter) not in (logging.Formatter, type(None)):
            return text
        if has_level(text) or self.terminator != "\n" or not is_journal(self.stream):
            return text
        level = next((str(level) for least, level in LEVELS if record.levelno >= least), "7")
        return f"<{level}>" + text.replace("\n", f"\n<{level}>")

    logging.StreamHandler.format = formatted


LEVELS = ((50, 2), (40, 3), (30, 4), (20, 6))  # of Python, and of syslog: critical, error, warning, info


def has_level(text: str) -> bool:
    """Whether a text begins with what systemd takes as a level: up to three digits, for the facility is there too."""
    digits, end, _rest = text[1:5].partition(">")
    return bool(end and text[0] == "<" and digits.isdigit())


def is_journal(stream: Any) -> bool:
    """Whether all that is written to a stream goes to the journal, and nowhere else."""
    try:
        # What Gunicorn gives an app for its errors writes to several.
        if streams := getattr(stream, "streams", None):
            return all(map(is_journal, streams))
        # Of the app's own class, it may keep a copy. Flask's proxy for the stream of the request has that one's class.
        if stream.__class__ is not io.TextIOWrapper:
            return False
        found = os.fstat(stream.fileno())
    except (AttributeError, OSError, ValueError, TypeError):
        return False
    return f"{found.st_dev}:{found.st_ino}" == os.environ.get("JOURNAL_STREAM")


def show_levels() -> None:
    """Amend ``logging``, now or when it is imported."""
    if "logging" in sys.modules:
        with_levels(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, LevelsOfLogging())


# The variable is set for the server alone, and not for what it starts. Programs of the host, which have packages of
# their own, see none of the app's code.
if not os.environ.pop("GROUNDWORK_STARTS_SERVER", "") and is_of_the_app():
    show_code()
    if os.environ.get("SENTRY_DSN"):
        import groundwork_errors  # beside this file; it loads no more until there is an error, or a worker

        groundwork_errors.arm()
if os.environ.get("JOURNAL_STREAM") and os.environ.get("GROUNDWORK_LOG_LEVELS") != "0" and is_of_the_app():
    show_levels()
run_hidden()
