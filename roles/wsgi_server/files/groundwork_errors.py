"""Sends what goes wrong in the app to its error tracker, with the SDK that SENTRY_DSN has brought into the release.

The entry of the server starts it before it imports the app. Every other Python of the app costs nothing until it needs
it: a worker of RQ, Celery, Dramatiq or Huey when it starts to work, any other program when it ends with an exception.
An app that calls `sentry_sdk.init` itself takes over from there, with its own options.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing takes longer to import than the rest, and every program of the app imports this
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

SERVER_SECONDS, PROGRAM_SECONDS = 0.3, 2.0  # that a process waits at its end for what is not sent yet
REQUEST_SECONDS = 5
QUIET_SECONDS = 300.0  # between two lines of a process that say that the tracker takes nothing
# What the SDK calls a loss that nobody has asked for.
LOSSES = ("network_error", "queue_overflow", "ratelimit_backoff", "send_error", "internal_sdk_error")
THREADS = ("sentry-sdk.", "raven-sentry.")
# Of the SDK's own: no arguments of commands, no changes to how the app calls others over HTTP.
ALWAYS = (
    "logging.LoggingIntegration",
    "excepthook.ExcepthookIntegration",
    "dedupe.DedupeIntegration",
    "atexit.AtexitIntegration",
    "modules.ModulesIntegration",
    "threading.ThreadingIntegration",
)
last_loss = 0.0


def start(*integrations: str, request_id: Callable[[], str] | None = None, seconds: float = PROGRAM_SECONDS) -> None:
    """Start the SDK; whatever hinders it must not hinder the app.

    :param integrations: those of the libraries that this process works for, as ``rq.RqIntegration``.
    :param request_id: says under which number the proxy logs the request that is being answered.
    :param seconds: how long the process waits at its end for what is not sent yet.
    """
    import logging
    import warnings

    try:
        import sentry_sdk

        if not is_started(sentry_sdk):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of options that a newer SDK will rename
                sentry_sdk.init(**options(integrations, request_id, seconds))
    except Exception as error:  # its text may hold the DSN
        logging.getLogger("groundwork").warning("errors are not sent to the tracker: %s", type(error).__name__)


def finish() -> None:
    """Wait a moment for what is not sent yet, in a server that ends without Python's own end."""
    if sdk := sys.modules.get("sentry_sdk"):
        sdk.flush(SERVER_SECONDS)


def is_started(sdk: Any) -> bool:
    """Whether the SDK has a client, such as one of the app's own."""
    return bool(sdk.is_initialized() if hasattr(sdk, "is_initialized") else sdk.Hub.current.client)


def options(
    integrations: Sequence[str], request_id: Callable[[], str] | None = None, seconds: float = PROGRAM_SECONDS
) -> dict[str, Any]:
    """What the SDK is started with; it reads release and environment from the process's variables."""
    from groundwork_filter import Filter
    from sentry_sdk.integrations.logging import ignore_logger

    ignore_logger("groundwork")
    keep = Filter(os.environ, request_id)
    rate = os.environ.get("SENTRY_TRACES_SAMPLE_RATE", "")
    return {
        "dsn": os.environ["SENTRY_DSN"],
        "send_default_pii": False,
        "max_request_body_size": "never",
        "max_value_length": 4096,
        "default_integrations": False,
        "auto_enabling_integrations": False,
        "integrations": [made for name in (*ALWAYS, *integrations) if (made := integration(name, bool(rate)))],
        # Its package may be installed, where the SDK takes what lies for a library's.
        "in_app_include": [os.environ.get("WSGI_APP", "").partition(":")[0].partition(".")[0]],
        "before_send": keep,
        "before_send_transaction": keep,
        "auto_session_tracking": False,
        "send_client_reports": False,
        "shutdown_timeout": seconds,
        "transport": transport(),
        **({"traces_sample_rate": float(rate)} if rate else {}),
    }


