"""Every name has a usable certificate at its stable path, whatever the authority does, and the web server serves it."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import testing
from load import asking, failed
from testinfra.host import Host

# The certbot is the release's own. What another one cannot change is tested on one of them.
bookworm, trixie = pytest.mark.suite("bookworm"), pytest.mark.suite("trixie")
PROGRAM = "/usr/local/lib/groundwork/certificate"
SERVED = "/etc/ssl/groundwork"
SHOP: dict[str, Any] = {"name": "shop", "domains": ["shop.test", "www.shop.test"]}
WIKI: dict[str, Any] = {"name": "wiki", "domains": ["wiki.test"]}
BLOG: dict[str, Any] = {"name": "blog", "domains": ["blog.test"]}
SiteMaker = Callable[..., testing.Site]


def run_play(host: Host, *names: dict[str, Any], succeeds: bool = True, **variables: Any) -> str:
    """Run the scenario's play with these names; returns what it printed."""
    given = {"certificate_names": list(names)} if names else {}
    result = testing.play(host, "converge.yml", "--diff", **given, **variables)
    output = result.stdout + result.stderr
    assert (result.returncode == 0) is succeeds, output + service_journal(host)
    return output


def service_journal(host: Host) -> str:
    """All that the timer's service has written so far, and systemd about it."""
    return str(host.check_output("journalctl --sync; journalctl --output=cat --unit=groundwork-certificate.service"))


def tend(host: Host) -> str:
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
    """nginx's workers: a reload replaces them."""
    return set(host.check_output("pgrep -u www-data nginx").split())


def renew_by_certbot_s_timer(host: Host, name: str) -> None:
    """Make the certificate due for certbot, and start what its timer starts."""
    record = f"/etc/letsencrypt/renewal/{name}.conf"
    host.check_output(f"sed -i 's/^renew_before_expiry = .*/renew_before_expiry = 90000 hours/' {record}")
    # a container that is asked to renew sleeps up to eight minutes unless the unit says otherwise, as Debian's does
    for _turn in range(5):
        if host.run("systemctl start certbot.service").rc == 0:
            return
        # The authority refuses some nonces on purpose; certbot's timer would come again in twelve hours.
        said = testing.journal(host, "certbot.service", 6)
        assert "badNonce" in said, said
        host.run("rm -f /run/alerted")
    raise AssertionError(said)


def forget_pause(host: Host, name: str) -> None:
    """Let the timer's next attempt be now."""
    path = f"/var/lib/groundwork/certificates/{name}/state.json"
    # Nothing is remembered of a first attempt that was killed.
    host.check_output(f"""[ ! -e {path} ] || sed -i 's/"next_attempt": "[^"]*"/"next_attempt": ""/' {path}""")


@pytest.fixture
def authority_down(host: Host) -> Iterator[Callable[[], None]]:
    """Nobody listens where the authority was; call it to have it back. (Stopped, it would forget its accounts.)"""

    def move(old: str, new: str) -> None:
        host.check_output("sed 's/^%s pebble.test/%s pebble.test/' /etc/hosts > /run/hosts", old, new)
        host.check_output("cat /run/hosts > /etc/hosts")

    move("127.0.0.1", "127.0.0.9")
    yield lambda: move("127.0.0.9", "127.0.0.1")
    move("127.0.0.9", "127.0.0.1")


def alerted(host: Host) -> bool:
    """True when the user's unit was started since it was last asked."""
    return bool(host.run("rm /run/alerted").rc == 0)


def point_here(host: Host, domain: str) -> None:
    """Let the name lead to the host, for itself and for the authority."""
    host.check_output("echo 127.0.0.1 %s >> /etc/hosts", domain)
    update = f"server 127.0.0.1\\nupdate add {domain}. 1 A 127.0.0.1\\nsend\\n"
    host.check_output(f"printf '{update}' | nsupdate -k /etc/bind/update.key")


def ask_for(host: Host, name: str, *domains: str, **more: str) -> None:
    """Configure a name on the host, and open its site: what the play does, without the play."""
    request = json.dumps({"name": name, "domains": domains, "provider": "acme", **more})
    host.check_output("echo %s > %s", request, f"/etc/groundwork/certificates/{name}.json")
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


