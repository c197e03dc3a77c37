"""What `verify` says of a finished host, and of one that a person has changed by hand.

The module runs on the host without a play. tests/unit/test_verify_*.py have the checks one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import testing
from testinfra.host import Host
from testing import on_host

CONFIGURATION, STATE = on_host("configuration"), on_host("state")
APPS = ("guestbook", "tally")
CERTIFICATE = on_host("certificate", "tally")
BESIDE = CERTIFICATE.rpartition("/")[0]
KEPT = "/root/before-sabotage"
# The scenario's own: copies on the host itself, an app without sessions, nobody who is told of anything.
KNOWN = {("backup", "host"), ("release", "tally"), ("watch", "host")}
OF_THE_HOST = ("by_hand", "files", "firewall", "modes", "outgoing", "proxy", "sockets", "units")
# What the test machine has of disk, memory and time, and what came out since its image was made.
OF_THE_MACHINE = {"disk", "memory", "clock", "out_of_memory", "updates"}

# What a timer has begun would put right again what is changed here.
AT_WORK_ON_THEM = """
while systemctl list-units --plain --no-legend --state=activating,deactivating |
    grep -E '^(groundwork-(certificate|backup)|certbot)[^ ]*[.]service'; do sleep 0.2; done
"""

# What a person does by hand, and the words by which each is named.
SABOTAGE = rf"""
set -e
systemctl stop groundwork-certificate.timer groundwork-backup.timer
{AT_WORK_ON_THEM}
mkdir {KEPT}
cp -a {STATE}/backup/status.json /etc/systemd/system/nginx.service.d/groundwork.conf {KEPT}
readlink {CERTIFICATE} >{KEPT}/certificate
echo 'PasswordAuthentication yes' >/etc/ssh/sshd_config.d/00-cloud-init.conf
echo 'server {{ listen 80 default_server; }}' >/etc/nginx/conf.d/sabotage.conf
chmod 0644 {CONFIGURATION}/secrets/guestbook/SECRET_KEY
nft flush table inet groundwork_apps
mkdir {BESIDE}/expired /etc/systemd/system/guestbook@.service.d
cd {BESIDE}/expired
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout privkey.pem -out new.pem -days 1 \
    -subj /CN=tally.test -addext subjectAltName=DNS:tally.test
openssl x509 -in new.pem -signkey privkey.pem -days -1 -out fullchain.pem ||
    openssl x509 -in new.pem -signkey privkey.pem -out fullchain.pem \
        -not_before 20250101000000Z -not_after 20250201000000Z
ln -sfn expired {CERTIFICATE}
printf '[Service]\nMemoryDenyWriteExecute=no\n' >/etc/systemd/system/guestbook@.service.d/override.conf
echo '# by hand' >>/etc/systemd/system/nginx.service.d/groundwork.conf
sed -i 's/"time": "[0-9-]*T/"time": "2025-01-01T/' {STATE}/backup/status.json
systemd-run --quiet --collect --unit=sabotage-listens python3 -m http.server 8090
systemd-run --quiet --collect --unit=sabotage-by-hand --working-directory={on_host("current", "tally")}/code \
    {on_host("current", "tally")}/venv/bin/python -m http.server --bind 127.0.0.1 8091
