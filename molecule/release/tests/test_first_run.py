"""An app that needs settings and tables before it can be imported, and its own directories to be found in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stranger import App, project
from testinfra.host import Host
from testing import on_host

CANARY = "canary-first-run-4711"
DATA = on_host("data", "novice")
RECORD = f"{on_host('state')}/setup/novice.json"
# It lives in src/, runs in work/, takes its settings from a file that the source lacks, and reads a table at import.
SHOP = """
import os, sqlite3
from flask import Flask
import helper

app = Flask(__name__)
app.config.from_envvar("SHOP_SETTINGS")
users = sqlite3.connect(os.environ["DATA_DIR"] + "/shop.db").execute("SELECT name FROM user").fetchall()

@app.get("/")
def index():
    return {"users": users, "theme": app.config["THEME"], "helper": helper.WHO, "cwd": os.path.basename(os.getcwd())}

@app.cli.command("whoami")
def whoami():
    print(helper.WHO)
"""
SETUP = """
import os, sqlite3, sys
sys.exit(3) if os.environ.get("BROKEN") else None
connection = sqlite3.connect(os.environ["DATA_DIR"] + "/shop.db")
connection.execute("CREATE TABLE user (name TEXT)")
connection.execute("INSERT INTO user VALUES (?)", (os.environ["ADMIN"],))
connection.commit()
"""
FILES = {
    "requirements.txt": "flask>=3.1.1\n",
    "src/shop.py": SHOP,
    "src/helper.py": "WHO = 'helper of the app'\n",
    "src/types.py": "raise ImportError('the wrong types')\n",
    "src/logging.py": "raise ImportError('the wrong logging')\n",
    "work/create.py": SETUP,
}


@pytest.fixture(scope="module")
def novice(host: Host, tmp_path_factory: pytest.TempPathFactory) -> App:
    app = App(
        host, "novice", source=project(tmp_path_factory.mktemp("novice"), FILES), python_path=["src"],
        working_directory="work", environment={"SHOP_SETTINGS": "$RELEASE_DIR/instance/shop.cfg"},
    )  # fmt: skip
    app.secrets = {"ADMIN": "ann"}
    return app


def test_before_the_first_release_is_live_its_command_runs_in_what_is_built(novice: App) -> None:
    novice.options["settings"] = {"instance/shop.cfg": {"content": f"PASSWORD = {CANARY!r}\nTHEME = 'dark'\n"}}
    reason = novice.refused("step import", "no such table: user", "have setup_command make them")
    assert CANARY not in reason
    assert novice.live == ""
    done = novice.command("run python -c 'import helper; print(helper.WHO)'")
    assert done.stdout == "helper of the app\n"
    assert "novice has no live release yet; this runs in" in done.stderr
    assert "the newest that was built, which is marked as bad" in done.stderr


def test_a_setup_command_runs_once_before_the_first_import(novice: App) -> None:
    novice.options["setup_command"] = "BROKEN=1 python create.py"
    novice.refused("step setup: the setup command `BROKEN=1 python create.py` failed with exit status 3")
    novice.options["setup_command"] = "python create.py"
    novice.deploy()
    assert novice.ask().json == {"users": [["ann"]], "theme": "dark", "helper": "helper of the app", "cwd": "work"}
    assert novice.sh(f"stat -c '%U %a' {RECORD}") == "root 600"
    assert novice.sh(f"stat -c %U {DATA}/.groundwork-setup") == "novice"
    novice.options["environment"] |= {"TURN": "2"}
    novice.deploy()
    assert novice.ask().json["users"] == [["ann"]]


def test_what_acts_for_the_app_sees_its_code(novice: App) -> None:
    assert novice.command("run flask --app shop whoami").stdout == "helper of the app\n"
    assert novice.command("run pwd").stdout == novice.sh(f"realpath {on_host('current', 'novice')}/code/work") + "\n"


def test_a_file_of_settings_is_read_by_the_app_alone_and_shown_nowhere(novice: App) -> None:
    path = f"{on_host('current', 'novice')}/code/instance/shop.cfg"
    assert novice.sh(f"stat -c '%U %G %a' {path}") == "root novice 640"
    assert novice.host.run(f"setpriv --reuid=nobody --clear-groups cat {path}").rc != 0
    assert novice.host.run(f"setpriv --reuid=novice --regid=novice --clear-groups sh -c ': > {path}'").rc != 0
    first = novice.live
    novice.options["settings"] = {"instance/shop.cfg": {"content": f"PASSWORD = {CANARY!r}\nTHEME = 'light'\n"}}
    done = novice.module()
    assert done["apps"]["novice"]["changes"] == ["settings.instance/shop.cfg"]
    assert CANARY not in json.dumps(done)
    assert novice.ask().json["theme"] == "light"
    found = novice.host.run(f"grep -rl {CANARY} {on_host('state')} /var/log {on_host('runtime')} /tmp /root").stdout
    assert [name for name in found.splitlines() if not Path(name).name.startswith("sent-")] == []
    assert novice.command(f"rollback {first}").returncode == 0
    assert novice.ask().json["theme"] == "dark"


def test_a_setup_command_leaves_data_of_another_host_alone(novice: App) -> None:
    """As after a restore onto a new host: the data are there, and nothing else of the app is."""
    novice.sh(f"rm -rf {on_host('home', 'novice')}/releases {on_host('home', 'novice')}/current {RECORD} "
              f"{on_host('state')}/releases/novice.jsonl; systemctl stop 'novice@*'")  # fmt: skip
    done = novice.deploy()
    assert f"setup_command was not run: the data in {DATA} have been set up before" in done["warnings"][0]
    assert novice.ask().json["users"] == [["ann"]]