def test_every_name_has_a_real_certificate(host: Host, site: SiteMaker, authority_root: str) -> None:
    for domain, name in (("shop.test", "shop"), ("www.shop.test", "shop"), ("wiki.test", "wiki")):
        assert site(domain, authority_root).get().text == name, service_journal(host)
    assert status(host, "shop")["issuer"].startswith("Pebble Intermediate")
    assert status(host, "shop")["error"] == ""


def test_a_self_signed_one_vouches_for_itself(host: Host, site: SiteMaker) -> None:
    own = host.file(f"{SERVED}/inner/current/fullchain.pem").content_string
    assert site("inner.test", own).get().text == "inner"
    assert not status(host, "inner")["temporary"]


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
    assert tend(host) == ""
    assert workers(host) == before


def test_timers_run(host: Host) -> None:
    for timer in ("groundwork-certificate.timer", "certbot.timer"):
        assert host.service(timer).is_running
        assert host.service(timer).is_enabled


def test_certbot_s_timer_renews_and_the_new_one_is_served(host: Host, site: SiteMaker, authority_root: str) -> None:
    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    renew_by_certbot_s_timer(host, "wiki")
    assert testing.poll(partial(is_served_anew, wiki, before), 2), testing.journal(host, "certbot.service")


@pytest.mark.usefixtures("timer_paused")
def test_a_renewal_that_nobody_deployed_is_noticed(host: Host, site: SiteMaker, authority_root: str) -> None:
    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    host.check_output(f"chmod a-x {PROGRAM}")
    try:
        renew_by_certbot_s_timer(host, "wiki")
    finally:
        host.check_output(f"chmod a+x {PROGRAM}")
    assert serial(wiki) == before
    said = tend(host)
    assert "wiki: the certificate of Pebble" in said
    assert "asking" not in said
    assert testing.poll(partial(is_served_anew, wiki, before), 2), said


@pytest.mark.usefixtures("timer_paused")
@trixie
def test_a_reload_that_failed_is_tried_again(host: Host, site: SiteMaker, authority_root: str) -> None:
    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    host.check_output("echo nonsense > /etc/nginx/conf.d/broken.conf")
    try:
        renew_by_certbot_s_timer(host, "wiki")
        assert serial(wiki) == before
        assert "systemctl try-reload-or-restart nginx[.]service apache2[.]service" in status(host, "wiki")["error"]
        alerted(host)
        tend(host)
        assert host.check_output("systemctl is-failed groundwork-certificate.service") == "failed"
        host.check_output("systemctl start groundwork-certificate-check.service || true")
        assert testing.poll(lambda: alerted(host), 5)
    finally:
        host.check_output("rm /etc/nginx/conf.d/broken.conf")
    tend(host)
    assert testing.poll(partial(is_served_anew, wiki, before), 2), service_journal(host)
    assert status(host, "wiki")["error"] == ""
    assert host.run("systemctl is-failed groundwork-certificate.service").rc != 0


@pytest.mark.usefixtures("timer_paused")
@bookworm
def test_a_server_that_goes_on_with_the_old_one_raises_an_alert(
    host: Host, site: SiteMaker, authority_root: str
) -> None:
    """A reload that succeeds and changes nothing: only what is served tells."""
    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    command = "systemctl try-reload-or-restart nginx[.]service apache2[.]service"
    host.check_output("systemctl reset-failed; rm -f /run/alerted")
    set_option(host, "deploy_command", "true")
    try:
        renew_by_certbot_s_timer(host, "wiki")
        assert serial(wiki) == before
        assert testing.poll(lambda: alerted(host), 30, 1)
        said = testing.journal(host, "groundwork-certificate-check.service")
        assert "wiki: 127.0.0.1:443 serves another certificate for wiki.test than /etc/ssl/groundwork/wiki/" in said
    finally:
        set_option(host, "deploy_command", command)
    host.check_output("systemctl reload nginx.service")
    host.check_output("systemctl start groundwork-certificate-check.service")
    assert not alerted(host)
    host.check_output("systemctl stop nginx.service")  # nobody serves: no fault of the certificate
    checked = host.run(f"{PROGRAM} verify")
    host.check_output("systemctl start nginx.service")
    assert checked.rc == 0, checked.stderr


