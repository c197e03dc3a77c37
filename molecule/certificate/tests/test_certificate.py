"""Every name has a usable certificate at its stable path, whatever the CA does, and the web server serves it."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import testing
from load import asking, failed
from testinfra.host import Host
from testing import MakeSite

PROGRAM = "/usr/local/lib/groundwork/certificate"
FROM_PYPI = "/usr/local/lib/groundwork/certbot"
SERVED = "/etc/ssl/groundwork"
STATE = "/var/lib/groundwork/certificates"
DEPLOY = "systemctl try-reload-or-restart nginx[.]service apache2[.]service"
SHOP: dict[str, Any] = {"name": "shop", "domains": ["shop.test", "www.shop.test"]}
WIKI: dict[str, Any] = {"name": "wiki", "domains": ["wiki.test"]}
OWN: dict[str, Any] = {"name": "own", "domains": ["own.test"], "provider": "files"}


def run_play(host: Host, *names: dict[str, Any], succeeds: bool = True, **variables: Any) -> str:
    """Run the scenario's play with these names; returns what it printed."""
    result = testing.play(host, "converge.yml", "--diff", certificate_names=list(names), **variables)
    output = result.stdout + result.stderr
    assert (result.returncode == 0) is succeeds, output + service_journal(host)
    return output


def service_journal(host: Host) -> str:
    """All that the timer's service has written so far, and systemd about it."""
    return str(host.check_output("journalctl --sync; journalctl --output=cat --unit=groundwork-certificate.service"))


def reconcile(host: Host) -> str:
    """What the timer does; returns what this run wrote to the journal."""
    before = service_journal(host)
    host.run("systemctl start groundwork-certificate.service")
    return service_journal(host).removeprefix(before).strip()


def status(host: Host, name: str) -> dict[str, Any]:
    """The name's entry in the report."""
    entry: dict[str, Any] = json.loads(host.check_output(f"{PROGRAM} status --json"))["names"][name]
    return entry


def serial(site: testing.Site) -> str:
    """The serial number of the certificate that is served."""
    return str(site.certificate()["serialNumber"])


def is_served_anew(site: testing.Site, before: str) -> bool:
    """True when the served certificate is another one than before."""
    return serial(site) != before


def workers(host: Host) -> set[str]:
    """The process numbers of the nginx workers; a reload replaces them."""
    return set(host.check_output("pgrep -u www-data nginx").split())


def renew(host: Host, name: str, unit: str = "certbot.service") -> None:
    """Make the certificate due for certbot, and start what its timer starts."""
    record = f"/etc/letsencrypt/renewal/{name}.conf"
    host.check_output(f"sed -i 's/^renew_before_expiry = .*/renew_before_expiry = 90000 hours/' {record}")
    # a container that is asked to renew sleeps up to eight minutes unless the unit says otherwise, as Debian's does
    for _turn in range(5):
        if host.run(f"systemctl start {unit}").rc == 0:
            return
        # The CA refuses some nonces on purpose; certbot's timer would come again in twelve hours.
        said = testing.journal(host, unit, 6)
        assert "nonce" in said.lower(), said
        host.run("rm -f /run/alerted")
    raise AssertionError(said)


def serve_the_one_before(host: Host, name: str, visitor: testing.Site) -> str:
    """Serve the certificate before, as after a renewal that was not put to use; returns its serial number."""

    def pairs() -> set[str]:
        return set(host.file(f"{SERVED}/{name}").listdir()) - {"current"}

    if len(pairs()) == 1:
        renew(host, name)
    (before,) = pairs() - {host.check_output(f"readlink {SERVED}/{name}/current")}
    host.check_output(f"ln -sfn {before} {SERVED}/{name}/current")
    host.check_output(f"""sed -i 's/"deployed": ".*"/"deployed": "{before}"/' {STATE}/{name}/state.json""")
    host.check_output("systemctl reload nginx.service")
    shown = host.check_output(f"openssl x509 -noout -serial -in {SERVED}/{name}/current/fullchain.pem")
    number = shown.removeprefix("serial=")
    assert testing.poll(lambda: serial(visitor) == number, 2)  # the reload takes its moment
    return number


