"""Asking the services of an app: as the app does, by their own clients, without a play.

Every helper takes the host first and the app's name second. Tests of a part stand in test_<part>.py beside this file;
what several of them need stands here.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import testing
from testinfra.host import Host
from testing import on_host
from visitor import Answer, Site

PSQL = "psql --no-psqlrc --host=/run/postgresql --set=ON_ERROR_STOP=1 --tuples-only --no-align"
MAILS = "/var/lib/mailbox/mails"


def as_user(host: Host, user: str, command: str) -> str:
    """What a command of the shell prints, run as a user of the host without a sandbox; it must not fail."""
    return str(host.check_output("cd / && setpriv --reuid %s --regid %s --init-groups sh -c %s", user, user, command))


def refused(host: Host, user: str, command: str) -> str:
    """What a command that must fail as this user prints."""
    done = host.run("cd / && setpriv --reuid %s --regid %s --init-groups sh -c %s", user, user, command)
    assert done.rc != 0, f"as {user}, `{command}` worked: {done.stdout}"
    return str(done.stdout + done.stderr)


def postgresql(host: Host, app: str, sql: str, database: str = "") -> str:
    """What PostgreSQL answers to the app, the rows as lines and the columns with | between them."""
    return as_user(host, app, f"{PSQL} --dbname={database or app} --command={shlex.quote(sql)}")


def superuser(host: Host, sql: str, database: str = "postgres") -> str:
    """What PostgreSQL answers to its superuser."""
    return as_user(host, "postgres", f"{PSQL} --dbname={database} --command={shlex.quote(sql)}")


def mariadb(host: Host, app: str, sql: str, database: str = "") -> str:
    """What MariaDB answers to the app (`root`: to its superuser), the columns with tabs between them."""
    command = f"mariadb --batch --skip-column-names {database or app} --execute={shlex.quote(sql)}"
    return as_user(host, app, command)


def redis(host: Host, app: str, *command: str, purpose: str = "queue") -> str:
    """What the app's Redis answers."""
    socket = record(host, app, "redis")[purpose]
    return as_user(host, app, shlex.join(("redis-cli", "-s", socket, *command)))


def record(host: Host, app: str, kind: str) -> dict[str, Any]:
    """What a role has recorded of the app's `database` or `redis`."""
    found: dict[str, Any] = json.loads(host.check_output("cat %s", f"{on_host('services', app)}/{kind}.json"))
    return found


def run(host: Host, app: str, command: str) -> str:
    """What a command of the shell prints in the app's sandbox, in its live release and with its environment."""
    return str(host.check_output(f"/usr/local/bin/{app} run sh -c %s", command))


def units(host: Host, app: str) -> dict[str, str]:
    """The state of each unit of the app that systemd has loaded, by name."""
    command = f"systemctl list-units --all --plain --no-legend '{app}.*' '{app}@*'"
    found = [line.split() for line in host.check_output(command).splitlines()]
    return {name: active for name, loaded, active, *_rest in found if loaded == "loaded"}


def show(host: Host, unit: str, *properties: str) -> dict[str, str]:
    """Properties of a unit, as `systemctl show` has them."""
    lines = host.check_output(f"systemctl show {shlex.quote(unit)} --property={','.join(properties)}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def process_units(host: Host, app: str, process: str = "worker") -> list[str]:
    """The units of a process in the app's live release."""
    facts = json.loads(host.check_output("cat %s/release.json", on_host("current", app)))
    pattern = re.compile(rf"{re.escape(app)}\.{re.escape(process)}(\.\d+)?@")
    return [unit["name"] for unit in facts["units"] if pattern.match(unit["name"])]


def order(shop: Site, email: str = "ada@example.org", quantity: int = 2) -> Answer:
    """Order from examples/shop as a browser does; 303 when that worked."""
    page = shop.get("/")
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert token, page.text[:500]
    cookie = (page.header("Set-Cookie") or "").partition(";")[0]
    return shop.post(
        "/",
        {"product": "1", "quantity": str(quantity), "email": email, "csrf_token": token[1]},
        headers={"Cookie": cookie, "Referer": f"https://{shop.name}/"},
    )


def mails(host: Host, to: str) -> list[str]:
    """The mails to an address that have arrived, whole."""
    files = host.run(f"grep -lrxF %s {MAILS}/new", f"To: {to}").stdout.split()
    return [host.check_output("cat %s", file) for file in files]


def enqueue_sleep(host: Host, app: str, seconds: float, count: int = 1) -> None:
    """Give RQ's queue of examples/shop jobs that do nothing for so many seconds."""
    program = (
        "import os, redis, rq; queue = rq.Queue(connection=redis.Redis.from_url(os.environ['REDIS_URL'])); "
        f"[queue.enqueue('time.sleep', {seconds}) for _ in range({count})]"
    )
    run(host, app, f"python -c {shlex.quote(program)}")


def wait_for_queue(host: Host, app: str, seconds: float = 30) -> None:
    """Wait until RQ's queue of an app has nothing left, neither waiting nor under way."""
    waiting = "redis.call('llen', 'rq:queue:default') + redis.call('zcard', 'rq:wip:default')"
    left = testing.poll(lambda: redis(host, app, "eval", f"return {waiting}", "0") == "0", seconds)
    assert left, redis(host, app, "keys", "*")
