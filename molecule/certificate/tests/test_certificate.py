"""Every name has a usable certificate at its stable path, whatever the CA does, and the web server serves it."""

from __future__ import annotations

import json
from functools import partial

import pytest
import testing
import visitor
from load import asking, failed
from program import (
    CONFIGURATION,
    DEPLOY,
    PROGRAM,
    SERVED,
    STATE,
    alerted,
    ask_for,
    drop,
    forget_pause,
    is_served_anew,
    point_here,
    reconcile,
    reload,
    reloaded,
    renew,
    serial,
    serve_the_one_before,
    service_journal,
    set_option,
    status,
    workers,
)
from testinfra.host import Host
from testing import on_host
from visitor import MakeSite


def test_every_name_has_a_real_certificate(host: Host, site: MakeSite, authority_root: str) -> None:
    for domain, name in (("shop.test", "shop"), ("www.shop.test", "shop"), ("wiki.test", "wiki")):
        assert site(domain, authority_root).get().text == name, service_journal(host)
    assert status(host, "shop")["issuer"].startswith("Pebble Intermediate")
    assert status(host, "shop")["error"] == ""


def test_a_self_signed_certificate_is_served(host: Host, site: MakeSite) -> None:
    own = host.file(f"{SERVED}/inner/current/fullchain.pem").content_string
    assert site("inner.test", own).get().text == "inner"
    assert not status(host, "inner")["temporary"]


@pytest.mark.once
def test_no_other_account_can_hold_up_a_run(host: Host) -> None:
    """Any account that can open a file can lock it, so another account locks all that it can."""
    lock_all = (testing.scenario_directory() / "files" / "lock_all.py").read_text()
    places = (
        f"{on_host('runtime')} {CONFIGURATION} {on_host('programs')} {on_host('state')} {SERVED} "
        "/etc/letsencrypt /var/lib/letsencrypt /var/log/letsencrypt"
    )
    host.check_output(f"{PROGRAM} reconcile")  # the lock is there
    unit = "systemd-run --collect --unit=nobody -p User=nobody -p StandardOutput=file:/run/nobody.txt"
    host.check_output(f"{unit} /usr/bin/python3 -I -c %s {places}", lock_all)
    try:
        held = testing.poll(lambda: str(host.run("cat /run/nobody.txt").stdout).strip())
        assert int(held) > 5  # it has found something to hold
        done = host.run(f"timeout 120 {PROGRAM} issue --all --json")
    finally:
        host.check_output("systemctl stop nobody.service; rm -f /run/nobody.txt")
    assert done.rc == 0, done.stderr


def test_keys_are_for_the_web_server_alone(host: Host) -> None:
    for name in ("shop", "wiki", "inner"):
        key = host.file(host.check_output(f"readlink -f {SERVED}/{name}/current/privkey.pem"))
        assert (key.user, key.group, key.mode) == ("root", "www-data", 0o640)
        assert host.run(f"setpriv --reuid nobody --clear-groups cat {key.path}").rc != 0
        assert host.run(f"setpriv --reuid www-data --regid www-data --clear-groups cat {key.path}").rc == 0
    assert host.file(STATE).mode == 0o700


def test_another_run_changes_nothing_and_does_not_reload(host: Host) -> None:
    before = workers(host)
    assert json.loads(host.check_output(f"{PROGRAM} prepare --json"))["changed"] == []
    assert json.loads(host.check_output(f"{PROGRAM} issue --all --json"))["changed"] == []
    assert reconcile(host) == ""
    assert workers(host) == before


def test_timers_run(host: Host) -> None:
    for timer in ("groundwork-certificate.timer", "certbot.timer"):
        assert host.service(timer).is_running
        assert host.service(timer).is_enabled
    # Here it is held back (files/prepare_host).
    own = host.check_output("sed -n 's/^OnCalendar=//p' /etc/systemd/system/groundwork-certificate.timer")
    assert host.run("systemd-analyze calendar %s", own).rc == 0


def test_certbot_s_timer_renews_and_the_new_one_is_served(host: Host, site: MakeSite, authority_root: str) -> None:
    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    renew(host, "wiki")
    assert testing.poll(partial(is_served_anew, wiki, before)), testing.journal(host, "certbot.service")


def test_a_renewal_that_was_not_deployed_is_noticed(host: Host, site: MakeSite, authority_root: str) -> None:
    """As when certbot was killed before it called its deploy hook."""
    wiki = site("wiki.test", authority_root)
    before = serve_the_one_before(host, "wiki", wiki)
    said = reconcile(host)
    assert "wiki: the certificate of Pebble" in said
    assert "asking" not in said
    assert testing.poll(partial(is_served_anew, wiki, before)), said