def forget_pause(host: Host, name: str) -> None:
    """Let the timer's next attempt be now."""
    path = f"{STATE}/{name}/state.json"
    # Nothing is remembered of a first attempt that was killed.
    host.check_output(f"""[ ! -e {path} ] || sed -i 's/"next_attempt": "[^"]*"/"next_attempt": ""/' {path}""")


@contextmanager
def unreachable_ca(host: Host) -> Iterator[None]:
    """Make the CA unreachable within the block, by its address: if it were stopped, it would forget its accounts."""

    def move(old: str, new: str) -> None:
        host.check_output("sed 's/^%s pebble.test/%s pebble.test/' /etc/hosts > /run/hosts", old, new)
        host.check_output("cat /run/hosts > /etc/hosts")

    move("127.0.0.1", "127.0.0.9")
    try:
        yield
    finally:
        move("127.0.0.9", "127.0.0.1")


def alerted(host: Host) -> bool:
    """True when the user's unit was started since it was last asked."""
    return bool(host.run("rm /run/alerted").rc == 0)


def point_here(host: Host, domain: str) -> None:
    """Let the name lead to the host, for itself and for the CA."""
    host.check_output("echo 127.0.0.1 %s >> /etc/hosts", domain)
    update = f"server 127.0.0.1\\nupdate add {domain}. 1 A 127.0.0.1\\nsend\\n"
    host.check_output(f"printf '{update}' | nsupdate -k /etc/bind/update.key")


def configure(host: Host, name: str, *domains: str, **more: str) -> None:
    """Write down that a certificate is asked for, as the play does."""
    request = json.dumps({"name": name, "domains": domains, "provider": "acme", **more})
    host.check_output("echo %s > %s", request, f"/etc/groundwork/certificates/{name}.json")


def ask_for(host: Host, name: str, *domains: str, **more: str) -> None:
    """Configure a name on the host, and open its site: what the play does, without the play."""
    configure(host, name, *domains, **more)
    host.check_output(f"{PROGRAM} prepare")
    pair = f"{SERVED}/{name}/current"
    site = (
        f"server {{ listen 443 ssl; server_name {' '.join(domains)}; ssl_certificate {pair}/fullchain.pem; "
        f"ssl_certificate_key {pair}/privkey.pem; location / {{ return 200 {name}; }} }}"
    )
    host.check_output("echo %s > %s", site, f"/etc/nginx/conf.d/{name}.conf")
    host.check_output("systemctl reload nginx.service")


def drop(host: Host, *names: str) -> None:
    """Take off what ask_for has made."""
    for name in names:
        host.check_output(f"rm /etc/nginx/conf.d/{name}.conf /etc/groundwork/certificates/{name}.json")
    host.check_output(f"systemctl reload nginx.service; {PROGRAM} remove {' '.join(names)}")


def set_option(host: Host, name: str, value: str) -> None:
    """Change one of the host's options."""
    host.check_output(f"""sed -i 's|"{name}": ".*"|"{name}": "{value}"|' /etc/groundwork/certificate.json""")


@pytest.fixture
def timer_paused(host: Host) -> Iterator[None]:
    """Lets nothing but the test do the timer's work."""
    host.check_output("systemctl stop groundwork-certificate.timer")
    yield
    host.check_output("systemctl start groundwork-certificate.timer")


def test_every_name_has_a_real_certificate(host: Host, site: MakeSite, authority_root: str) -> None:
    for domain, name in (("shop.test", "shop"), ("www.shop.test", "shop"), ("wiki.test", "wiki")):
        assert site(domain, authority_root).get().text == name, service_journal(host)
    assert status(host, "shop")["issuer"].startswith("Pebble Intermediate")
    assert status(host, "shop")["error"] == ""


def test_a_self_signed_one_vouches_for_itself(host: Host, site: MakeSite) -> None:
    own = host.file(f"{SERVED}/inner/current/fullchain.pem").content_string
    assert site("inner.test", own).get().text == "inner"
    assert not status(host, "inner")["temporary"]