@pytest.mark.usefixtures("timer_paused")
def test_no_new_connection_fails_while_certificates_are_put_to_use(
    host: Host, site: SiteMaker, authority_root: str
) -> None:
    shop = site("shop.test", authority_root)
    before = workers(host)
    path = "/var/lib/groundwork/certificates/shop/state.json"
    with asking(shop, visitors=4) as answers:
        for _turn in range(5):
            host.check_output(f"""sed -i 's/"deployed": ".*"/"deployed": ""/' {path}; {PROGRAM} deploy shop""")
    assert not workers(host) & before
    assert failed(answers) == []
    assert {answer.text for answer in answers if isinstance(answer, testing.Answer)} == {"shop"}


@pytest.mark.usefixtures("timer_paused")
@bookworm
def test_names_that_lead_here_get_theirs_and_the_others_follow(
    host: Host, site: SiteMaker, authority_root: str
) -> None:
    point_here(host, "part.test")
    other = "server { listen 80; server_name foreign.test; return 200 hello; }"
    host.check_output("echo %s > /etc/nginx/conf.d/foreign.conf", other)
    host.check_output("echo 127.0.0.1 foreign.test >> /etc/hosts")
    ask_for(host, "part", "part.test", "late.test", "foreign.test")
    assert testing.poll(lambda: site("foreign.test").get(scheme="http").text == "hello")  # a reload takes its moment
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
    assert "left out" not in tend(host)  # not before the pause is over
    forget_pause(host, "part")
    tend(host)
    assert testing.poll(lambda: site("late.test", authority_root).get().text == "part", 2), service_journal(host)
    host.check_output("rm /etc/nginx/conf.d/foreign.conf; systemctl reload nginx.service")
    assert host.run(f"{PROGRAM} issue part").rc == 1  # it leads here now, but not for the authority
    assert site("late.test", authority_root).get().text == "part"
    assert "foreign.test: " in status(host, "part")["error"]
    drop(host, "part")


@pytest.mark.usefixtures("timer_paused")
@pytest.mark.parametrize("victim", [pytest.param("certbot", marks=bookworm), pytest.param("pebble", marks=trixie)])
def test_a_run_that_is_killed_is_healed(host: Host, site: SiteMaker, authority_root: str, victim: str) -> None:
    domain, log = f"{victim}.test", "/var/log/letsencrypt/letsencrypt.log"
    point_here(host, domain)
    ask_for(host, "killed", domain)
    host.check_output(f"truncate -s 0 {log}; systemd-run --unit=issue-{victim} {PROGRAM} issue killed")
    ordered = host.run(f"timeout 60 sh -c 'until grep -q order-plz {log}; do sleep 0.01; done'")
    if victim == "pebble":
        host.check_output("systemctl kill --signal=STOP pebble.service")
    host.run("pkill -KILL -f 'certbot [c]ertonly'")
    host.run(f"systemctl kill --signal=KILL issue-{victim}.service")
    answered = site(domain, verify=False).get().text
    host.check_output("systemctl kill --signal=CONT pebble.service")
    assert (ordered.rc, answered) == (0, "killed"), service_journal(host)
    forget_pause(host, "killed")
    tend(host)
    assert testing.poll(lambda: site(domain, authority_root).get().text == "killed", 5), service_journal(host)
    drop(host, "killed")


@pytest.mark.usefixtures("timer_paused")
@pytest.mark.parametrize(
    ("shift", "domain"),
    [pytest.param("+1h", "ahead.test", marks=trixie), pytest.param("-1h", "behind.test", marks=bookworm)],
)
def test_a_clock_that_is_wrong_ends_well(
    host: Host, site: SiteMaker, authority_root: str, shift: str, domain: str
) -> None:
    point_here(host, domain)
    ask_for(host, "clock", domain)
    host.run(f"faketime -f {shift} {PROGRAM} issue clock")
    assert site(domain, verify=False).get().text == "clock"
    forget_pause(host, "clock")
    tend(host)
    assert testing.poll(lambda: site(domain, authority_root).get().text == "clock", 2), service_journal(host)
    assert status(host, "clock")["error"] == ""
    drop(host, "clock")