def test_a_reload_that_failed_is_tried_again(host: Host, site: MakeSite, authority_root: str) -> None:
    wiki = site("wiki.test", authority_root)
    before = serve_the_one_before(host, "wiki", wiki)
    host.check_output("systemctl reset-failed; rm -f /run/alerted; echo nonsense > /etc/nginx/conf.d/broken.conf")
    try:
        assert host.run(f"{PROGRAM} deploy wiki").rc == 1  # as certbot runs it, which ignores the status
        assert serial(wiki) == before
        assert DEPLOY in status(host, "wiki")["error"]
        reconcile(host)
        assert host.check_output("systemctl is-failed groundwork-certificate.service") == "failed"
        host.check_output("systemctl start groundwork-certificate-check.service || true")
        assert testing.poll(lambda: alerted(host), 90)
    finally:
        host.check_output("rm /etc/nginx/conf.d/broken.conf")
    reconcile(host)
    assert testing.poll(partial(is_served_anew, wiki, before)), service_journal(host)
    assert status(host, "wiki")["error"] == ""
    assert host.run("systemctl is-failed groundwork-certificate.service").rc != 0


def test_a_server_that_keeps_the_old_certificate_raises_an_alert(
    host: Host, site: MakeSite, authority_root: str
) -> None:
    """A reload that succeeds and changes nothing: only the served certificate shows it."""
    wiki = site("wiki.test", authority_root)
    before = serve_the_one_before(host, "wiki", wiki)
    host.check_output("systemctl reset-failed; rm -f /run/alerted")
    set_option(host, "deploy_command", "true")
    try:
        assert host.run(f"{PROGRAM} deploy wiki").rc == 0
        assert serial(wiki) == before
        # The check gives a reload ten seconds, and twice as many if it was running before.
        assert testing.poll(lambda: alerted(host), 90, 1)
        said = service_journal(host, "groundwork-certificate-check.service")
        assert f"wiki: 127.0.0.1:443 serves another certificate for wiki.test than {SERVED}/wiki/" in said
    finally:
        set_option(host, "deploy_command", DEPLOY)
    reload(host)
    host.check_output("systemctl start groundwork-certificate-check.service")
    assert not alerted(host)
    host.check_output("systemctl stop nginx.service")  # no server: no fault of the certificate
    checked = host.run(f"{PROGRAM} verify")
    host.check_output("systemctl start nginx.service")
    assert checked.rc == 0, checked.stderr


def test_no_new_connection_fails_while_certificates_are_deployed(
    host: Host, site: MakeSite, authority_root: str
) -> None:
    shop = site("shop.test", authority_root)
    before = workers(host)
    path = f"{STATE}/shop/state.json"
    with asking(shop, visitors=4, pause=0.05) as answers:
        for _turn in range(5):
            with reloaded(host):
                host.check_output(f"""sed -i 's/"deployed": ".*"/"deployed": ""/' {path}; {PROGRAM} deploy shop""")
    assert not workers(host) & before
    assert failed(answers) == []
    assert {answer.text for answer in answers if isinstance(answer, visitor.Answer)} == {"shop"}


def test_names_that_lead_here_get_theirs_and_the_others_follow(host: Host, site: MakeSite, authority_root: str) -> None:
    point_here(host, "part.test")
    other = "server { listen 80; server_name foreign.test; return 200 hello; }"
    host.check_output("echo %s > /etc/nginx/conf.d/foreign.conf", other)
    host.check_output("echo 127.0.0.1 foreign.test >> /etc/hosts")
    ask_for(host, "part", "part.test", "late.test", "foreign.test")
    assert site("foreign.test").get(scheme="http").text == "hello"
    with reloaded(host):
        assert host.run(f"{PROGRAM} issue part").rc == 1
    part = site("part.test", authority_root)
    assert part.get().text == "part"
    entry = status(host, "part")
    assert "late.test: it has no address" in entry["error"]
    assert "foreign.test: another server answers at 127.0.0.1 (hello)" in entry["error"]
    assert (entry["temporary"], entry["domains"]) == (False, ["part.test"])

    before = serial(part)
    host.run(f"{PROGRAM} issue part")  # nothing is new: no order is spent
    assert serial(part) == before
    point_here(host, "late.test")
    assert "left out" not in reconcile(host)  # not before the pause is over
    forget_pause(host, "part")
    with reloaded(host):
        reconcile(host)
    assert site("late.test", authority_root).get().text == "part", service_journal(host)
    host.check_output("rm /etc/nginx/conf.d/foreign.conf")
    reload(host)
    assert host.run(f"{PROGRAM} issue part").rc == 1  # it leads here now, but not for the CA
    assert site("late.test", authority_root).get().text == "part"
    assert "foreign.test: " in status(host, "part")["error"]
    drop(host, "part")


