# shellcheck shell=bash
# The broken versions of shop.py (molecule/shared/repository.sh), each broken in its own way.
broken import <<'END'
raise RuntimeError("broken on purpose")
END
broken syntax <<'END'
def broken(:
END
broken dependency <<'END'
import a_package_that_requirements_forgot
END
broken unhealthy <<'END'
@app.before_request
def fail():
    raise RuntimeError("unhealthy on purpose")
END
broken silent <<'END'
@app.before_request
def hang():
    print("silent on purpose", flush=True)
    time.sleep(3600)
END
# From here on the import alone succeeds: only as a service does the app see RUNTIME_DIRECTORY.
broken dies <<'END'
import threading


def die():
    print("dying on purpose", flush=True)
    os._exit(1)


if "RUNTIME_DIRECTORY" in os.environ:
    threading.Timer(1.5, die).start()
END
broken exits <<'END'
if "RUNTIME_DIRECTORY" in os.environ:
    print("leaving on purpose", flush=True)
    os._exit(0)
END
broken memory <<'END'
if "RUNTIME_DIRECTORY" in os.environ:
    bytearray(4 * 2**30)
END
broken command-fails <<'END'
import sys


@app.cli.command("release-check")
def failing():
    sys.exit("the check failed on purpose")
END
broken command-hangs <<'END'
@app.cli.command("release-check")
def hanging():
    print("hanging on purpose", flush=True)
    time.sleep(3600)
END
