"""The app exchanges its directories for links to root's while its databases are saved, and while they are put back."""

from __future__ import annotations

import testing
from attacker import Attacker
from testing import on_host

DATA = on_host("data", "mallory")
STATE = on_host("state")
MAKE = f"""
cd {DATA}
mkdir -p data
python3 -c "import sqlite3; sqlite3.connect('data/app.db').execute('create table if not exists t (a)')"
"""
EXCHANGE = f"""
cd {DATA}
nohup setsid sh -c 'while :; do
    mv data real; ln -s /etc/systemd/system data; rm data; ln -s {STATE} data; rm data; mv real data
done' exchange >/dev/null 2>&1 &
"""


def test_nothing_is_saved_from_or_put_back_to_where_a_link_leads(mallory: Attacker) -> None:
    host = mallory.host
    mallory.code({})
    mallory.deploy()
    mallory.run(MAKE)
    mallory.code({"static/turns.css": "x"}, release_command="true")
    mallory.deploy()  # which saves it: of the next ones each may be refused before that
    mallory.run(EXCHANGE)
    try:
        for turn in range(3):
            mallory.code({f"static/turn-{turn}.css": "x"})
            mallory.module()  # it may be refused: the app's own files vanish under it
            mallory.command("rollback --data saved")
    finally:
        host.run("pkill -KILL -u mallory -f 'data real'")
        mallory.options["release_command"] = ""
    found = testing.find(host, r"\( -user mallory -o -name '*.before-rollback-*' -o -name '*.restored' \)")
    own = (DATA, on_host("cache", "mallory"), f"{on_host('build_caches')}/mallory")
    assert [path for path in found if not path.startswith(own)] == []
    assert host.check_output(f"stat -c %U:%a {STATE}/saved/mallory/*").split().count("root:700") > 0
    assert mallory.ask().status == 200
