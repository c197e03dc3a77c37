#!/usr/bin/env bash
# A repository with good and bad versions of one app: v1 to v14 answer, each other tag breaks in its own way.
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
from flask import Flask, request, session

app = Flask(__name__)
app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], SESSION_COOKIE_SECURE=True)


@app.get("/")
def index():
    return {"version": "v1", "release": os.environ["RELEASE"], "scheme": request.scheme}


@app.get("/login")
def login():
    session["user"] = "ann"
    return {}


@app.get("/user")
def user():
    return {"user": session.get("user")}


@app.cli.command("migrate")
def migrate():
    with open(os.environ["DATA_DIR"] + "/migrations", "a") as file:
        file.write(os.environ["RELEASE"] + "\n")
END
version v1
# v7 and v13 need an environment of their own; those after them share it.
for number in {2..14}; do
    sed -i "s/\"version\": \"[^\"]*\"/\"version\": \"v$number\"/" shop.py
    case $number in 7 | 13) printf 'flask>=3.1.1  # for v%s\n' "$number" >requirements.txt ;; esac
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

# A submodule, whose code says the version.
git checkout --quiet v2
part=/usr/local/share/part.git
git init --quiet --initial-branch main "$work.part"
echo 'PART = "from the submodule"' >"$work.part/part.py"
git -C "$work.part" add .
git -C "$work.part" -c user.name=test -c user.email=test@example.org commit --quiet --message part
git clone --quiet --bare "$work.part" "$part"
rm -r "$work.part"
git -c protocol.file.allow=always submodule --quiet add "file://$part" part
sed -i 's/"v2"/__import__("part.part").part.PART/' shop.py
version submodule

git clone --quiet --bare . "$repository"
git -C "$repository" symbolic-ref HEAD refs/heads/main
# They are root's, and git of an app's user reads them all the same.
git config --system --add safe.directory "$repository"
git config --system --add safe.directory "$part"