@pytest.mark.once
@pytest.mark.usefixtures("timer_paused")
def test_nobody_can_hold_up_a_run(host: Host) -> None:
    """A lock on a file is given to whoever can open it, so a stranger locks all that he can."""
    lock_all = (testing.scenario_directory() / "files" / "lock_all.py").read_text()
    places = (
        "/run/groundwork /etc/groundwork /usr/local/lib/groundwork /var/lib/groundwork /etc/ssl/groundwork "
        "/etc/letsencrypt /var/lib/letsencrypt /var/log/letsencrypt"
    )
    host.check_output(f"{PROGRAM} reconcile")  # the lock is there
    unit = "systemd-run --collect --unit=nobody -p User=nobody -p StandardOutput=file:/run/nobody.txt"
    host.check_output(f"{unit} /usr/bin/python3 -I -c %s {places}", lock_all)
    try:
        held = testing.poll(lambda: str(host.run("cat /run/nobody.txt").stdout).strip(), 10)
        assert int(held) > 5  # it has found something to hold
        done = host.run(f"timeout 20 {PROGRAM} issue --all --json")
    finally:
        host.check_output("systemctl stop nobody.service; rm -f /run/nobody.txt")
    assert done.rc == 0, done.stderr


def test_keys_are_for_the_web_server_alone(host: Host) -> None:
    for name in ("shop", "wiki", "inner"):
        key = host.file(host.check_output(f"readlink -f {SERVED}/{name}/current/privkey.pem"))
        assert (key.user, key.group, key.mode) == ("root", "www-data", 0o640)
        assert host.run(f"setpriv --reuid nobody --clear-groups cat {key.path}").rc != 0
        assert host.run(f"setpriv --reuid www-data --regid www-data --clear-groups cat {key.path}").rc == 0
    assert host.file("/var/lib/groundwork/certificates").mode == 0o700


@pytest.mark.usefixtures("timer_paused")
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


def test_certbot_s_timer_renews_and_the_new_one_is_served(host: Host, site: MakeSite, authority_root: str) -> None:
    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    renew(host, "wiki")
    assert testing.poll(partial(is_served_anew, wiki, before), 2), testing.journal(host, "certbot.service")


@pytest.mark.usefixtures("timer_paused")
def test_a_renewal_that_nobody_deployed_is_noticed(host: Host, site: MakeSite, authority_root: str) -> None:
    """As when certbot was killed before it called its deploy hook."""
    wiki = site("wiki.test", authority_root)
    before = serve_the_one_before(host, "wiki", wiki)
    said = reconcile(host)
    assert "wiki: the certificate of Pebble" in said
    assert "asking" not in said
    assert testing.poll(partial(is_served_anew, wiki, before), 2), said


@pytest.mark.usefixtures("timer_paused")
def test_a_reload_that_failed_is_tried_again(host: Host, site: MakeSite, authority_root: str) -> None:
    wiki = site("wiki.test", authority_root)
    before = serve_the_one_before(host, "wiki", wiki)
    host.check_output("systemctl reset-failed; rm -f /run/alerted; echo nonsense > /etc/nginx/conf.d/broken.conf")
    try:
        assert host.run(f"{PROGRAM} deploy wiki").rc == 1  # as certbot calls it, which takes no notice
        assert serial(wiki) == before
        assert DEPLOY in status(host, "wiki")["error"]
        reconcile(host)
        assert host.check_output("systemctl is-failed groundwork-certificate.service") == "failed"
        host.check_output("systemctl start groundwork-certificate-check.service || true")
        assert testing.poll(lambda: alerted(host), 5)
    finally:
        host.check_output("rm /etc/nginx/conf.d/broken.conf")
    reconcile(host)
    assert testing.poll(partial(is_served_anew, wiki, before), 2), service_journal(host)
    assert status(host, "wiki")["error"] == ""
    assert host.run("systemctl is-failed groundwork-certificate.service").rc != 0


