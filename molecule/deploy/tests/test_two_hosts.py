"""One app on two hosts behind one name: a visitor who reaches either of them, and a rollback of both."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testing
import visitor
import yaml
from testinfra.host import Host

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def second(host: Host) -> Host:
    """A host that starts from the same image; the inventory has one for each Debian release."""
    return testing.connect(testing.host_name(host).replace("deploy-", "deploy-second-"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


def guestbook(**changes: Any) -> dict[str, Any]:
    """flask_apps with the app of the image, and these changes of it."""
    inventory = yaml.safe_load((testing.ROOT / "molecule/default/inventory/hosts.yml").read_text())
    app = inventory["flask_hosts"]["vars"]["flask_apps"]["guestbook"]
    source = {"directory": str(testing.ROOT / "examples/guestbook")}
    return {"guestbook": {**app, "source": source, "skip_checks": ["stable"], **changes}}


def play(name: str, hosts: list[Host], **variables: Any) -> str:
    """Run a playbook of the collection on all of these hosts in one play; what it said."""
    names = ",".join(map(testing.host_name, hosts))
    done = subprocess.run(
        [
            *("ansible-playbook", "--inventory", str(testing.scenario_directory() / "inventory")),
            *("--limit", f"localhost,{names}", "--extra-vars", json.dumps({"flask_hosts_group": "all", **variables})),
            f"groundwork.flask.{name}",
        ],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=testing.play_environment(),
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-6000:]
    return testing.said(done)


def sign(host: Host) -> str:
    """Sign the book on a host; the cookie of a visitor whom the next page thanks."""
    answer = visitor.sign(visited(host), "Hello")
    assert answer.status == 303, answer.text
    return (answer.header("Set-Cookie") or "").partition(";")[0]


def is_known(host: Host, cookie: str) -> bool:
    """Whether a host knows the visitor: it says the thanks that are in the session."""
    return "Thank you, Ada" in visited(host).get("/", headers={"Cookie": cookie}).text


def visited(host: Host) -> visitor.Site:
    return visitor.Site("guestbook.test", testing.host_ip(host), verify=False)


def test_two_hosts_of_an_app_agree(host: Host, second: Host, keys: Path) -> None:
    both = [host, second]
    before = {one: sign(one) for one in both}
    deployed = play("deploy", both, flask_apps=guestbook(), release_secret_key_directory=str(keys))

    key = keys / "guestbook.txt"
    assert f"KEEP THESE FILES, AND KEEP THEM SECRET: {key}" in deployed
    assert key.stat().st_mode & 0o077 == 0
    assert key.read_text().strip() not in deployed
    first_release = testing.live(host, "guestbook")
    assert testing.live(second, "guestbook") == first_release
    assert is_known(second, sign(host))
    assert is_known(host, sign(second))
    for one, cookie in before.items():
        assert is_known(one, cookie), "a session that the host signed with its own key is good no more"

    changed = guestbook(environment={"GREETING": "Hello"})
    play("deploy", both, flask_apps=changed, release_secret_key_directory=str(keys))
    assert testing.live(host, "guestbook") == testing.live(second, "guestbook") != first_release

    play("rollback", both, app="guestbook", release=first_release)
    assert testing.live(host, "guestbook") == testing.live(second, "guestbook") == first_release
    assert is_known(second, sign(host))
