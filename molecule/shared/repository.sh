#!/usr/bin/env bash
# Makes /usr/local/share/shop.git, a repository with good and bad versions of one app:  repository.sh APP VERSIONS COUNT
#
# APP       the app's file, which says VERSION = "v1"
# VERSIONS  a script that makes the tags of broken versions, each by the function `broken`
# COUNT     how many versions answer: v1, v2 and so on
set -euo pipefail
app=$(realpath "$1") versions=$(realpath "$2") count=$3
repository=/usr/local/share/shop.git
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$app" "$work/shop.py"
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
for ((number = 2; number <= count; number++)); do
    sed -i "s/^VERSION = .*/VERSION = \"v$number\"/" shop.py
    version "v$number"
done

# shellcheck source=/dev/null
. "$versions"

git checkout --quiet --force main
git clone --quiet --bare . "$repository"
# It is root's, and git of the app's user reads it all the same.
git config --system --add safe.directory "$repository"
