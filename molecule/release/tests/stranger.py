"""An app of a stranger's on a test host: deployed by a play with the role alone, and asked through its own socket."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import testing
from ansible_collections.groundwork.flask.plugins.plugin_utils import model
from testinfra.host import Host

REPOSITORY = "file:///usr/local/share/shop.git"
# An app that says its version, to be filled in.
SHOP = """
from flask import Flask

app = Flask(__name__)

@app.get("/")
def index():
    return {"version": "%s"}
"""
Outcome = subprocess.CompletedProcess[str]

# A call on the host takes a third of a second, so each of these says all that there is to know.
ASK = """
import http.client, json, socket, sys
sock, path, method, headers = sys.argv[1:]
connection = http.client.HTTPConnection("x", timeout=30)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sock)
forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example.org"}
connection.request(method, path, headers={"Host": "shop.example.org", **forwarded, **json.loads(headers)})
answer = connection.getresponse()
print(json.dumps([answer.status, answer.getheaders(), answer.read().decode()]))
"""
LOOK = """
import json, os, pathlib, subprocess, sys
home = pathlib.Path("/srv", sys.argv[1])
def names(path):
    return {found.name for found in path.iterdir()} if path.exists() else set()
def lines(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
live = os.readlink(home / "current").rpartition("/")[2] if (home / "current").exists() else ""
releases = names(home / "releases")
whole = {path.parent.name for path in home.glob("releases/*/release.json")}
used = {os.path.basename(os.readlink(path)) for path in home.glob("releases/*/venv") if path.is_symlink()}
units = {line.split()[0] for line in lines("systemctl", "list-units", "--plain", "--no-legend", "--state=active")}
units |= {path.name for path in pathlib.Path("/etc/systemd/system").glob("*.wants/*")}
units = {unit for unit in units if unit.startswith(sys.argv[1] + "@")}
print(json.dumps({
    "live": live,
    "releases": sorted(releases),
    "instances": sorted({unit.partition("@")[2].rpartition(".")[0] for unit in units}),
    "leftovers": sorted(
        {unit for unit in units if live not in unit} | (releases - whole) | (names(home / "environments") - used)
        | {name for name in names(home) if name.startswith(".")}
    ),
}))
"""


class App:
    """An app on a host, with its definition as in flask_apps.

    :param options: over those that every app here has; the proof that waits is off.
    :param secrets: secret environment variables.
    :param settings: the role's variables beside, for every deploy.
    """

    def __init__(self, host: Host, name: str, **options: Any) -> None:
        self.host, self.name = host, name
        self.options: dict[str, Any] = {
            "source": {"git": REPOSITORY, "version": "v1"},
            "wsgi_app": "shop:app",
            "domains": [f"{name}.example.org"],
            "server": {"workers": 1, "threads": 4},
            "health_timeout": 10,
            "skip_checks": ["stable"],
            **options,
        }
        self.secrets: dict[str, str] = {}
        self.settings: dict[str, Any] = {}
        self.installer = "uv"
        if host.run("id %s", name).rc:
            host.check_output("account %s", name)

    # --- deploying ----------------------------------------

    def play(self, *options: str, **settings: Any) -> Outcome:
        """Run the role for the app as it is defined now."""
        variables = {
            "my_apps": {self.name: self.options},
            "release_secrets": {self.name: self.secrets},
            "release_installer": self.installer,
            **self.settings,
            **settings,
        }
        return testing.play(self.host, "deploy.yml", *options, **variables)

    def deploy(self, *options: str, **settings: Any) -> str:
        """Deploy, which must succeed; return what the play said."""
        result = self.play(*options, **settings)
        said = testing.said(result)
        assert result.returncode == 0, f"{said}\n{self.log()}"
        return said

    def refused(self, *words: str, **settings: Any) -> str:
        """Deploy, which must fail with these words and leave what is live untouched; return what the play said."""
        before = self.live
        result = self.play(**settings)
        said = testing.said(result)
        assert result.returncode != 0, said
        assert [word for word in words if word not in said] == [], said
        after = self.look()
        assert after["live"] == before
        assert after["instances"] == ([before] if before else [])
        assert not before or self.ask(self.options.get("health_path", "/")).status < 500
        return said

    def with_accident(self, step: str, accident: str) -> Outcome:
        """Deploy with the host's own engine in a process that has an accident at a step (files/mortal.py)."""
        self.given(step, accident)
        result = self.host.run(
            "PYTHONPATH=/usr/local/lib/groundwork python3 /usr/local/lib/mortal.py /root/mortal.json"
        )
        return subprocess.CompletedProcess([], result.rc, result.stdout, result.stderr)

    def deploy_by_engine(self) -> None:
        """Deploy as a play does, without its start; must succeed."""
        result = self.with_accident("", "")
        assert result.returncode == 0, f"{result.stderr}\n{self.log()}"

    def given(self, step: str = "", accident: str = "") -> None:
        """Put the app's definition on the host for files/mortal.py."""
        (app,) = model.load({self.name: self.options})
        spec = model.releases(app)
        for key in ("wheels", "release_command_hosts"):
            del spec[key]
        given = {"spec": spec, "secret": self.secrets, "installer": self.installer, "step": step, "accident": accident}
        self.host.check_output("printf %%s %s > /root/mortal.json", json.dumps(given))

    # --- the app on the host ----------------------------------------

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> testing.Answer:
        """Ask the live release as the proxy would over HTTPS."""
        sock = f"/srv/{self.name}/current/app.sock"
        said = self.host.check_output("python3 -c %s %s %s %s %s", ASK, sock, path, method, json.dumps(headers))
        status, found, body = json.loads(said)
        return testing.Answer(status, [(pair[0], pair[1]) for pair in found], body.encode())

    def look(self) -> dict[str, Any]:
        """What is on the host.

        ``live``, ``releases`` and ``instances`` (ids), and ``leftovers``, which a deploy that ended badly could have
        left: instances that are not live, half-built releases, environments that nothing uses.
        """
        found: dict[str, Any] = json.loads(self.host.check_output("python3 -c %s %s", LOOK, self.name))
        return found

    @property
    def live(self) -> str:
        """The id of the live release; "" without one."""
        return str(self.look()["live"])

    def sh(self, command: str) -> str:
        """What a shell command on the host prints; it must succeed."""
        return str(self.host.check_output("sh -c %s", command))

    def command(self, arguments: str) -> Outcome:
        """Run the command that bears the app's name."""
        result = self.host.run(f"/usr/local/bin/{self.name} {arguments}")
        return subprocess.CompletedProcess([], result.rc, result.stdout, result.stderr)

    def facts(self) -> dict[str, Any]:
        """The live release's release.json."""
        facts: dict[str, Any] = json.loads(self.sh(f"cat /srv/{self.name}/current/release.json"))
        return facts

    def environment(self) -> str:
        """The name of the virtual environment that the live release runs in."""
        return self.sh(f"readlink /srv/{self.name}/current/venv").rpartition("/")[2]

    def log(self) -> str:
        """What the app said last."""
        return testing.journal(self.host, f"{self.name}@*", 30, namespace=f"+{self.name}")


def project(directory: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """Write an app's files into a directory; return the source that names it."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"directory": str(directory)}
