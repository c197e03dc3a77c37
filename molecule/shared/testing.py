"""What the scenarios' tests share: finding a test host, asking it from outside like a visitor, waiting, rebooting.

The fixtures made of these are in molecule/conftest.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import costs
import yaml
from ansible_collections.groundwork.flask.plugins.module_utils.common import on_host as table
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[2]
TEST_HOST = ROOT / "script" / "test-host"
on_host = table.on_host  # the tests of the scenarios take it from here
Result = TypeVar("Result")
Outcome = subprocess.CompletedProcess[str]


def scenario_directory() -> Path:
    """Return the directory of the scenario under test; Molecule names it and starts pytest in it."""
    return Path(os.environ.get("MOLECULE_SCENARIO_DIRECTORY") or Path.cwd())


def scenario_hosts() -> list[str]:
    """Return the names of this run's hosts of the group flask_hosts: those that the expression TEST_HOSTS finds."""
    inventory = yaml.safe_load((scenario_directory() / "inventory" / "hosts.yml").read_text())
    wanted = os.environ.get("TEST_HOSTS") or "."
    return [name for name in inventory["flask_hosts"]["hosts"] if re.search(wanted, name)]


def container(name: str) -> str:
    """Return the container's name of the host with this inventory name (see script/test-host)."""
    return f"gw-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}-{name}"


class Container(BaseBackend):
    """Runs testinfra's commands as root in a test host's namespaces; `podman exec` takes thirty times as long."""

    NAME = "container"
    PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def __init__(self, name: str) -> None:
        """`name`: the container's name; it must be there, and it may stop and start as it likes."""
        super().__init__(name)
        self.pid_file = Path(_run("podman", "inspect", "--format", "{{.PidFile}}", name).stdout.strip())

    def run(self, command: str, *args: str, **_options: Any) -> CommandResult:
        """Run a command by the shell; it fails when the host is not running."""
        environment = ("--ignore-environment", "container=podman", "HOME=/root", f"PATH={self.PATH}")
        shell = ("env", *environment, "/bin/sh", "-c", self.get_command(command, *args))
        enter = ("nsenter", "--all", "--root", "--wd", "--target", self.pid_file.read_text().strip())
        done = subprocess.run((*enter, *shell), capture_output=True, check=False, stdin=subprocess.DEVNULL)
        return self.result(done.returncode, self.encode(shell[-1]), done.stdout, done.stderr)


@cache
def connect(name: str) -> Host:
    """Return the host with this inventory name, as testinfra sees it."""
    return Host(Container(container(name)))


def host_name(host: Host) -> str:
    """Return the host's name in the inventory."""
    return str(host.backend.get_hostname()).split("-", 2)[2]


def host_ip(host: Host) -> str:
    """Return the IPv4 address under which this machine reaches the host."""
    return _run(str(TEST_HOST), "address", host_name(host)).stdout.strip()


def own_ip(host: Host) -> str:
    """Return this machine's IPv4 address as the host sees it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host_ip(host), 9))
        return str(probe.getsockname()[0])


def container_pid(host: Host) -> str:
    """Return the number of the main process of the host's container; "" while it does not run."""
    assert isinstance(host.backend, Container)
    file = host.backend.pid_file
    return file.read_text().strip() if file.exists() else ""


def restart_host(host: Host) -> None:
    """Reboot the host and wait until its systemd says it is up. Its address may change."""
    forget_facts(host)
    _run(str(TEST_HOST), "restart", host_name(host))


@contextmanager
def measuring() -> Iterator[None]:
    """Let no other test of this checkout, and no benchmark, measure while the block runs; waits for those that do."""
    lock = ROOT / ".cache" / "lock" / "measuring"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def play_command(host: Host, playbook: str = "converge.yml", *options: str, **variables: Any) -> list[str]:
    """Return the command that runs a playbook of the scenario against this host alone, as Molecule does.

    `options` are ansible-playbook's (--check, --diff, --tags); `variables` are passed as extra variables.
    """
    directory = scenario_directory()
    limit = f"localhost,{host_name(host)}"
    return [
        *("ansible-playbook", "--inventory", str(directory / "inventory"), "--limit", limit),
        *("--extra-vars", json.dumps(variables), *options, str(directory / playbook)),
    ]


