"""An app's own Redis: who can open it, what it may do, what is left after a kill and when memory or disk are full.

`shop` has a queue, `stock` a queue and a cache, `plain` neither.
"""

from __future__ import annotations

import json
import re

import pytest
import services
import testing
from testinfra.host import Host
from testing import on_host

INSTANCES = ("shop.redis", "stock.redis", "stock.redis-cache")
SOCKET = "/run/shop.redis/redis.sock"


def test_the_record_has_the_sockets_and_no_secret(host: Host) -> None:
    assert services.record(host, "shop", "redis") == {"queue": SOCKET}
    assert services.record(host, "stock", "redis") == {
        "queue": "/run/stock.redis/redis.sock",
        "cache": "/run/stock.redis-cache/redis.sock",
    }


@pytest.mark.parametrize("user", ["www-data", "stock", "plain", "daemon"])
def test_another_account_is_refused(host: Host, user: str) -> None:
    assert "Permission denied" in services.refused(host, user, f"redis-cli -e -s {SOCKET} ping")


def test_it_listens_on_no_network_and_no_server_of_debian_runs(host: Host) -> None:
    assert services.redis(host, "shop", "ping") == "PONG"
    assert "redis" not in host.check_output("ss --listening --tcp --udp --processes --no-header")
    assert host.run("systemctl cat redis-server.service").rc != 0


@pytest.mark.parametrize("instance", INSTANCES)
def test_its_sandbox_is_tighter_than_debians(host: Host, instance: str) -> None:
    found = host.check_output(f"systemd-analyze security --no-pager {instance}.service")
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", found)
    assert exposure, found
    assert float(exposure[1]) <= 0.2
    assert services.show(host, f"{instance}.service", "User", "PrivateNetwork") == {
        "User": instance.partition(".")[0],
        "PrivateNetwork": "yes",
    }


@pytest.mark.parametrize(
    "command",
    [
        ("config", "set", "dir", on_host("data", "shop")),
        ("config", "set", "dbfilename", "x"),
        ("config", "rewrite"),
        ("module", "load", "/tmp/x.so"),
        ("debug", "sleep", "0"),
    ],
)
def test_no_command_leads_out_of_its_data(host: Host, command: tuple[str, ...]) -> None:
    assert services.redis(host, "shop", *command).startswith("ERR ")


def test_a_queue_keeps_what_it_has_when_it_is_killed(host: Host) -> None:
    services.redis(host, "stock", "rpush", "kept", "one", "two")
    assert testing.poll(
        lambda: services.redis(host, "stock", "info", "persistence").count("aof_pending_bio_fsync:0") == 1
    )
    before = services.show(host, "stock.redis.service", "NRestarts")["NRestarts"]
    host.check_output("sleep 1.1 && systemctl kill --signal=KILL stock.redis.service")
    assert testing.poll(lambda: services.show(host, "stock.redis.service", "NRestarts")["NRestarts"] != before, 60)
    assert testing.poll(lambda: host.run("systemctl is-active stock.redis.service").rc == 0, 60)
    assert services.redis(host, "stock", "lrange", "kept", "0", "-1").split() == ["one", "two"]
    services.redis(host, "stock", "del", "kept")


# How many of what `fill` has written are there.
KEPT = "local n = 0; for i=1,60 do n = n + redis.call('exists', 'fill:'..i) end return n"


def fill(host: Host, purpose: str) -> str:
    """What Redis says to the first write that it refuses, of sixty with a megabyte each; "" if it takes all."""
    socket = services.record(host, "stock", "redis")[purpose]
    write = f"$(printf %s $x | redis-cli -s {socket} -x set fill:$i)"
    program = (
        "x=$(head -c 1048576 /dev/zero | tr '\\0' x); for i in $(seq 60); do "
        f'said="{write}"; [ "$said" = OK ] || {{ echo "$said"; break; }}; done'
    )
    return str(services.as_user(host, "stock", program))


def test_a_full_queue_refuses_and_a_full_cache_drops(host: Host) -> None:
    assert fill(host, "queue").startswith("OOM command not allowed when used memory > 'maxmemory'")
    assert len(services.redis(host, "stock", "get", "fill:1")) == 2**20
    services.redis(host, "stock", "eval", "for i=1,60 do redis.call('del', 'fill:'..i) end", "0")
    assert services.redis(host, "stock", "set", "again", "1") == "OK"
    assert fill(host, "cache") == ""
    # Which ones it drops is chance: its clock for that knows whole seconds, and it looks at a sample.
    kept = services.redis(host, "stock", "eval", KEPT, "0", purpose="cache")
    assert 0 < int(kept) < 60
    services.redis(host, "stock", "flushall", purpose="cache")


def test_the_app_finds_it_in_its_environment(host: Host) -> None:
    assert services.run(host, "shop", "echo $REDIS_URL") == f"unix://{SOCKET}"


def test_it_starts_before_the_app_and_ends_after_it(host: Host) -> None:
    release = json.loads(host.check_output("cat %s/release.json", on_host("current", "shop")))
    web = next(unit["name"] for unit in release["units"] if unit["name"].endswith(".service"))
    for unit in (web, *services.process_units(host, "shop"), "shop.nightly.service"):
        assert "shop.redis.service" in services.show(host, unit, "After")["After"].split()


def test_a_command_of_roots_can_have_it_wait(host: Host) -> None:
    """As a restore does: by a drop-in that waits for a lock in root's runtime directory."""
    directory, drop_in = f"{on_host('runtime')}/waiting", "/run/systemd/system/stock.redis.service.d"
    host.check_output(f"install -d -m 0700 {directory} {drop_in} && touch {directory}/lock {directory}/free")
    text = f"[Service]\nExecStartPre=+/usr/bin/flock {directory}/lock /usr/bin/rm {directory}/free"
    host.check_output("printf '%%s\\n' %s > %s/test.conf && systemctl daemon-reload", text, drop_in)
    try:
        host.check_output(f"flock {directory}/lock systemctl --no-block restart stock.redis.service")
        assert testing.poll(lambda: not host.file(f"{directory}/free").exists)
    finally:
        host.check_output(
            f"rm -r {drop_in} {directory} && systemctl daemon-reload && systemctl restart stock.redis.service"
        )
    assert services.redis(host, "stock", "ping") == "PONG"
