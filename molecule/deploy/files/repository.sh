#!/usr/bin/env bash
# A repository with good and bad versions of one app: v1 to v40 answer, each other tag is broken in its own way.
# The argument is the app's file, which says VERSION = "v1".
set -euo pipefail
repository=/usr/local/share/shop.git
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$1" "$work/shop.py"
cd "$work"
git init --quiet --initial-branch main .
git config user.name test
git config user.email test@example.org

version() { git add -A && git commit --quiet --message "$1" && git tag "$1"; }

# broken TAG [python-code]: v1 with a VERSION of its own, and code at its end.
broken() {
    git checkout --quiet --force v1
    sed -i "s/\"v1\"/\"$1\"/" shop.py
    cat >>shop.py
    version "$1"
}

echo 'flask>=3.1.1' >requirements.txt
version v1
for number in {2..40}; do
    sed -i "s/^VERSION = .*/VERSION = \"v$number\"/" shop.py
    version "v$number"
done

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
# From here on the import alone succeeds: only as a service does the app see INVOCATION_ID.
broken dies <<'END'
import threading


def die():
    print("dying on purpose", flush=True)
    os._exit(1)


if "INVOCATION_ID" in os.environ:
    threading.Timer(2, die).start()
END
broken exits <<'END'
if "INVOCATION_ID" in os.environ:
    print("leaving on purpose", flush=True)
    os._exit(0)
END
broken memory <<'END'
if "INVOCATION_ID" in os.environ:
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

git checkout --quiet --force main
git clone --quiet --bare . "$repository"
# It is root's, and git of the app's user reads it all the same.
git config --system --add safe.directory "$repository"
