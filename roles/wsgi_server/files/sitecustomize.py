"""Has the app's programs see its code as the app does: `alembic`, `celery`, a script that the app itself installs.

Python imports this when it starts. The directories of the code come before the installed packages, as under the
server, and after the standard library, so that a `types.py` or `email.py` of the app breaks no program. What puts the
working directory first, as `python -m` and `flask` do, goes on to do so. The server's own modules come before the code.
"""

import os
import sys
from importlib.machinery import PathFinder

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


def run_hidden() -> None:
    """Run the file of this name that Python would have imported without this one."""
    hidden = [entry for entry in sys.path if entry not in (os.path.dirname(os.path.abspath(__file__)), *CODE)]
    spec = PathFinder.find_spec(__name__, hidden)
    if spec and spec.loader:
        module = type(sys)(__name__)
        module.__file__ = spec.origin
        spec.loader.exec_module(module)


# The variable is set for the server alone, and not for what it starts. Programs of the host, which have packages of
# their own, see none of the app's code.
if not os.environ.pop("GROUNDWORK_STARTS_SERVER", "") and is_of_the_app():
    show_code()
    if os.environ.get("SENTRY_DSN"):
        import groundwork_errors  # beside this file; it loads no more until there is an error, or a worker

        groundwork_errors.arm()
run_hidden()
