#!/usr/bin/env bash
# A repository with versions of one app: v1 to v9 answer, each other tag is broken in its own way.
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
mkdir static
echo 'body { color: teal; }' >static/style.css
version v1
for number in {2..9}; do
    sed -i "s/^VERSION = .*/VERSION = \"v$number\"/" shop.py
    version "v$number"
done

broken import <<'END'
raise RuntimeError("import broken on purpose")
END
broken factory <<'END'


def create_app(currency: str) -> Flask:
    raise RuntimeError("factory broken on purpose")
END
broken callable <<'END'


def create_app(currency: str) -> int:
    return 7
END
# The import alone succeeds: only as a service does the app see INVOCATION_ID.
broken service <<'END'
if "INVOCATION_ID" in os.environ:
    raise RuntimeError("service broken on purpose")
END

git checkout --quiet --force main
git clone --quiet --bare . "$repository"
# It is root's, and git of the app's user reads it all the same.
git config --system --add safe.directory "$repository"