@dataclass
class Failure:
    """A play that failed while a test ran: its command and the end of what it printed."""

    command: str
    output: str


FAILURES: list[Failure] = []  # of the test that runs; molecule/conftest.py shows them where it fails


def play(
    host: Host, playbook: str = "converge.yml", *options: str, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run `play_command`; return what came of it, failed or not.

    Facts are gathered once for each host and kept (`forget_facts`), and the roles are told which packages are
    installed: a test's play spends its time on what it is about. Molecule's converge and idempotence do neither.
    Each play counts for the scenario's budget (molecule/<scenario>/budget.yml).
    """
    given = {"installed_packages": installed_packages(host), **variables}
    with _recorded(host, playbook) as record:
        result = subprocess.run(
            play_command(host, playbook, *options, **given),
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
            stdin=subprocess.DEVNULL,
            env=play_environment(),
        )
        record["status"] = result.returncode
    if result.returncode:
        shown = " ".join([playbook, *options, json.dumps(variables)])
        FAILURES.append(Failure(shown, f"{result.stdout}\n{result.stderr}"[-6000:]))
    return result


@contextmanager
def playing(
    host: Host, playbook: str = "converge.yml", *options: str, **variables: Any
) -> Iterator[subprocess.Popen[str]]:
    """Have a play run beside the block, in a process group of its own, and wait for its end after the block."""
    given = {"installed_packages": installed_packages(host), **variables}
    with (
        _recorded(host, playbook),
        subprocess.Popen(
            play_command(host, playbook, *options, **given),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=play_environment(),
            start_new_session=True,
        ) as process,
    ):
        yield process


def _recorded(host: Host, playbook: str) -> AbstractContextManager[costs.Record]:
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    return costs.recorded("play", container_pid(host), host=host_name(host), name=f"{playbook} in {test}")


def play_environment() -> dict[str, str]:
    """Return the environment of a test's play: without colours, with facts that are gathered once for each host."""
    return {
        **os.environ,
        "ANSIBLE_FORCE_COLOR": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_GATHERING": "smart",
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(_facts()),
        "ANSIBLE_CACHE_PLUGIN_TIMEOUT": "7200",
    }


def forget_facts(host: Host) -> None:
    """Have the next play gather the host's facts anew."""
    (_facts() / host_name(host)).unlink(missing_ok=True)


def _facts() -> Path:
    return Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "facts"


def installed_packages(host: Host) -> list[str]:
    """Return the names of the packages that are installed on the host."""
    lines = host.check_output("dpkg-query --show --showformat '${db:Status-Status} ${Package}\\n'").splitlines()
    return [name for status, name in (line.split() for line in lines) if status == "installed"]


MODULES = "/opt/test-modules"
_MODULES_SENT: set[str] = set()  # to these hosts by this process: what an earlier run has sent may be out of date


def module(host: Host, module_name: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run a module of the collection on the host, without a play; return its result, failed or not.

    This is how Ansible's own documentation has a module run by hand. What an action plugin does before the module
    (file_set renders templates, release packs the source) is not part of it.
    """
    if host_name(host) not in _MODULES_SENT:
        _send_modules(host)
    given = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check, "_ansible_diff": True}})
    python = f"ansible_collections.groundwork.flask.plugins.modules.{module_name}"
    done = host.run(f"cd {MODULES} && printf %%s %s | /usr/bin/python3 -m {python}", given)
    assert done.stdout.startswith("\n{") or done.stdout.startswith("{"), done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _send_modules(host: Host) -> None:
    """Put the collection's modules on the host, and of Ansible what a module imports."""
    import ansible

    core = Path(ansible.__file__).parent
    packed = subprocess.run(
        [
            *("tar", "--create", "--dereference", "--exclude=__pycache__"),
            *("--directory", str(core.parent), "ansible/__init__.py", "ansible/_vendor", "ansible/release.py"),
            "ansible/module_utils",
            *("--directory", str(ROOT / ".ansible" / "collections")),
            *(f"ansible_collections/groundwork/flask/plugins/{part}" for part in ("modules", "module_utils")),
        ],
        check=True,
        capture_output=True,
    )
    target = ("nsenter", "--all", "--root", "--wd", "--target", container_pid(host))
    unpack = f"mkdir -p {MODULES} && tar --extract --directory {MODULES}"
    subprocess.run([*target, "/bin/sh", "-c", unpack], input=packed.stdout, check=True)
    _MODULES_SENT.add(host_name(host))


def said(result: subprocess.CompletedProcess[str]) -> str:
    """Return what a play said, errors included, with every run of white space as one space."""
    return " ".join(f"{result.stdout}\n{result.stderr}".split())


def journal(host: Host, unit: str, lines: int = 40, namespace: str | None = None) -> str:
    """Return the unit's last journal lines, for the message of an assertion; namespace: its LogNamespace, if any."""
    option = f" --namespace={namespace}" if namespace else ""
    return str(host.run(f"journalctl{option} --no-pager --lines={lines} --unit={unit}").stdout)


def warnings(host: Host, since: float, lines: int = 40) -> str:
    """Return the warnings and errors in all journals of the host since this time, at most so many of the last ones."""
    command = f"journalctl --namespace='*' --no-pager --priority=warning --since=@{since:.0f} --lines={lines}"
    return str(host.run(command).stdout) if container_pid(host) else "the host does not run"


def find(host: Host, expression: str) -> list[str]:
    """Return what find finds on the root file system; what goes meanwhile, as do directories of units, is no error."""
    done = host.run(f"LC_ALL=C find / -xdev {expression}")
    errors = [line for line in done.stderr.splitlines() if not line.endswith("No such file or directory")]
    assert errors == []
    return list(done.stdout.splitlines())


def live(host: Host, app: str) -> str:
    """Return the id of the app's live release."""
    return str(host.check_output("readlink %s", on_host("current", app))).rpartition("/")[2]


def server_unit(host: Host, app: str) -> str:
    """Return the systemd service of the WSGI server in the app's live release, as the release has it recorded."""
    facts = json.loads(host.check_output("cat %s/release.json", on_host("current", app)))
    return str(next(unit["name"] for unit in facts["units"] if unit["kind"] == "web"))


def leftovers(host: Host, app: str) -> list[str]:
    """Return the units of the app's releases that run, or would run after a boot, beside the live release's."""
    current = live(host, app)
    running = "systemctl list-units --plain --no-legend --state=active"
    units = host.check_output(f"{running} '{app}@*' '{app}.*@*'").splitlines()
    links = host.check_output(f"ls /etc/systemd/system/*.wants/ | grep -E '^{app}([.][^@]+)?@' || true").splitlines()
    return [line for line in units + links if current not in line]


def poll(question: Callable[[], Result], seconds: float = 30, pause: float = 0.2) -> Result:
    """Ask until the answer is true, and return it; after `seconds` return or raise what came last."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = question()
        except (OSError, http.client.HTTPException, AssertionError):
            if time.monotonic() > deadline:
                raise
        else:
            if answer or time.monotonic() > deadline:
                return answer
        time.sleep(pause)


def tcp_open(address: str, port: int, seconds: float = 30) -> bool:
    """Say whether a TCP connection is accepted; False when it is refused or not answered within `seconds`."""
    try:
        socket.create_connection((address, port), seconds).close()
    except OSError:
        return False
    return True


def tcp_refused(address: str, port: int, seconds: float = 2) -> bool:
    """Say whether a TCP connection is refused, or not answered within `seconds`."""
    return not tcp_open(address, port, seconds)


def authority_root(host: Host) -> str:
    """Return the root certificate (PEM) of the pebble on this host (shared/pebble.yml); it is new after a reboot."""
    script = (
        "import ssl, urllib.request as r; "
        "c = ssl.create_default_context(cafile='/etc/pebble-ca.pem'); "
        "print(r.urlopen('https://pebble.test:15000/roots/0', context=c, timeout=10).read().decode())"
    )
    return str(poll(lambda: host.check_output("/usr/bin/python3 -c %s", script), 60))


def _run(*argv: str) -> Outcome:
    """Run a command of this machine; its failure is an assertion with what it said."""
    result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, f"{' '.join(argv)} failed:\n{result.stdout}{result.stderr}"
    return result