@pytest.mark.usefixtures("timer_paused")
def test_a_wildcard_by_hooks(host: Host, site: SiteMaker, authority_root: str) -> None:
    set_option(host, "dns_auth_hook", "/usr/local/bin/dns-add")
    set_option(host, "dns_cleanup_hook", "/usr/local/bin/dns-delete")
    ask_for(host, "wild", "wild.test", "*.wild.test", challenge="dns-01")
    said = host.run(f"{PROGRAM} issue wild")
    assert said.rc == 0, said.stderr
    # The reload's old worker may answer for one name while its new one does for the other.
    assert testing.poll(lambda: site("any.wild.test", authority_root).get().text == "wild", 2)
    assert testing.poll(lambda: site("wild.test", authority_root).get().text == "wild", 2)
    assert host.check_output("dig +short TXT _acme-challenge.wild.test @127.0.0.1") == ""


def test_a_wildcard_by_a_plugin(host: Host, site: SiteMaker, authority_root: str) -> None:
    """The same name by another way, so it is issued anew."""
    key = re.findall('"(.+)"', host.file("/etc/bind/update.key").content_string)[-1]
    credentials = (
        f"dns_rfc2136_server = 127.0.0.1\ndns_rfc2136_name = update\ndns_rfc2136_secret = {key}\n"
        "dns_rfc2136_algorithm = HMAC-SHA256"
    )
    before = serial(site("wild.test", authority_root))
    wild = {"name": "wild", "domains": ["wild.test", "*.wild.test"], "challenge": "dns-01"}
    output = run_play(
        host,
        *(SHOP, WIKI, wild),
        certificate_dns_plugin="rfc2136",
        certificate_dns_credentials=credentials,
        certificate_dns_propagation_seconds=2,
    )
    assert key not in output
    assert testing.poll(partial(is_served_anew, site("any.wild.test", authority_root), before), 2)
    assert host.file("/etc/groundwork/certificate-dns.ini").mode == 0o600
    assert status(host, "wild")["error"] == ""


@bookworm
def test_certbot_from_the_index_brings_profiles_and_addresses(host: Host, site: SiteMaker, authority_root: str) -> None:
    bare = {"name": "bare", "domains": ["127.0.0.1"], "profile": "shortlived"}
    run_play(host, SHOP, WIKI, bare, certificate_certbot="pypi", certificate_absent=["wild"])
    entry = status(host, "bare")
    assert (entry["domains"], entry["error"], entry["temporary"]) == (["127.0.0.1"], "", False)
    shown = host.check_output(f"openssl x509 -noout -checkend 604800 -in {SERVED}/bare/current/fullchain.pem || true")
    assert "will expire" in shown  # within a week
    assert host.service("groundwork-certificate-renew.timer").is_running

    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    renew_by_certbot_s_timer(host, "wiki")  # the package's: it leaves it to the other
    assert serial(wiki) == before
    result = host.run("systemctl start groundwork-certificate-renew.service")
    assert result.rc == 0, testing.journal(host, "groundwork-certificate-renew.service")
    assert testing.poll(partial(is_served_anew, wiki, before), 2)


def test_another_directory_means_another_certificate(host: Host, site: SiteMaker, authority_root: str) -> None:
    """As from staging to production: certbot alone would keep the old one."""
    wiki = site("wiki.test", authority_root)
    for old, new in (("pebble.test", "localhost"), ("localhost", "pebble.test")):
        before = serial(wiki)
        host.check_output(f"sed -i 's,//{old}:,//{new}:,' /etc/groundwork/certificate.json")
        said = host.run(f"{PROGRAM} issue wiki")
        assert said.rc == 0, said.stdout + said.stderr
        assert f"server is https://{old}:14000/dir instead of https://{new}:14000/dir" in said.stderr
        assert testing.poll(partial(is_served_anew, wiki, before), 2)


