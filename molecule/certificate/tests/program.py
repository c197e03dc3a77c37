"""Using the certificate program on a host: its commands, its state, and what a web server serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import testing
import visitor
from testinfra.host import Host
from testing import on_host

CONFIGURATION = on_host("configuration")
PROGRAMS = on_host("programs")
PROGRAM = f"{PROGRAMS}/certificate"
FROM_PYPI = f"{PROGRAMS}/certbot"
SERVED = on_host("certificates")
STATE = f"{on_host('state')}/certificates"
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


def service_journal(host: Host, unit: str = "groundwork-certificate.service") -> str:
    """Return the journal of a unit, by default of the timer's service."""
    return str(host.check_output(f"journalctl --sync; journalctl --output=cat --unit={unit}"))


def reconcile(host: Host) -> str:
    """Do what the timer does; return what this run wrote to the journal."""
    before = service_journal(host)
    host.run("systemctl start groundwork-certificate.service")
    return service_journal(host).removeprefix(before).strip()


def status(host: Host, name: str) -> dict[str, Any]:
    """Return the entry of a name in the report."""
    entry: dict[str, Any] = json.loads(host.check_output(f"{PROGRAM} status --json"))["names"][name]
    return entry


def serial(site: visitor.Site) -> str:
    """Return the serial number of the served certificate."""
    return str(site.certificate()["serialNumber"])


def is_served_anew(site: visitor.Site, before: str) -> bool:
    """Whether another certificate is served than before."""
    return serial(site) != before


def workers(host: Host) -> set[str]:
    """Return the process numbers of the nginx workers, which a reload replaces, once all are of one generation."""
    wanted = int(host.check_output("getconf _NPROCESSORS_ONLN"))  # as nginx counts for `worker_processes auto`
    found: set[str] = set()

    def are_of_one_generation() -> bool:
        nonlocal found
        found = set(host.run("pgrep -u www-data nginx").stdout.split())
        return len(found) == wanted

    assert testing.poll(are_of_one_generation), found
    return found


@contextmanager
def reloaded(host: Host) -> Iterator[None]:
    """Wait after the block, which has nginx reloaded, until no worker of before is left to answer."""
    before = workers(host)
    yield
    assert testing.poll(lambda: not workers(host) & before), service_journal(host)


def reload(host: Host) -> None:
    """Have nginx read its configuration, and wait until nobody answers by the old one."""
    with reloaded(host):
        host.check_output("systemctl reload nginx.service")


def renew(host: Host, name: str, unit: str = "certbot.service") -> None:
    """Make the certificate due for certbot, and start what its timer starts."""
    record = f"/etc/letsencrypt/renewal/{name}.conf"
    host.check_output(f"sed -i 's/^renew_before_expiry = .*/renew_before_expiry = 90000 hours/' {record}")
    # a container that is asked to renew sleeps up to eight minutes unless the unit says otherwise, as Debian's does
    for _turn in range(5):
        before = service_journal(host, unit)
        if host.run(f"systemctl start {unit}").rc == 0:
            return
        # The CA refuses some nonces on purpose; certbot's timer would come again in twelve hours.
        said = service_journal(host, unit).removeprefix(before)
        assert "nonce" in said.lower(), said
        host.check_output("systemctl start alert.service; rm -f /run/alerted")  # the alert may be on its way still
    raise AssertionError(said)


def serve_the_one_before(host: Host, name: str, visitor: visitor.Site) -> str:
    """Serve the previous certificate, as after a renewal that was not deployed; return its serial number."""

    def kept() -> set[str]:
        return set(host.file(f"{SERVED}/{name}").listdir()) - {"current"}

    if len(kept()) == 1:
        with reloaded(host):
            renew(host, name)
    (before,) = kept() - {host.check_output(f"readlink {SERVED}/{name}/current")}
    host.check_output(f"ln -sfn {before} {SERVED}/{name}/current")
    host.check_output(f"""sed -i 's/"deployed": ".*"/"deployed": "{before}"/' {STATE}/{name}/state.json""")
    reload(host)
    shown = host.check_output(f"openssl x509 -noout -serial -in {SERVED}/{name}/current/fullchain.pem")
    number = shown.removeprefix("serial=")
    assert serial(visitor) == number
    return number


def forget_pause(host: Host, name: str) -> None:
    """Let the timer try again at once."""
    path = f"{STATE}/{name}/state.json"
    # A first attempt that was killed has left no state.
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
    """Whether the alert unit was started since the last call."""
    return bool(host.run("rm /run/alerted").rc == 0)


def point_here(host: Host, domain: str) -> None:
    """Point a name at the host, for itself and for the CA."""
    host.check_output("echo 127.0.0.1 %s >> /etc/hosts", domain)
    update = f"server 127.0.0.1\\nupdate add {domain}. 1 A 127.0.0.1\\nsend\\n"
    host.check_output(f"printf '{update}' | nsupdate -k /etc/bind/update.key")


def configure(host: Host, name: str, *domains: str, **more: str) -> None:
    """Write a request, as the play does."""
    request = json.dumps({"name": name, "domains": domains, "provider": "acme", **more})
    host.check_output("echo %s > %s", request, f"{CONFIGURATION}/certificates/{name}.json")


def ask_for(host: Host, name: str, *domains: str, **more: str) -> None:
    """Write a request and serve its site: what the play does, without the play."""
    configure(host, name, *domains, **more)
    host.check_output(f"{PROGRAM} prepare")
    current = f"{SERVED}/{name}/current"
    site = (
        f"server {{ listen 443 ssl; server_name {' '.join(domains)}; ssl_certificate {current}/fullchain.pem; "
        f"ssl_certificate_key {current}/privkey.pem; location / {{ return 200 {name}; }} }}"
    )
    host.check_output("echo %s > %s", site, f"/etc/nginx/conf.d/{name}.conf")
    reload(host)


def drop(host: Host, *names: str) -> None:
    """Remove what ask_for has made."""
    for name in names:
        host.check_output(f"rm /etc/nginx/conf.d/{name}.conf {CONFIGURATION}/certificates/{name}.json")
    reload(host)
    host.check_output(f"{PROGRAM} remove {' '.join(names)}")


def set_option(host: Host, name: str, value: str) -> None:
    """Change one of the host's options."""
    host.check_output(f"""sed -i 's|"{name}": ".*"|"{name}": "{value}"|' {CONFIGURATION}/certificate.json""")