@pytest.mark.usefixtures("timer_paused")
def test_a_server_that_goes_on_with_the_old_one_raises_an_alert(
    host: Host, site: MakeSite, authority_root: str
) -> None:
    """A reload that succeeds and changes nothing: only what is served tells."""
    wiki = site("wiki.test", authority_root)
    before = serve_the_one_before(host, "wiki", wiki)
    host.check_output("systemctl reset-failed; rm -f /run/alerted")
    set_option(host, "deploy_command", "true")
    try:
        assert host.run(f"{PROGRAM} deploy wiki").rc == 0
        assert serial(wiki) == before
        assert testing.poll(lambda: alerted(host), 30, 1)
        said = testing.journal(host, "groundwork-certificate-check.service")
        assert "wiki: 127.0.0.1:443 serves another certificate for wiki.test than /etc/ssl/groundwork/wiki/" in said
    finally:
        set_option(host, "deploy_command", DEPLOY)
    host.check_output("systemctl reload nginx.service")
    host.check_output("systemctl start groundwork-certificate-check.service")
    assert not alerted(host)
    host.check_output("systemctl stop nginx.service")  # nobody serves: no fault of the certificate
    checked = host.run(f"{PROGRAM} verify")
    host.check_output("systemctl start nginx.service")
    assert checked.rc == 0, checked.stderr


@pytest.mark.usefixtures("timer_paused")
def test_no_new_connection_fails_while_certificates_are_put_to_use(
    host: Host, site: MakeSite, authority_root: str
) -> None:
    shop = site("shop.test", authority_root)
    before = workers(host)
    path = f"{STATE}/shop/state.json"
    with asking(shop, visitors=4, pause=0.05) as answers:
        for _turn in range(5):
            host.check_output(f"""sed -i 's/"deployed": ".*"/"deployed": ""/' {path}; {PROGRAM} deploy shop""")
    assert not workers(host) & before
    assert failed(answers) == []
    assert {answer.text for answer in answers if isinstance(answer, testing.Answer)} == {"shop"}


@pytest.mark.usefixtures("timer_paused")
def test_names_that_lead_here_get_theirs_and_the_others_follow(host: Host, site: MakeSite, authority_root: str) -> None:
    point_here(host, "part.test")
    other = "server { listen 80; server_name foreign.test; return 200 hello; }"
    host.check_output("echo %s > /etc/nginx/conf.d/foreign.conf", other)
    host.check_output("echo 127.0.0.1 foreign.test >> /etc/hosts")
    before_reload = workers(host)
    ask_for(host, "part", "part.test", "late.test", "foreign.test")
    assert testing.poll(lambda: not workers(host) & before_reload)  # until then either configuration may answer
    assert site("foreign.test").get(scheme="http").text == "hello"
    assert host.run(f"{PROGRAM} issue part").rc == 1
    part = site("part.test", authority_root)
    assert testing.poll(lambda: part.get().text == "part", 2)
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
    reconcile(host)
    assert testing.poll(lambda: site("late.test", authority_root).get().text == "part", 2), service_journal(host)
    host.check_output("rm /etc/nginx/conf.d/foreign.conf; systemctl reload nginx.service")
    assert host.run(f"{PROGRAM} issue part").rc == 1  # it leads here now, but not for the CA
    assert site("late.test", authority_root).get().text == "part"
    assert "foreign.test: " in status(host, "part")["error"]
    drop(host, "part")


@pytest.mark.usefixtures("timer_paused")
@pytest.mark.parametrize("victim", ["certbot", pytest.param("pebble", marks=pytest.mark.full)])
def test_a_run_that_is_killed_is_healed(host: Host, site: MakeSite, authority_root: str, victim: str) -> None:
    domain, log = f"{victim}.test", "/var/log/letsencrypt/letsencrypt.log"
    point_here(host, domain)
    ask_for(host, "killed", domain)
    host.check_output(f"truncate -s 0 {log}; systemd-run --unit=issue-{victim} {PROGRAM} issue killed")
    ordered = host.run(f"timeout 60 sh -c 'until grep -q order-plz {log}; do sleep 0.02; done'")
    if victim == "pebble":
        host.check_output("systemctl kill --signal=STOP pebble.service")
    host.run("pkill -KILL -f 'certbot [c]ertonly'")
    host.run(f"systemctl kill --signal=KILL issue-{victim}.service")
    answered = site(domain, verify=False).get().text
    host.check_output("systemctl kill --signal=CONT pebble.service")
    assert (ordered.rc, answered) == (0, "killed"), service_journal(host)
    forget_pause(host, "killed")
    reconcile(host)
    assert testing.poll(lambda: site(domain, authority_root).get().text == "killed", 5), service_journal(host)
    drop(host, "killed")


