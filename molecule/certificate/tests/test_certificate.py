"""Every name has a usable certificate at its stable path, whatever the authority does, and the web server serves it."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import testing
from testinfra.host import Host

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
    result = host.run("systemctl start certbot.service")
    assert result.rc == 0, testing.journal(host, "certbot.service")


def forget_pause(host: Host, name: str) -> None:
    """Let the timer's next attempt be now."""
    path = f"/var/lib/groundwork/certificates/{name}/state.json"
    host.check_output(f"""sed -i 's/"next_attempt": "[^"]*"/"next_attempt": ""/' {path}""")


@pytest.fixture
def authority_down(host: Host) -> Iterator[Callable[[], None]]:
    """Nobody listens where the authority was; call it to have it back. (Stopped, it would forget its accounts.)"""

    def move(old: str, new: str) -> None:
        host.check_output("sed 's/^%s pebble.test/%s pebble.test/' /etc/hosts > /run/hosts", old, new)
        host.check_output("cat /run/hosts > /etc/hosts")

    move("127.0.0.1", "127.0.0.9")
    yield lambda: move("127.0.0.9", "127.0.0.1")
    move("127.0.0.9", "127.0.0.1")


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
def test_a_reload_that_failed_is_tried_again(host: Host, site: SiteMaker, authority_root: str) -> None:
    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    host.check_output("echo nonsense > /etc/nginx/conf.d/broken.conf")
    try:
        renew_by_certbot_s_timer(host, "wiki")
        assert serial(wiki) == before
        assert "systemctl try-reload-or-restart nginx[.]service apache2[.]service" in status(host, "wiki")["error"]
        tend(host)
        assert host.check_output("systemctl is-failed groundwork-certificate.service") == "failed"
    finally:
        host.check_output("rm /etc/nginx/conf.d/broken.conf")
    tend(host)
    assert testing.poll(partial(is_served_anew, wiki, before), 2), service_journal(host)
    assert status(host, "wiki")["error"] == ""
    assert host.run("systemctl is-failed groundwork-certificate.service").rc != 0


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
    output = run_play(host, SHOP, WIKI, BLOG)
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