def test_an_authority_that_is_down_stops_no_site_and_no_play(
    host: Host, site: SiteMaker, authority_root: str, authority_down: Callable[[], None]
) -> None:
    output = run_play(host, SHOP, WIKI, BLOG, certificate_absent=["bare", "wild"])
    assert not host.service("groundwork-certificate-renew.timer").is_enabled  # back to the distribution's certbot
    assert "the authority at https://pebble.test:14000/dir cannot be reached" in output
    assert status(host, "blog")["temporary"]
    with pytest.raises(ssl.SSLCertVerificationError):
        site("blog.test", authority_root).get()
    assert site("blog.test", verify=False).get().text == "blog"
    assert site("shop.test", authority_root).get().text == "shop"
    host.check_output("systemctl restart nginx.service")
    assert site("blog.test", verify=False).get().text == "blog"

    host.check_output("systemctl stop groundwork-certificate.timer")  # it does the same; here the test looks on
    authority_down()
    assert tend(host) == ""  # not before the pause is over
    forget_pause(host, "blog")
    said = tend(host)
    assert testing.poll(lambda: site("blog.test", authority_root).get().text == "blog", 2), said
    assert not status(host, "blog")["temporary"]
    assert "blog: asking for a certificate (acme), because there is none yet" in said


def test_a_new_domain_is_added_and_a_bad_one_harms_nothing(host: Host, site: SiteMaker, authority_root: str) -> None:
    shop = {"name": "shop", "domains": ["shop.test", "www.shop.test", "new.shop.test"]}
    run_play(host, shop, WIKI)
    new = site("new.shop.test", authority_root)
    assert testing.poll(lambda: new.get().text == "shop", 2), service_journal(host)

    before = serial(new)
    bad = {"name": "shop", "domains": [*shop["domains"], "gone.invalid"]}
    odd = {"name": "odd", "domains": ["refused.test"]}
    output = run_play(host, bad, WIKI, odd, succeeds=False, certificate_require_trusted=True)
    assert serial(new) == before
    error = status(host, "shop")["error"]
    assert error.startswith("gone.invalid: ")
    assert "take the name out" in error
    assert "shop: gone.invalid: " in output
    assert "issuance is forbidden by policy" in status(host, "odd")["error"]
    assert site("refused.test", verify=False).get().text == "odd"


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


@trixie
def test_a_pair_of_one_s_own_is_served_and_a_wrong_one_refused(host: Host, site: SiteMaker, tmp_path: Path) -> None:
    own = {"name": "own", "domains": ["own.test"], "provider": "files"}
    pair, other = make_pair(tmp_path / "pair", "own.test"), make_pair(tmp_path / "other", "own.test")
    output = run_play(host, {**own, **pair})
    assert Path(pair["privkey"]).read_text().splitlines()[1] not in output
    served = site("own.test", Path(pair["fullchain"]).read_text())
    assert served.get().text == "own"

    output = run_play(host, {**own, "fullchain": other["fullchain"], "privkey": pair["privkey"]}, succeeds=False)
    assert "own: refused, and left as it was: " in output
    assert "the key does not belong to the certificate" in output
    assert served.get().text == "own"

    facts = f"{SERVED}/own/current/certificate.json"
    kept = host.file(facts).content_string
    host.check_output("""sed -i 's/"not_before": ".*"/"not_before": "2000-01-01T00:00:00Z"/' %s""", facts)
    said = tend(host)
    assert "own: the certificate has less than a quarter of its lifetime left and expires on " in said
    assert host.check_output("systemctl is-failed groundwork-certificate.service") == "failed"
    host.check_output("printf %%s %s > %s", kept, facts)
    assert tend(host) == ""


def test_a_removed_name_is_gone_and_the_others_stay(host: Host, site: SiteMaker, authority_root: str) -> None:
    gone = ["blog", "odd", "own"]
    run_play(host, SHOP, WIKI, certificate_absent=gone)
    for name in gone:
        for path in (f"{SERVED}/{name}", f"/etc/letsencrypt/renewal/{name}.conf", f"/etc/letsencrypt/live/{name}"):
            assert not host.file(path).exists
    assert not host.run(
        "ls /etc/groundwork/certificates /var/lib/groundwork/certificates | grep -E 'blog|odd|own'"
    ).stdout
    again = host.check_output(f"{PROGRAM} remove --json {' '.join(gone)}")
    assert json.loads(again)["changed"] == []
    assert site("shop.test", authority_root).get().text == "shop"
    assert status(host, "shop")["error"] == ""  # it had a bad domain, which the play has taken out