@pytest.mark.usefixtures("timer_paused")
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
    assert testing.poll(lambda: site(domain, authority_root).get().text == "clock", 2), service_journal(host)
    assert status(host, "clock")["error"] == ""
    drop(host, "clock")


def test_a_wildcard_by_a_plugin(host: Host, site: MakeSite, authority_root: str) -> None:
    for domain in ("wild.test", "any.wild.test"):
        assert site(domain, authority_root).get().text == "wild"
    credentials = host.file("/etc/groundwork/certificate-dns.ini")
    assert (credentials.user, credentials.mode) == ("root", 0o600)
    assert status(host, "wild")["error"] == ""


@pytest.mark.usefixtures("timer_paused")
def test_a_wildcard_by_hooks_and_then_from_another_directory(host: Host, site: MakeSite, authority_root: str) -> None:
    """As from staging to production: certbot alone would keep the certificate of the other directory."""
    options = "/etc/groundwork/certificate.json"
    host.check_output(f"cp {options} /run/options")
    try:
        set_option(host, "dns_plugin", "")
        set_option(host, "dns_auth_hook", "/usr/local/bin/dns-add")
        set_option(host, "dns_cleanup_hook", "/usr/local/bin/dns-delete")
        ask_for(host, "hook", "hook.test", "*.hook.test", challenge="dns-01")
        said = host.run(f"{PROGRAM} issue hook")
        assert said.rc == 0, said.stderr
        # The reload's old worker may answer for one name while its new one does for the other.
        hook = site("hook.test", authority_root)
        for wanted in (hook, site("any.hook.test", authority_root)):
            assert testing.poll(lambda wanted=wanted: wanted.get().text == "hook", 2)  # type: ignore[misc]
        assert host.check_output("dig +short TXT _acme-challenge.hook.test @127.0.0.1") == ""

        before = serial(hook)
        set_option(host, "directory", "https://localhost:14000/dir")
        said = host.run(f"{PROGRAM} issue hook")
        assert said.rc == 0, said.stdout + said.stderr
        assert "server is https://pebble.test:14000/dir instead of https://localhost:14000/dir" in said.stderr
        assert testing.poll(partial(is_served_anew, hook, before), 2)
    finally:
        host.check_output(f"cp /run/options {options}")
    drop(host, "hook")


def make_pair(directory: Path, domain: str) -> dict[str, str]:
    """A pair on this machine, as the provider files takes it."""
    directory.mkdir()
    paths = {"fullchain": str(directory / "cert.pem"), "privkey": str(directory / "key.pem")}
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-days", "90", "-subj", "/CN=Own", "-addext", f"subjectAltName=DNS:{domain}"),
            *("-keyout", paths["privkey"], "-out", paths["fullchain"]),
        ],
        check=True,
        capture_output=True,
    )
    return paths


@dataclass
class Changed:
    """What a play was given: a key of the DNS server, and a pair of one's own. And what it printed."""

    dns_key: str
    pair: dict[str, str]
    output: str


