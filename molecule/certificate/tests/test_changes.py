"""Other names, a user's certificate and certbot from PyPI: what a changed play does, and what it refuses."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import testing
from program import (
    CONFIGURATION,
    FROM_PYPI,
    OWN,
    PROGRAM,
    SERVED,
    SHOP,
    STATE,
    WIKI,
    configure,
    forget_pause,
    is_served_anew,
    reconcile,
    renew,
    run_play,
    serial,
    service_journal,
    status,
    unreachable_ca,
    workers,
)
from testinfra.host import Host
from testing import on_host
from visitor import MakeSite


def make_certificate(directory: Path, domain: str) -> dict[str, str]:
    """Make a certificate and key on this machine, for the provider files."""
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
    """What a play was given, a key of the DNS server and a user's certificate, and what it printed."""

    dns_key: str
    files: dict[str, str]
    output: str


@pytest.fixture(scope="module")
def changed(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Changed:
    """Three changes in one play, while the CA is down: a new name, a user's certificate, and certbot from PyPI.

    Nothing is installed: the program fetches certbot only once the CA answers, and `installed_packages` names what the
    role would have apt install for it.
    """
    (key,) = re.findall('secret "(.+)"', host.file("/etc/bind/update.key").content_string)
    files = make_certificate(tmp_path_factory.mktemp("own") / "files", "own.test")
    credentials = host.file(f"{CONFIGURATION}/certificate-dns.ini").content_string
    with unreachable_ca(host):
        output = run_play(
            host,
            *(SHOP, WIKI, {"name": "blog", "domains": ["blog.test"], "profile": "shortlived"}, {**OWN, **files}),
            certificate_certbot="pypi",
            certificate_dns_credentials=f"# changed\n{credentials}",
            installed_packages=[*testing.installed_packages(host), "python3-venv"],
        )
    return Changed(key, files, output)


WHERE_CERTBOT_IS_TO_BE = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from groundwork_certificate.certificate.context import Context
print(Context().acme.certbot.pypi.target)
"""


@pytest.fixture(scope="module")
def certbot_from_pypi(host: Host) -> Iterator[None]:
    """Put a stand-in for the certbot from PyPI where the program would install it, as `changed` has configured it."""
    stand_in = (testing.scenario_directory() / "files" / "certbot").read_text()
    directory = host.check_output("/usr/bin/python3 -I -c %s %s", WHERE_CERTBOT_IS_TO_BE, on_host("packages"))
    host.check_output(f"mkdir -p {directory}/bin && printf %s %s > {directory}/bin/certbot", "%s", stand_in)
    host.check_output(f"chmod +x {directory}/bin/certbot && ln -sfn $(basename {directory}) {FROM_PYPI}")
    yield
    host.check_output(f"rm -rf {FROM_PYPI} {directory}")


@pytest.mark.usefixtures("changed", "certbot_from_pypi")
def test_a_ca_that_is_down_stops_no_site_and_no_play(
    host: Host, site: MakeSite, authority_root: str, changed: Changed
) -> None:
    assert "the CA at https://pebble.test:14000/dir cannot be reached" in changed.output
    assert status(host, "blog")["temporary"]
    with pytest.raises(ssl.SSLCertVerificationError):
        site("blog.test", authority_root).get()
    assert testing.poll(lambda: site("blog.test", verify=False).get().text == "blog")
    assert site("shop.test", authority_root).get().text == "shop"
    host.check_output("systemctl restart nginx.service")
    assert site("blog.test", verify=False).get().text == "blog"

    # Now the CA is back.
    assert reconcile(host) == ""  # not before the pause is over
    forget_pause(host, "blog")
    said = reconcile(host)
    assert testing.poll(lambda: site("blog.test", authority_root).get().text == "blog"), said
    assert not status(host, "blog")["temporary"]
    assert "blog: asking for a certificate (acme), because there is none yet" in said


@pytest.mark.usefixtures("changed", "certbot_from_pypi")
def test_certbot_from_pypi_issues_with_profiles_and_renews(host: Host, site: MakeSite, authority_root: str) -> None:
    forget_pause(host, "blog")
    reconcile(host)  # has nothing to do when the test before has run
    calls = "cat /run/certbot-calls"
    issued = next(line for line in host.check_output(calls).splitlines() if "certonly" in line)
    assert "--preferred-profile shortlived" in issued

    assert host.service("groundwork-certificate-renew.timer").is_running
    assert host.service("groundwork-certificate-renew.timer").is_enabled
    wiki = site("wiki.test", authority_root)
    before = serial(wiki)
    renew(host, "wiki")  # the package's unit does nothing
    assert serial(wiki) == before
    renew(host, "wiki", "groundwork-certificate-renew.service")
    assert testing.poll(partial(is_served_anew, wiki, before))
    assert host.check_output(calls).splitlines()[-1] == "-q renew --no-random-sleep-on-renew"


def test_a_user_s_certificate_is_served_and_its_end_raises_a_warning(
    host: Host, site: MakeSite, changed: Changed
) -> None:
    assert site("own.test", Path(changed.files["fullchain"]).read_text()).get().text == "own"
    facts = f"{SERVED}/own/current/certificate.json"
    kept = host.file(facts).content_string
    host.check_output("""sed -i 's/"not_before": ".*"/"not_before": "2000-01-01T00:00:00Z"/' %s""", facts)
    said = reconcile(host)
    assert "own: the certificate has less than a quarter of its lifetime left and expires on " in said
    assert host.check_output("systemctl is-failed groundwork-certificate.service") == "failed"
    host.check_output("printf %%s %s > %s", kept, facts)
    assert reconcile(host) == ""


def test_a_play_with_diff_shows_no_key(changed: Changed) -> None:
    for path in (f"{CONFIGURATION}/certificate-dns.ini", f"{CONFIGURATION}/certificates/own.privkey.pem"):
        assert path in changed.output
    for secret in (changed.dns_key, *Path(changed.files["privkey"]).read_text().splitlines()[1:-1]):
        assert secret not in changed.output


@pytest.mark.full
def test_certbot_from_pypi_issues_for_profiles_and_addresses(host: Host, site: MakeSite, authority_root: str) -> None:
    """The real one instead of its stand-in."""
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
    assert testing.poll(partial(is_served_anew, wiki, before))
    host.check_output(f"rm {CONFIGURATION}/certificates/bare.json; {PROGRAM} remove bare")


BAD_SHOP = {**SHOP, "domains": [*SHOP["domains"], "new.shop.test", "gone.invalid"]}


@pytest.fixture(scope="module")
def refused(host: Host, changed: Changed, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a play says of three mistakes; it also removes a name and goes back to the distribution's certbot."""
    other = make_certificate(tmp_path_factory.mktemp("own") / "other", "own.test")
    configure(host, "blog", "blog.test")  # without the profile that the distribution's certbot does not have
    return run_play(
        host,
        *(BAD_SHOP, WIKI, {"name": "odd", "domains": ["refused.test"]}),
        {**OWN, **changed.files, "privkey": other["privkey"]},
        succeeds=False,
        certificate_require_trusted=True,
        certificate_absent=["blog"],
    )


def test_a_new_domain_is_added_and_a_bad_one_harms_nothing(
    host: Host, site: MakeSite, authority_root: str, refused: str
) -> None:
    new = site("new.shop.test", authority_root)
    assert testing.poll(lambda: new.get().text == "shop"), service_journal(host)
    assert "shop: gone.invalid: " in refused
    error = status(host, "shop")["error"]
    assert error.startswith("gone.invalid: ")
    assert "remove the name" in error

    workers(host)  # none that has the certificate of before the play
    before = serial(new)
    host.run(f"{PROGRAM} issue shop")  # nothing is new: no order is spent
    assert serial(new) == before
    configure(host, "shop", *BAD_SHOP["domains"][:-1])
    done = host.run(f"{PROGRAM} issue shop")
    assert done.rc == 0, done.stderr
    assert (serial(new), status(host, "shop")["error"]) == (before, "")


def test_a_refusal_of_the_ca_is_quoted(host: Host, site: MakeSite, refused: str) -> None:
    assert "odd: " in refused
    assert "issuance is forbidden by policy" in status(host, "odd")["error"]
    assert testing.poll(lambda: site("refused.test", verify=False).get().text == "odd")


def test_a_key_that_does_not_match_is_refused_and_the_previous_certificate_served(
    site: MakeSite, changed: Changed, refused: str
) -> None:
    assert "own: refused, and left as it was: " in refused
    assert "the key does not belong to the certificate" in refused
    assert site("own.test", Path(changed.files["fullchain"]).read_text()).get().text == "own"


def test_a_removed_name_is_gone_and_the_others_stay(
    host: Host, site: MakeSite, authority_root: str, refused: str
) -> None:
    assert f"{CONFIGURATION}/certificates/blog.json" in refused  # in the diff
    for path in (f"{SERVED}/blog", f"{STATE}/blog", "/etc/letsencrypt/renewal/blog.conf", "/etc/letsencrypt/live/blog"):
        assert not host.file(path).exists
    assert not host.run(f"ls {CONFIGURATION}/certificates | grep blog").stdout
    assert json.loads(host.check_output(f"{PROGRAM} remove --json blog"))["changed"] == []
    assert site("shop.test", authority_root).get().text == "shop"


def test_the_distribution_s_certbot_renews_again(host: Host, refused: str) -> None:
    assert refused
    timer = host.service("groundwork-certificate-renew.timer")
    assert not timer.is_enabled
    assert not timer.is_running
    assert host.run("systemctl start certbot.service").rc == 0, testing.journal(host, "certbot.service")
    assert host.check_output("systemctl show --property=ConditionResult --value certbot.service") == "yes"
