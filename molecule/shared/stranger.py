"""An app of a stranger's on a test host: deployed by the module or by a play, and asked through its own socket."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import testing
import visitor
from ansible_collections.groundwork.flask.plugins.action.release import identify
from ansible_collections.groundwork.flask.plugins.module_utils.common.options import options
from ansible_collections.groundwork.flask.plugins.module_utils.release.setting_files import SettingFile
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import ControllerOptions
from ansible_collections.groundwork.flask.plugins.plugin_utils import model, role_inputs
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import Source
from testinfra.host import Host
from testing import on_host

REPOSITORY = "file:///usr/local/share/shop.git"
CLOSED = "http://127.0.0.1:9/"  # nobody listens there
# An app that says its version, to be filled in.
SHOP = """
from flask import Flask

app = Flask(__name__)

@app.get("/")
def index():
    return {"version": "%s"}
"""
# How Alembic finds the database of an app with Flask-Migrate: its migrations/env.py.
MIGRATIONS = """
from alembic import context
from flask import current_app

with current_app.extensions["migrate"].db.engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
Outcome = subprocess.CompletedProcess[str]

# Each call on the host starts a Python, so each of these says all that there is to know.
ASK = """
import http.client, json, socket, sys
sock, path, method, headers = sys.argv[1:]
connection = http.client.HTTPConnection("x", timeout=120)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sock)
forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example.org"}
connection.request(method, path, headers={"Host": "shop.example.org", **forwarded, **json.loads(headers)})
answer = connection.getresponse()
print(json.dumps([answer.status, answer.getheaders(), answer.read().decode()]))
"""
LOOK = """
import json, os, pathlib, subprocess, sys
home = pathlib.Path(sys.argv[2])
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

    The module runs on the host without a play, which costs a third of one. Plays are for what the role and the action
    plugin do: see `by_play` and `refused_by_play`.

    :ivar options: the definition; by default the check that waits (`stable`) is off.
    :ivar secrets: secret environment variables.
    :ivar settings: the module's other options, which are the role's variables, for every deploy.
    """

    def __init__(self, host: Host, name: str, **options: Any) -> None:
        self.host, self.name = host, name
        self.options: dict[str, Any] = {
            "source": {"git": REPOSITORY, "version": "v1"},
            "wsgi_app": "shop:app",
            "domains": [f"{name}.example.org"],
            "server": {"workers": 1, "threads": 4},
            "health_timeout": 60,
            "skip_checks": ["stable"],
            **options,
        }
        self.secrets: dict[str, str] = {}
        self.settings: dict[str, Any] = {}
        if host.run("id %s", name).rc:
            host.check_output("account %s", name)

    # --- deploying without a play ----------------------------------------

    def arguments(self, **settings: Any) -> dict[str, Any]:
        """The module's arguments for the app as it is defined now; what the action plugin would send is on the host."""
        (app,) = model.load({self.name: self.options})
        spec = role_inputs.releases(app)
        spec["settings"] = {
            path: SettingFile(setting["content"].encode()).packed() for path, setting in spec["settings"].items()
        }
        for option, part in identify(spec).items():
            spec[option] = f"/root/sent-{part.tree[:16]}"
            with packed(part) as path, path.open("rb") as stream:
                target = testing.container_pid(self.host)
                enter = ("nsenter", "--all", "--root", "--wd", "--target", target, "sh", "-c", f"cat > {spec[option]}")
                subprocess.run(enter, stdin=stream, check=True)
        return {"apps": [spec], "secrets": {self.name: self.secrets}, **self.settings, **settings}

    def module(self, check: bool = False, **settings: Any) -> dict[str, Any]:
        """Run the module for the app as it is defined now; return its result."""
        return testing.module(self.host, "release", check, **self.arguments(**settings))

    def deploy(self, **settings: Any) -> dict[str, Any]:
        """Deploy, which must succeed; return what the module says of the app (`action`, `changes`, `warnings` …)."""
        result = self.module(**settings)
        assert not result.get("failed"), f"{result}\n{self.log()}"
        assert result["failed_apps"] == {}, f"{result['failed_apps'][self.name]}\n{self.log()}"
        done: dict[str, Any] = result["apps"][self.name]
        assert result["changed"] == (done["action"] != "unchanged")
        said = json.dumps(result.get("warnings", []))  # as Ansible prints them
        assert [text for text in done["warnings"] if json.dumps(f"{self.name}: {text}") not in said] == [], said
        return done

    def refused(self, *words: str, **settings: Any) -> str:
        """Deploy, which must fail with these words and leave what is live untouched; return the reason."""
        with self.untouched():
            result = self.module(**settings)
            reason = " ".join(str(result["failed_apps"].get(self.name, "")).split())
            assert reason, result
            assert [word for word in words if word not in reason] == [], reason
        return reason

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """See that what is live before the block is live after it, answers, and is all that runs."""
        before = self.live
        yield
        after = self.look()
        assert after["live"] == before
        assert after["instances"] == ([before] if before else [])
        assert not before or self.ask(self.options.get("health_path", "/")).status < 500

    def with_accident(self, step: str, accident: str, wait: float = 60) -> Outcome:
        """Deploy with the host's own engine in a process that has an accident at a step (files/mortal.py).

        :param wait: seconds that another run may go on.
        """
        self.given(step, accident, wait)
        result = self.host.run(MORTAL)
        return subprocess.CompletedProcess([], result.rc, result.stdout, result.stderr)

    def given(self, step: str = "", accident: str = "", wait: float = 60) -> None:
        """Put the app's definition on the host for files/mortal.py."""
        (spec,) = self.arguments()["apps"]
        for key in options(ControllerOptions):
            spec.pop(key, None)
        given = {
            "spec": spec, "secret": self.secrets, "settings": self.settings, "step": step, "accident": accident,
            "wait": wait,
        }  # fmt: skip
        self.host.check_output("printf %%s %s > /root/mortal.json", json.dumps(given))

    # --- deploying by a play ----------------------------------------

    def variables(self, **settings: Any) -> dict[str, Any]:
        """The variables of a play with the role for the app as it is defined now."""
        given = {"secrets": {self.name: self.secrets}, **self.settings, **settings}
        return {"my_apps": {self.name: self.options}, **{f"release_{name}": value for name, value in given.items()}}

    def by_play(self, *options: str, **settings: Any) -> str:
        """Deploy by a play, which must succeed; return what it said."""
        result = testing.play(self.host, "deploy.yml", *options, **self.variables(**settings))
        said = testing.said(result)
        assert result.returncode == 0, f"{said}\n{self.log()}"
        return said

    def refused_by_play(self, *words: str, **settings: Any) -> str:
        """As `refused`, by a play; return what it said."""
        with self.untouched():
            result = testing.play(self.host, "deploy.yml", **self.variables(**settings))
            said = testing.said(result)
            assert result.returncode != 0, said
            assert [word for word in words if word not in said] == [], said
        return said

    # --- the app on the host ----------------------------------------

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> visitor.Answer:
        """Ask the live release as the proxy would over HTTPS."""
        sock = on_host("socket", self.name)
        said = self.host.check_output("python3 -c %s %s %s %s %s", ASK, sock, path, method, json.dumps(headers))
        status, found, body = json.loads(said)
        return visitor.Answer(status, [(pair[0], pair[1]) for pair in found], body.encode())

    def look(self) -> dict[str, Any]:
        """What is on the host.

        ``live``, ``releases`` and ``instances`` (ids), and ``leftovers``, which a deploy that ended badly could have
        left: instances that are not live, half-built releases, environments that nothing uses.
        """
        home = on_host("home", self.name)
        found: dict[str, Any] = json.loads(self.host.check_output("python3 -c %s %s %s", LOOK, self.name, home))
        return found

    @property
    def live(self) -> str:
        """The id of the live release; "" without one."""
        return str(self.host.run("readlink %s", on_host("current", self.name)).stdout).strip().rpartition("/")[2]

    def sh(self, command: str) -> str:
        """What a shell command on the host prints; it must succeed."""
        return str(self.host.check_output("sh -c %s", command))

    def command(self, arguments: str) -> Outcome:
        """Run the command that bears the app's name."""
        result = self.host.run(f"/usr/local/bin/{self.name} {arguments}")
        return subprocess.CompletedProcess([], result.rc, result.stdout, result.stderr)

    def facts(self) -> dict[str, Any]:
        """The live release's release.json."""
        facts: dict[str, Any] = json.loads(self.sh(f"cat {on_host('current', self.name)}/release.json"))
        return facts

    def environment(self) -> str:
        """The name of the virtual environment that the live release runs in."""
        return self.sh(f"readlink {on_host('current', self.name)}/venv").rpartition("/")[2]

    def events(self) -> list[dict[str, Any]]:
        """The ledger's lines."""
        return [json.loads(line) for line in self.sh(f"cat {on_host('state')}/releases/{self.name}.jsonl").splitlines()]

    def log(self) -> str:
        """What the app said last."""
        return testing.journal(self.host, f"{self.name}@*", 30, namespace=f"+{self.name}")


MORTAL = "python3 /usr/local/lib/mortal.py /root/mortal.json"


@contextmanager
def packed(part: Any) -> Iterator[Path]:
    """What the action plugin would send of a source or of wheels: an archive as it is, a directory as an archive."""
    if not isinstance(part, Source):
        yield part.path
        return
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
        part.pack(file.name)
        yield Path(file.name)


def project(directory: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """Write an app's files into a directory; return the source that names it."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"directory": str(directory)}