@pytest.mark.parametrize("victim", ["certbot", pytest.param("pebble", marks=pytest.mark.full)])
def test_a_run_that_is_killed_is_healed(host: Host, site: MakeSite, authority_root: str, victim: str) -> None:
    domain, log = f"{victim}.test", "/var/log/letsencrypt/letsencrypt.log"
    point_here(host, domain)
    ask_for(host, "killed", domain)
    host.check_output(f"truncate -s 0 {log}; systemd-run --collect --unit=issue-{victim} {PROGRAM} issue killed")
    ordered = host.run(f"timeout 120 sh -c 'until grep -q order-plz {log}; do sleep 0.02; done'")
    if victim == "pebble":
        host.check_output("systemctl kill --signal=STOP pebble.service")
    host.run("pkill -KILL -f 'certbot [c]ertonly'")
    host.run(f"systemctl kill --signal=KILL issue-{victim}.service")
    answered = site(domain, verify=False).get().text
    host.check_output("systemctl kill --signal=CONT pebble.service")
    assert (ordered.rc, answered) == (0, "killed"), service_journal(host)
    # What is killed holds its lock until it has ended.
    assert testing.poll(lambda: host.run(f"systemctl is-active issue-{victim}.service").stdout.strip() == "inactive")
    forget_pause(host, "killed")
    reconcile(host)
    assert testing.poll(lambda: site(domain, authority_root).get().text == "killed"), service_journal(host)
    drop(host, "killed")


@pytest.mark.parametrize(
    ("shift", "domain"),
    [("-1h", "behind.test"), pytest.param("+1h", "ahead.test", marks=pytest.mark.full)],
)
def test_a_clock_that_is_wrong_ends_well(
    host: Host, site: MakeSite, authority_root: str, shift: str, domain: str
) -> None:
    point_here(host, domain)
    ask_for(host, "clock", domain)
    # certbot gets no environment of the caller's, so it is told the time by a script in its place.
    certbot = f'#!/bin/sh\nexec /usr/bin/faketime -f {shift} /run/clock/certbot.real "$@"\n'
    host.check_output("mkdir -p /run/clock && cp /usr/bin/certbot /run/clock/certbot.real")
    host.check_output("printf %s %s > /run/clock/certbot && chmod +x /run/clock/certbot", "%s", certbot)
    issue = f"mount --bind /run/clock/certbot /usr/bin/certbot && faketime -f {shift} {PROGRAM} issue clock"
    host.run(f"unshare --mount sh -c '{issue}'")
    assert site(domain, verify=False).get().text == "clock"
    forget_pause(host, "clock")
    reconcile(host)
    assert testing.poll(lambda: site(domain, authority_root).get().text == "clock"), service_journal(host)
    assert status(host, "clock")["error"] == ""
    drop(host, "clock")


def test_a_wildcard_by_a_plugin(host: Host, site: MakeSite, authority_root: str) -> None:
    for domain in ("wild.test", "any.wild.test"):
        assert site(domain, authority_root).get().text == "wild"
    credentials = host.file(f"{CONFIGURATION}/certificate-dns.ini")
    assert (credentials.user, credentials.mode) == ("root", 0o600)
    assert status(host, "wild")["error"] == ""


def test_a_wildcard_by_hooks_and_then_from_another_directory(host: Host, site: MakeSite, authority_root: str) -> None:
    """As from staging to production: certbot alone would keep the certificate of the other directory."""
    options = f"{CONFIGURATION}/certificate.json"
    host.check_output(f"cp {options} /run/options")
    try:
        set_option(host, "dns_plugin", "")
        set_option(host, "dns_auth_hook", "/usr/local/bin/dns-add")
        set_option(host, "dns_cleanup_hook", "/usr/local/bin/dns-delete")
        ask_for(host, "hook", "hook.test", "*.hook.test", challenge="dns-01")
        with reloaded(host):
            said = host.run(f"{PROGRAM} issue hook")
            assert said.rc == 0, said.stderr
        hook = site("hook.test", authority_root)
        for wanted in (hook, site("any.hook.test", authority_root)):
            assert wanted.get().text == "hook"
        assert host.check_output("dig +short TXT _acme-challenge.hook.test @127.0.0.1") == ""

        before = serial(hook)
        set_option(host, "directory", "https://localhost:14000/dir")
        said = host.run(f"{PROGRAM} issue hook")
        assert said.rc == 0, said.stdout + said.stderr
        assert "server is https://pebble.test:14000/dir instead of https://localhost:14000/dir" in said.stderr
        assert testing.poll(partial(is_served_anew, hook, before))
    finally:
        host.check_output(f"cp /run/options {options}")
    drop(host, "hook")