for port in 8090 8091; do timeout 60 sh -c "until ss -ltn | grep -q :$port; do sleep 0.1; done"; done
"""
NAMED = {
    ("sshd", "host"): ["from /etc/ssh/sshd_config.d/00-cloud-init.conf"],
    ("outgoing", "host"): ["The rules of the table inet groundwork_apps are not those"],
    ("proxy", "host"): [
        "/etc/nginx/conf.d/sabotage.conf has a second default server",
        "would refuse its configuration",
    ],
    ("modes", "host"): ["secrets/guestbook/SECRET_KEY is a secret, and every account of the host can read it"],
    ("units", "host"): ["groundwork-certificate.timer is stopped"],
    ("certificate", "tally"): ["The certificate expired on", "tally.test is served with another certificate"],
    ("units", "guestbook"): ["is changed by /etc/systemd/system/guestbook@.service.d/override.conf"],
    ("files", "host"): ["/etc/systemd/system/nginx.service.d/groundwork.conf was changed by hand"],
    ("backup", "tally"): ["hours old, and may be 36"],
    ("sockets", "host"): ["unit sabotage-listens.service"],
    ("by_hand", "tally"): ["is code of tally, and runs as root"],
}
UNDO = f"""
systemctl stop sabotage-listens sabotage-by-hand
rm -f /etc/ssh/sshd_config.d/00-cloud-init.conf /etc/nginx/conf.d/sabotage.conf
chmod 0600 {CONFIGURATION}/secrets/guestbook/SECRET_KEY
ln -sfn "$(cat {KEPT}/certificate)" {CERTIFICATE}
rm -rf {BESIDE}/expired /etc/systemd/system/guestbook@.service.d
cp -a {KEPT}/status.json {STATE}/backup/status.json
cp -a {KEPT}/groundwork.conf /etc/systemd/system/nginx.service.d/groundwork.conf
systemctl daemon-reload
systemctl start groundwork-certificate.timer groundwork-backup.timer
systemctl reload groundwork-outgoing.service
rm -rf {KEPT}
"""
# All that a look could change: contents, modes and times below /etc and of the records, and the state of every unit;
# not what the watch keeps and does each half minute.
OF_THE_WATCH = " ".join(f"! -path '{on_host(name)}/*'" for name in ("watch", "metrics", "status"))
FINGERPRINT = f"""
find /etc {STATE} {on_host("homes")} -xdev ! -type d {OF_THE_WATCH} -printf '%p %m %u %T@ %C@\\n' | sort | sha256sum
find /etc {STATE} {on_host("certificates")} -xdev -type f {OF_THE_WATCH} -exec sha256sum {{}} + | sort | sha256sum
systemctl list-units --all --plain --no-legend --no-pager --type=service,socket,timer,path |
    awk '{{print $1, $2, $3, $4}}' | grep -v -E '^(pebble|groundwork-(watch|alerts|failed))' | sort
"""
# What the host does by itself meanwhile: the services that are at work, and when each timer last started one.
AT_WORK = """
systemctl list-units --plain --no-legend --no-pager --type=service --state=activating,deactivating |
    grep -v '^groundwork-\\(watch\\|alerts\\|failed\\)' || true
"""
FIRED = """systemctl show --property=Id,LastTriggerUSec '*.timer' | awk 'BEGIN { RS = "" } !/groundwork-watch/'"""


def look(host: Host, **expected: Any) -> dict[str, Any]:
    result = testing.module(host, "verify", expected=expected)
    assert "findings" in result, result
    return result


def look_alone(host: Host) -> tuple[dict[str, Any], str, str] | None:
    """Look, and take the fingerprint before and after; None when the host did something by itself meanwhile."""
    fired = host.check_output(FIRED)  # first: what is started while this waits, or after it, counts too
    if not testing.poll(lambda: not host.check_output(AT_WORK)):
        return None
    before = host.check_output(FINGERPRINT)
    result = look(host)
    after = host.check_output(FINGERPRINT)
    return (result, before, after) if host.check_output(FIRED) == fired else None


def wrong(result: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    """The messages of what is not as it should be, by check and subject, without the test machine's own."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in result["findings"]:
        if one["state"] != "ok" and one["check"] not in OF_THE_MACHINE:
            found.setdefault((one["check"], one["subject"]), []).append(one["message"])
    return found


@contextmanager
def sabotaged(host: Host) -> Iterator[None]:
    try:
        host.check_output(SABOTAGE)
        yield
    finally:
        host.run(UNDO)


def test_a_finished_host_is_green_and_a_look_changes_nothing(host: Host) -> None:
    alone = testing.poll(lambda: look_alone(host), 120)
    assert alone, "the host did something by itself during each look"
    result, before, after = alone
    assert set(wrong(result)) <= KNOWN, wrong(result)
    assert after == before
    right = {(one["check"], one["subject"]) for one in result["findings"] if one["state"] == "ok"}
    assert right >= {(check, app) for check in ("backup", "certificate", "release", "workers") for app in APPS}
    assert right >= {(check, "host") for check in OF_THE_HOST}
    facts = result["facts"]["apps"]["guestbook"]
    assert facts["release"] == testing.live(host, "guestbook")
    assert facts["workers"] == 2 * result["facts"]["host"]["cores"] + 1
    assert facts["certificate"]["days"] > 0
    assert facts["backup"]["last"]


def test_what_a_person_has_changed_by_hand_is_named(host: Host) -> None:
    with sabotaged(host):
        found = wrong(look(host, host_parts=["sshd"]))
    for where, texts in NAMED.items():
        for text in texts:
            assert any(text in message for message in found.get(where, [])), (where, text, found)
    assert set(wrong(look(host))) <= KNOWN, "green again once it is put back"