@pytest.fixture(scope="module")
def changed(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Changed:
    """Three changes in one play, while the CA is down: a new name, a pair of one's own, and certbot from PyPI.

    Nothing is installed: the program fetches certbot only once the CA answers, and `installed_packages` names what the
    role would have apt install for it.
    """
    (key,) = re.findall('secret "(.+)"', host.file("/etc/bind/update.key").content_string)
    pair = make_pair(tmp_path_factory.mktemp("own") / "pair", "own.test")
    credentials = host.file("/etc/groundwork/certificate-dns.ini").content_string
    with unreachable_ca(host):
        output = run_play(
            host,
            *(SHOP, WIKI, {"name": "blog", "domains": ["blog.test"], "profile": "shortlived"}, {**OWN, **pair}),
            certificate_certbot="pypi",
            certificate_dns_credentials=f"# changed\n{credentials}",
            installed_packages=[*testing.installed_packages(host), "python3-venv"],
        )
    return Changed(key, pair, output)


WHERE_CERTBOT_IS_TO_BE = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, "/usr/local/lib/groundwork/python")
from groundwork_certificate.certificate.context import Context
print(Context().acme.certbot.pypi.target)
"""


@pytest.fixture(scope="module")
def certbot_from_pypi(host: Host) -> Iterator[None]:
    """Put a stand-in for the certbot from PyPI where the program would install it, as `changed` has configured it."""
    stand_in = (testing.scenario_directory() / "files" / "certbot").read_text()
    directory = host.check_output("/usr/bin/python3 -I -c %s", WHERE_CERTBOT_IS_TO_BE)
    host.check_output(f"mkdir -p {directory}/bin && printf %s %s > {directory}/bin/certbot", "%s", stand_in)
    host.check_output(f"chmod +x {directory}/bin/certbot && ln -sfn $(basename {directory}) {FROM_PYPI}")
    yield
    host.check_output(f"rm -rf {FROM_PYPI} {directory}")


@pytest.mark.usefixtures("timer_paused", "changed", "certbot_from_pypi")
def test_a_ca_that_is_down_stops_no_site_and_no_play(
    host: Host, site: MakeSite, authority_root: str, changed: Changed
) -> None:
    assert "the CA at https://pebble.test:14000/dir cannot be reached" in changed.output
    assert status(host, "blog")["temporary"]
    with pytest.raises(ssl.SSLCertVerificationError):
        site("blog.test", authority_root).get()
    assert site("blog.test", verify=False).get().text == "blog"
    assert site("shop.test", authority_root).get().text == "shop"
    host.check_output("systemctl restart nginx.service")
    assert site("blog.test", verify=False).get().text == "blog"

    # Now the CA is back.
    assert reconcile(host) == ""  # not before the pause is over
    forget_pause(host, "blog")
    said = reconcile(host)
    assert testing.poll(lambda: site("blog.test", authority_root).get().text == "blog", 2), said
    assert not status(host, "blog")["temporary"]
    assert "blog: asking for a certificate (acme), because there is none yet" in said


@pytest.mark.usefixtures("timer_paused", "changed", "certbot_from_pypi")
def test_certbot_from_pypi_issues_with_profiles_and_renews(host: Host, site: MakeSite, authority_root: str) -> None:
    forget_pause(host, "blog")
    reconcile(host)  # has nothing to do when the test before has run
    calls = "cat /run/certbot-calls"
    issued = host.check_output(calls).splitlines()[0]
    assert "certonly" in issued
    assert "--preferred-profile shortlived" in issued

    assert host.service("groundwork-certificate-renew.timer").is_running
    assert host.service("groundwork-certificate-renew.timer").is_enabled
    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    renew(host, "wiki")  # the package's: it leaves it to the other
    assert serial(wiki) == before
    renew(host, "wiki", "groundwork-certificate-renew.service")
    assert testing.poll(partial(is_served_anew, wiki, before), 2)
    assert host.check_output(calls).splitlines()[-1] == "-q renew --no-random-sleep-on-renew"


@pytest.mark.usefixtures("timer_paused")
def test_a_pair_of_one_s_own_is_served_and_its_end_is_told(host: Host, site: MakeSite, changed: Changed) -> None:
    assert site("own.test", Path(changed.pair["fullchain"]).read_text()).get().text == "own"
    facts = f"{SERVED}/own/current/certificate.json"
    kept = host.file(facts).content_string
    host.check_output("""sed -i 's/"not_before": ".*"/"not_before": "2000-01-01T00:00:00Z"/' %s""", facts)
    said = reconcile(host)
    assert "own: the certificate has less than a quarter of its lifetime left and expires on " in said
    assert host.check_output("systemctl is-failed groundwork-certificate.service") == "failed"
    host.check_output("printf %%s %s > %s", kept, facts)
    assert reconcile(host) == ""


def test_a_play_with_diff_shows_no_key(changed: Changed) -> None:
    for path in ("/etc/groundwork/certificate-dns.ini", "/etc/groundwork/certificates/own.privkey.pem"):
        assert path in changed.output
    for secret in (changed.dns_key, *Path(changed.pair["privkey"]).read_text().splitlines()[1:-1]):
        assert secret not in changed.output


@pytest.mark.full
def test_certbot_from_pypi_brings_profiles_and_addresses(host: Host, site: MakeSite, authority_root: str) -> None:
    """The real one, in place of what stood for it."""
    host.check_output(f"rm -rf {FROM_PYPI} {FROM_PYPI}-*")
    bare = {"name": "bare", "domains": ["127.0.0.1"], "profile": "shortlived"}
    run_play(host, SHOP, WIKI, bare, certificate_certbot="pypi")
    entry = status(host, "bare")
    assert (entry["domains"], entry["error"], entry["temporary"]) == (["127.0.0.1"], "", False)
    shown = host.check_output(f"openssl x509 -noout -checkend 604800 -in {SERVED}/bare/current/fullchain.pem || true")
    assert "will expire" in shown  # within a week

    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    renew(host, "wiki")
    assert serial(wiki) == before
    renew(host, "wiki", "groundwork-certificate-renew.service")
    assert testing.poll(partial(is_served_anew, wiki, before), 2)
    host.check_output(f"rm /etc/groundwork/certificates/bare.json; {PROGRAM} remove bare")


BAD_SHOP = {**SHOP, "domains": [*SHOP["domains"], "new.shop.test", "gone.invalid"]}


@pytest.fixture(scope="module")
def refused(host: Host, changed: Changed, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a play says of three mistakes; it also takes a name off and goes back to the distribution's certbot."""
    other = make_pair(tmp_path_factory.mktemp("own") / "other", "own.test")
    configure(host, "blog", "blog.test")  # without the profile that the distribution's certbot does not have
    return run_play(
        host,
        *(BAD_SHOP, WIKI, {"name": "odd", "domains": ["refused.test"]}),
        {**OWN, **changed.pair, "privkey": other["privkey"]},
        succeeds=False,
        certificate_require_trusted=True,
        certificate_absent=["blog"],
    )