def integration(name: str, traces: bool = False) -> Any:
    """An integration of the SDK; None where this SDK, or the version of the library, does not have it.

    :param traces: whether requests are traced; without, a request is spared the time that it takes to begin a trace.
    """
    import importlib
    import inspect

    module, _dot, kind = name.partition(".")
    try:
        found = getattr(importlib.import_module(f"sentry_sdk.integrations.{module}"), kind)
        wanted = {"callback": say_nothing, **({} if traces else {"http_methods_to_capture": ()})}
        known = inspect.signature(found).parameters
        return found(**{option: value for option, value in wanted.items() if option in known})
    except Exception:  # its DidNotEnable
        return None


def say_nothing(_pending: int, _seconds: float) -> None:
    """In place of the SDK's lines about what it still has to send."""


def transport() -> Any:
    """How events are sent: by a thread that waits for no more than a hundred, with a line in the log when it fails."""
    import logging

    from sentry_sdk.transport import HttpTransport

    class Transport(HttpTransport):
        """Of the SDK, with less patience."""

        TIMEOUT = REQUEST_SECONDS

        def record_lost_event(self, reason: str, *arguments: Any, **words: Any) -> None:
            """Say that an event is lost."""
            report_loss(reason)
            super().record_lost_event(reason, *arguments, **words)

    def is_of_the_app(record: logging.LogRecord) -> bool:
        return not (record.threadName or "").startswith(THREADS)

    logging.getLogger("urllib3.connectionpool").addFilter(is_of_the_app)
    return Transport


def report_loss(reason: str) -> None:
    """Log that the tracker takes no events, now and then."""
    global last_loss
    import logging
    import time

    if reason in LOSSES and (not last_loss or time.monotonic() - last_loss > QUIET_SECONDS):
        last_loss = time.monotonic()
        logging.getLogger("groundwork").warning(
            "the error tracker does not take what this process sends (%s): errors stand in this log alone", reason
        )


# --- programs beside the server ----------------------------------------


def at_work(module: Any, names: Sequence[str], method: str, name: str) -> None:
    """Start the SDK when a worker begins to work: the module alone is imported by what queues jobs, too."""
    for kind in (found for one in names if (found := getattr(module, one, None))):
        if work := vars(kind).get(method):
            setattr(kind, method, begin_with(work, name))


def begin_with(work: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A worker's method that starts the SDK first."""

    def begin(*arguments: Any, **words: Any) -> Any:
        start(name)
        return work(*arguments, **words)

    return begin


# What to do when a module of a library is imported, which does what follows in a worker.
WORKERS: dict[str, Callable[[Any], None]] = {
    "rq.worker": lambda module: at_work(module, ("BaseWorker", "Worker"), "work", "rq.RqIntegration"),
    "huey.consumer": lambda module: at_work(module, ("Consumer",), "start", "huey.HueyIntegration"),
    "celery.apps.worker": lambda _module: start("celery.CeleryIntegration"),
    "dramatiq.cli": lambda _module: start("dramatiq.DramatiqIntegration"),
}


class Finder:
    """Finds the modules of :data:`WORKERS` as Python does, and has done what they need behind their import."""

    @staticmethod
    def find_spec(name: str, _path: Any = None, _target: Any = None) -> Any:
        """A module's spec, None for all other modules."""
        prepare = WORKERS.pop(name, None)
        if prepare is None:
            return None
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_prepare(module: Any) -> None:
                execute(module)
                prepare(module)

            vars(spec.loader)["exec_module"] = execute_and_prepare
        return spec


def arm() -> None:
    """Have a program report the exception that ends it, and a worker those of its jobs."""
    show = sys.excepthook

    def show_and_report(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        show(kind, error, traceback)
        # What a person types at a prompt is no error of the app's.
        if issubclass(kind, Exception) and not hasattr(sys, "ps1"):
            report(kind, error, traceback)

    sys.excepthook = show_and_report
    sys.meta_path.insert(0, Finder)


def report(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """Send the exception that ends this program, unless a client has been there that does so by itself."""
    try:
        import sentry_sdk
    except ImportError:
        return
    if not is_started(sentry_sdk):
        start()
        sentry_sdk.capture_exception((kind, error, traceback))
        sentry_sdk.flush(PROGRAM_SECONDS)
