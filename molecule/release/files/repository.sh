#!/usr/bin/env bash
# A repository with good and bad versions of one app: v1 and v2 answer, each other tag breaks in its own way.
set -euo pipefail
useradd --system --no-create-home --shell /usr/sbin/nologin shop
install -d -m 0711 /srv/shop
install -d -m 0750 -o shop -g shop /var/lib/shop /var/cache/shop
work=$(mktemp -d)
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
git clone --quiet --bare . /var/lib/shop/repository.git
git -C /var/lib/shop/repository.git symbolic-ref HEAD refs/heads/main
chown -R shop:shop /var/lib/shop/repository.git