@pytest.mark.usefixtures("timer_paused")
def test_a_new_domain_is_added_and_a_bad_one_harms_nothing(
    host: Host, site: MakeSite, authority_root: str, refused: str
) -> None:
    new = site("new.shop.test", authority_root)
    assert testing.poll(lambda: new.get().text == "shop", 2), service_journal(host)
    assert "shop: gone.invalid: " in refused
    error = status(host, "shop")["error"]
    assert error.startswith("gone.invalid: ")
    assert "remove the name" in error

    before = serial(new)
    host.run(f"{PROGRAM} issue shop")  # nothing is new: no order is spent
    assert serial(new) == before
    configure(host, "shop", *BAD_SHOP["domains"][:-1])
    done = host.run(f"{PROGRAM} issue shop")
    assert done.rc == 0, done.stderr
    assert (serial(new), status(host, "shop")["error"]) == (before, "")


def test_what_the_ca_refuses_is_told_in_its_words(host: Host, site: MakeSite, refused: str) -> None:
    assert "odd: " in refused
    assert "issuance is forbidden by policy" in status(host, "odd")["error"]
    assert site("refused.test", verify=False).get().text == "odd"


def test_a_pair_that_does_not_match_is_refused_and_the_one_before_is_served(
    site: MakeSite, changed: Changed, refused: str
) -> None:
    assert "own: refused, and left as it was: " in refused
    assert "the key does not belong to the certificate" in refused
    assert site("own.test", Path(changed.pair["fullchain"]).read_text()).get().text == "own"


def test_a_removed_name_is_gone_and_the_others_stay(
    host: Host, site: MakeSite, authority_root: str, refused: str
) -> None:
    assert "/etc/groundwork/certificates/blog.json" in refused  # the diff tells it
    for path in (f"{SERVED}/blog", f"{STATE}/blog", "/etc/letsencrypt/renewal/blog.conf", "/etc/letsencrypt/live/blog"):
        assert not host.file(path).exists
    assert not host.run("ls /etc/groundwork/certificates | grep blog").stdout
    assert json.loads(host.check_output(f"{PROGRAM} remove --json blog"))["changed"] == []
    assert site("shop.test", authority_root).get().text == "shop"


def test_the_distribution_s_certbot_renews_again(host: Host, refused: str) -> None:
    assert refused
    timer = host.service("groundwork-certificate-renew.timer")
    assert not timer.is_enabled
    assert not timer.is_running
    assert host.run("systemctl start certbot.service").rc == 0, testing.journal(host, "certbot.service")
    assert host.check_output("systemctl show --property=ConditionResult --value certbot.service") == "yes"
