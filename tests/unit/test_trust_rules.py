"""The rules for what root runs find what they are for, and nothing else."""

from __future__ import annotations

import re

import pytest
from ansible_collections.groundwork.flask.tests.unit.trust_programs import Checker
from ansible_collections.groundwork.flask.tests.unit.trust_source import Module
from ansible_collections.groundwork.flask.tests.unit.trust_trees import by_path

OURS = """
import os, shutil, subprocess, sys
from . import other
from .other import OTHER_TOOL, launch
SYSTEMCTL = "/usr/bin/systemctl"
TOOL = ("openssl", "x509")
def run(*words, timeout=1): return subprocess.run(words, timeout=timeout)
def sequence(name, argv): run(*argv)
def one(program): return subprocess.Popen([program, "-x"])
def as_user(words):
    first = ("setpriv", "--")
    return [*first, *words]
class Host:
    def run(self, *command, cwd=None): return subprocess.run(command, cwd=cwd)
    def systemctl(self, *words): return self.run("/usr/bin/systemctl", *words)
    @staticmethod
    def static(argv): return subprocess.run(argv)
"""
OTHER = "import subprocess\nTOOL, OTHER_TOOL = 'tool', 'tool-2'\ndef launch(argv): return subprocess.run(argv)\n"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('subprocess.run(["ls", "-l"])', "'ls' is looked up"),
        ('subprocess.run(("/usr/bin/ls", "-l"))', ""),
        ('subprocess.Popen(args=["ls"])', "'ls' is looked up"),
        ('subprocess.check_output("ls")', "'ls' is looked up"),
        ('subprocess.run([*("ls", "-l"), "-a"])', "'ls' is looked up"),
        ('subprocess.run(["ls"] + more)', "'ls' is looked up"),
        ('subprocess.run(["ls"] if more else ["/bin/true"])', "'ls' is looked up"),
        ('subprocess.run([f"venv/{x}"])', "'venv/' is looked up"),
        ('subprocess.run([f"{venv}/bin/python"])', ""),
        ("subprocess.run([SYSTEMCTL, 'stop'])", ""),
        ("subprocess.run([other.TOOL, 'stop'])", "'tool' is looked up"),
        ("subprocess.run([OTHER_TOOL, 'stop'])", "'tool-2' is looked up"),
        ("TransientUnit('x.service', 'x', ['ls'])", "'ls' is looked up"),
        ("systemd.TransientUnit('x.service', 'x', argv=['/usr/bin/python3', 'x'])", "without -I"),
        ("subprocess.run(TOOL)", "'openssl' is looked up"),
        ("words = ['ls']\n    subprocess.run(words)", "'ls' is looked up"),
        ("for words in (('ls',), ('/bin/true',)):\n        run(*words)", "'ls' is looked up"),
        ('run("ls", timeout=3)', "'ls' is looked up"),
        ('run(*("ls", "-l"))', "'ls' is looked up"),
        ('run("/usr/bin/ls")', ""),
        ('sequence("ls", ["/usr/bin/ls"])', ""),
        ('sequence("x", argv=["ls"])', "'ls' is looked up"),
        ('one("ls")', "'ls' is looked up"),
        ('subprocess.Popen(as_user(["/usr/bin/ls"]))', "'setpriv' is looked up"),
        ("words = as_user(more)\n    run(*words)", "'setpriv' is looked up"),
        ('host.run("ls")', "'ls' is looked up"),
        ('self.host.run("ls", cwd="/")', "'ls' is looked up"),
        ('Host.static(["ls"])', "'ls' is looked up"),
        ('host.systemctl("stop", "x")', ""),
        ('other.launch(["ls"])', "'ls' is looked up"),
        ('launch(["ls"])', "'ls' is looked up"),
        ('module.run_command(["ls"])', "'ls' is looked up"),
        ('Step("shop", "import", ["flask", "x"])', ""),
        ('subprocess.run("/bin/ls", shell=True)', "has a shell"),
        ('os.system("/bin/ls")', "has a shell"),
        ('os.popen("/bin/ls")', "has a shell"),
        ('os.execvp("/bin/ls", [])', "looks the program up"),
        ('os.execvpe("ls", [], {})', "looks the program up"),
        ('os.execve("ls", [], {})', "'ls' is looked up"),
        ('os.execv("/bin/ls", [])', ""),
        ('shutil.which("ls")', "looks in the caller's PATH"),
        ('shutil.which("ls", path="/usr/bin")', ""),
        ('run("/usr/bin/python3", "-c", x)', "without -I"),
        ('run("/usr/bin/python3.11", "-c", x)', "without -I"),
        ("run(sys.executable, '-m', x)", "without -I"),
        ('run("/usr/bin/python3", "-I", "-c", x)', ""),
        ('run(*("/usr/bin/python3", "-I"), "-c", x)', ""),
    ],
)
def test_a_wrong_call_is_found(line: str, wrong: str) -> None:
    texts = {"ours.py": f"{OURS}def function(self, more, x):\n    {line}\n", "other.py": OTHER}
    found = Checker(texts).findings()
    if wrong:
        assert len(found) == 1, found
        assert re.match(r"ours\.py:\d+: ", found[0])
        assert wrong in found[0]
    else:
        assert found == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("Path(self.at.data).mkdir()", True),
        ("(self.at.package_cache / 'x').write_text('')", True),
        ("open(f'{at.data}/x')", True),
        ("os.open(at.source_cache, 0)", True),
        ("shutil.rmtree(self.at.package_cache)", True),
        ("cache = self.at.package_cache\n    target = cache / 'x'\n    target.unlink()", True),
        ("for path in Path(at.data).iterdir():\n        print(path)", True),
        ("os.open('x', 0, dir_fd=found(at.data))", False),
        ("trees.remove(self.at.package_cache)", False),
        ("steps = [str(at.data)]\n    print(steps)", False),
        ("size = trees.size(at.data)\n    print(size.real)", False),
        ("response.data.read_text()", False),
        ("self.at.ledger.read_text()", False),
    ],
)
def test_a_call_by_path_is_found(line: str, wrong: bool) -> None:
    found = list(by_path(Module.parse("ours.py", f"def function(self, at):\n    {line}\n")))
    assert bool(found) is wrong, found
