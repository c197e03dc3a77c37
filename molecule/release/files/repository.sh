#!/usr/bin/env bash
# A repository with good and bad versions of one app: v1 to v12 answer, each other tag breaks in its own way.
set -euo pipefail
repository=/usr/local/share/shop.git
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
git init --quiet --initial-branch main .
git config user.name test
git config user.email test@example.org

version() { git add -A && git commit --quiet --message "$1" && git tag "$1"; }

mkdir static
echo 'body {}' >static/shop.css
echo 'flask>=3.1.1' >requirements.txt
cat >shop.py <<'END'
import os
from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return {"version": "v1", "release": os.environ["RELEASE"], "scheme": __import__("flask").request.scheme}


@app.cli.command("migrate")
def migrate():
    with open(os.environ["DATA_DIR"] + "/migrations", "a") as file:
        file.write(os.environ["RELEASE"] + "\n")
END
version v1
sed -i 's/"v1"/"v2"/' shop.py
version v2
# v3, v4, v5, v10, v11 and v12 need an environment of their own; those between share the one of v5.
for number in {3..12}; do
    sed -i "s/\"version\": \"[^\"]*\"/\"version\": \"v$number\"/" shop.py
    case $number in [345] | 1?) printf 'flask>=3.1.1  # for v%s\n' "$number" >requirements.txt ;; esac
    version "v$number"
done

git checkout --quiet v2
echo 'raise RuntimeError("broken on purpose, token is " + os.environ["TOKEN"])' >>shop.py
version import
git checkout --quiet v2
sed -i 's/    return {"version"/    1 \/ 0\n    return {"version"/' shop.py
version unhealthy
git checkout --quiet v2
echo 'no-such-package-at-all==1.0' >>requirements.txt
version package
git checkout --quiet v2
echo 'flask==3.1.3 --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000' >requirements.txt
version hash
git checkout --quiet v2
echo 'import sys; sys.exit(0)' >>shop.py
version exits

# A package of the app's own whose build takes for ever, in a process that the installer starts.
git checkout --quiet v2
mkdir slow
cat >slow/pyproject.toml <<'END'
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "slow"
version = "1"
END
printf 'import os\n\nos.execlp("sleep", "sleep", "600")\n' >slow/backend.py
echo './slow' >>requirements.txt
version slow

git clone --quiet --bare . "$repository"
git -C "$repository" symbolic-ref HEAD refs/heads/main
# It is root's, and git of the app's user reads it all the same.
git config --system --add safe.directory "$repository"
