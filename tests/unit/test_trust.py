"""What root runs on a host starts programs by their paths, and leaves what an app owns to one module.

Both rules are read off the syntax trees of all Python that runs as root. A finding says where, what is wrong, and what
to do about it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import testing

ROOT = testing.ROOT
PLACES = ("plugins/module_utils/**/*", "plugins/modules/*", "roles/*/files/**/*")

# Python that no root runs: it may look up programs as it likes, for it is what the sandbox is there for.
EXEMPT = {
    "roles/wsgi_server/files/": "runs as the app's user, in the unit of the app",
    "plugins/module_utils/release/probe.py": "runs as the app's user, in a step of the sandbox",
    "plugins/module_utils/common/sqlite.py": "runs as the owner of the databases, in a step of a sandbox",
}
# What hands its argument vector to systemd, which starts it as the app's user in the app's sandbox.
STEPS = {"Step": "a step of the release engine, see plugins/module_utils/release/system.py"}

# Calls that start a program, with the place of its argument vector: a sequence, or a path alone.
STARTS = {
    **{f"subprocess.{name}": "sequence" for name in ("run", "Popen", "call", "check_call", "check_output")},
    **{f"os.{name}": "word" for name in ("execv", "execve", "execl", "execle", "posix_spawn")},
    "module.run_command": "sequence",
}
SHELLS = {
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "asyncio.create_subprocess_shell",
}
LOOKS_UP = re.compile(r"os\.(exec[lv]pe?|spawn[lv]pe?|posix_spawnp)")
PYTHON = re.compile(r"(/usr(/local)?/bin/)?python[0-9.]*$|sys\.executable$")

# Where an app, or what builds it, can write: attributes of the engine's Layout, by which it is called `at`.
OWNED = {
    "data": "the app's data",
    "cache": "the app's cache",
    "source_cache": "what fetching keeps, as the app's user",
    "package_cache": "what installing keeps, as the app's user",
}
TREES = "plugins/module_utils/common/trees.py"
# Calls by path that are right all the same: file and function, and why.
BY_PATH = {
    (
        "plugins/module_utils/release/build.py",
        "prepare",
    ): "makes them, in a directory of root's, and touches nothing below",
}
FILE_METHODS = {
    *("open", "read_text", "read_bytes", "write_text", "write_bytes", "touch", "unlink", "mkdir", "rmdir", "rename"),
    *("replace", "chmod", "lchmod", "symlink_to", "hardlink_to", "readlink", "resolve", "stat", "exists", "is_file"),
    *("is_dir", "iterdir", "glob", "rglob", "walk"),
}
FILE_CALLS = re.compile(
    r"open|io\.open|shutil\.\w+|glob\.\w+"
    r"|os\.(open|mkdir|makedirs|unlink|remove|rmdir|removedirs|rename|renames|replace|chmod|chown|lchown|link|symlink|readlink|stat"
    r"|lstat|listdir|scandir|walk|truncate|utime|mkfifo|mknod|access|path\.(exists|isfile|isdir|realpath|getsize|getmtime))"
)


# --- reading the source -----------------------------------------------------------------------------------------------


@dataclass
class Module:
    """A file of Python, with what its names stand for."""

    path: str
    tree: ast.Module
    imported: dict[str, str] = field(default_factory=dict)  # name here -> the last part of the module's name
    constants: dict[str, list[ast.expr]] = field(default_factory=dict)
    returned: dict[str, list[Function]] = field(
        default_factory=dict
    )  # what its functions return may be such a list too
    others: Mapping[str, Module] = field(default_factory=dict)  # the other files, by their names

    @classmethod
    def parse(cls, path: str, text: str) -> Module:
        module = cls(path, ast.parse(text))
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom):
                for name in node.names:
                    module.imported[name.asname or name.name] = (node.module or name.name).rpartition(".")[2]
        module.constants = bindings(module.tree.body)
        for function in functions(module):
            called = f"self.{function.name}" if function.method else function.name
            module.returned.setdefault(called, []).append(function)
        return module

    @property
    def name(self) -> str:
        return Path(self.path).stem


@dataclass
class Function:
    """A function with its parameters (without `self`), and what it binds; a module outside of functions is one too."""

    module: Module
    name: str
    body: list[ast.stmt]
    parameters: list[str] = field(default_factory=list)
    star: str = ""
    method: bool = False
    bound: dict[str, list[ast.expr]] = field(default_factory=dict)

    def calls(self) -> Iterator[ast.Call]:
        """The calls in its body, but for those in functions inside it."""
        for node in within(self.body):
            if isinstance(node, ast.Call):
                yield node


def within(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes of a body, but for those of functions and classes inside it."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)


def bindings(body: list[ast.stmt]) -> dict[str, list[ast.expr]]:
    """What is assigned to each name; of a loop over a literal, its elements."""
    found: dict[str, list[ast.expr]] = {}
    for node in within(body):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.For):
            pairs = [
                (node.target, one)
                for one in (node.iter.elts if isinstance(node.iter, (ast.Tuple, ast.List)) else [node.iter])
            ]
        elif isinstance(node, ast.withitem) and node.optional_vars:
            pairs = [(node.optional_vars, node.context_expr)]
        for target, value in pairs:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
                pairs += zip(target.elts, value.elts, strict=True)
            elif isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(value)
    return found


def functions(module: Module) -> Iterator[Function]:
    """Every function of a file, and what stands outside of them."""
    yield Function(module, "", module.tree.body, bound=module.constants)
    for parent in ast.walk(module.tree):
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
                is_static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in node.decorator_list)
                method = isinstance(parent, ast.ClassDef)
                yield Function(
                    module,
                    node.name,
                    node.body,
                    names[1:] if method and not is_static else names,
                    node.args.vararg.arg if node.args.vararg else "",
                    method,
                    bindings(node.body),
                )
            elif isinstance(node, ast.ClassDef):
                yield Function(module, node.name, node.body, bound=bindings(node.body))


def dotted(node: ast.expr) -> str:
    """`os.execv` of `os.execv(…)`; empty for what is no plain name."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


# --- which program a call starts --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """What stands where the program is named: a text, or a parameter of the function around it.

    :param parameter: its name; the caller then says which program it is.
    :param how: the parameter is the whole `sequence`, or the `word` alone.
    :param isolated: the word after it is -I.
    """

    text: str = ""
    parameter: str = ""
    how: str = ""
    isolated: bool = False


def programs(argv: ast.expr, function: Function, seen: frozenset[str] = frozenset()) -> Iterator[Program]:
    """The programs that an argument vector may start, as far as the source says it."""
    if isinstance(argv, (ast.Tuple, ast.List)) and argv.elts:
        first, second = argv.elts[0], argv.elts[1] if len(argv.elts) > 1 else None
        if isinstance(first, ast.Starred):
            yield from programs(first.value, function, seen)
        else:
            isolated = isinstance(second, ast.Constant) and str(second.value).startswith("-I")
            yield from (Program(one.text, one.parameter, one.how, isolated) for one in words(first, function, seen))
    elif isinstance(argv, ast.BinOp):
        yield from programs(argv.left, function, seen)
    elif isinstance(argv, ast.IfExp):
        yield from programs(argv.body, function, seen)
        yield from programs(argv.orelse, function, seen)
    elif isinstance(argv, ast.Call) and dotted(argv.func) in ("list", "tuple") and argv.args:
        yield from programs(argv.args[0], function, seen)
    elif isinstance(argv, ast.Name):
        yield from named(argv, function, seen, "sequence")
    elif isinstance(argv, ast.Call) and (name := dotted(argv.func)) in function.module.returned and name not in seen:
        for inner in function.module.returned[name]:
            for value in (node.value for node in within(inner.body) if isinstance(node, ast.Return) and node.value):
                yield from (one for one in programs(value, inner, seen | {name}) if one.text)
    else:
        yield from words(argv, function, seen)  # a text alone is the program


def words(word: ast.expr, function: Function, seen: frozenset[str] = frozenset()) -> Iterator[Program]:
    """The texts that a word may be."""
    if isinstance(word, ast.Constant) and isinstance(word.value, str):
        yield Program(word.value)
    elif isinstance(word, ast.JoinedStr) and isinstance(word.values[0], ast.Constant):
        yield Program(str(word.values[0].value))
    elif isinstance(word, ast.IfExp):
        yield from words(word.body, function, seen)
        yield from words(word.orelse, function, seen)
    elif isinstance(word, ast.Call) and dotted(word.func) == "str" and word.args:
        yield from words(word.args[0], function, seen)
    elif dotted(word) == "sys.executable":
        yield Program("sys.executable")
    elif isinstance(word, ast.Attribute) and dotted(word.value) in function.module.imported:
        yield from constant(dotted(word.value), word.attr, function.module)
    elif isinstance(word, ast.Name):
        yield from named(word, function, seen, "word")


def constant(module: str, name: str, importing: Module) -> Iterator[Program]:
    """The texts that a constant of another file may be."""
    if found := importing.others.get(module):
        for value in found.constants.get(name, []):
            yield from words(value, Function(found, "", []), frozenset([name]))


def named(name: ast.Name, function: Function, seen: frozenset[str], how: str) -> Iterator[Program]:
    """What a name stands for."""
    if name.id in seen:
        return
    if name.id in (*function.parameters, function.star):
        yield Program(parameter=name.id, how=how)
    if name.id in function.module.imported:
        yield from constant(function.module.imported[name.id], name.id, function.module)
    for value in function.bound.get(name.id) or function.module.constants.get(name.id, []):
        yield from (programs if how == "sequence" else words)(value, function, seen | {name.id})


# --- what starts programs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Starter:
    """A function of ours that starts what it is given: which parameter names the program, and how."""

    parameter: str
    position: int
    how: str  # sequence, word, or star: the arguments from there on are the argument vector


class Checker:
    """Finds the functions that start programs, and all programs that are started through them."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.modules = [Module.parse(path, text) for path, text in texts.items()]
        for module in self.modules:
            module.others = {other.name: other for other in self.modules}
        self.functions = [function for module in self.modules for function in functions(module)]
        self.starters: dict[tuple[str, str], set[Starter]] = {}  # by module (or "." for a method) and name
        self.literals: set[tuple[str, str]] = set()
        known = -1
        while known != (known := sum(map(len, self.starters.values()))):
            for function in self.functions:
                for call in function.calls():
                    for program in self.started(call, function):
                        self.learn(program, function)

    def learn(self, program: Program, function: Function) -> None:
        """A function that starts what it was given is one through which others start programs."""
        if not program.parameter or not function.name:
            return
        key = ("." if function.method else function.module.name, function.name)
        if program.parameter == function.star:
            starter = Starter(program.parameter, len(function.parameters), "star")
        else:
            starter = Starter(program.parameter, function.parameters.index(program.parameter), program.how)
        self.starters.setdefault(key, set()).add(starter)

    def of(self, call: ast.Call, function: Function) -> Iterator[Starter]:
        """How the function that is called starts programs, if it does."""
        name = dotted(call.func)
        if name in STARTS:
            yield Starter("args", 0, STARTS[name])
            return
        if name.rpartition(".")[2] == "TransientUnit":
            yield Starter("argv", 2, "sequence")
            return
        if isinstance(call.func, ast.Name):
            module = function.module.imported.get(name, function.module.name)
            yield from self.starters.get((module, name), ())
        elif isinstance(call.func, ast.Attribute):
            base = dotted(call.func.value)
            modules = {module.name for module in self.modules}
            if base in function.module.imported and base in modules:
                yield from self.starters.get((base, call.func.attr), ())
            elif base not in ("subprocess", "os"):
                yield from self.starters.get((".", call.func.attr), ())

    def started(self, call: ast.Call, function: Function) -> Iterator[Program]:
        """The programs that a call starts."""
        for starter in self.of(call, function):
            given = next((one.value for one in call.keywords if one.arg == starter.parameter), None)
            rest = call.args[starter.position :]
            if starter.how == "star":
                if rest:
                    yield from programs(ast.Tuple(elts=rest), function)
            elif given or rest:
                yield from (words if starter.how == "word" else programs)(given or rest[0], function)

    def findings(self) -> list[str]:
        """What is wrong, in the order of the files."""
        found = []
        for function in self.functions:
            for call in function.calls():
                found += [
                    (function.module.path, call.lineno, what)
                    for what in [*self.wrong_programs(call, function), *wrong_ways(call)]
                ]
        return [f"{path}:{line}: {what}" for path, line, what in sorted(set(found))]

    def wrong_programs(self, call: ast.Call, function: Function) -> Iterator[str]:
        for program in self.started(call, function):
            text = program.text
            if not text:
                continue
            self.literals.add((function.module.path, text))
            if PYTHON.match(text) and not program.isolated:
                yield f"{text} without -I reads what lies in PYTHON* and below HOME; write -I behind it"
            if not text.startswith("/") and text != "sys.executable":
                yield f"{text!r} is looked up in a PATH; write its absolute path"


def wrong_ways(call: ast.Call) -> Iterator[str]:
    """Ways to start a program that are wrong whichever program it is."""
    name = dotted(call.func)
    shell = next((one.value for one in call.keywords if one.arg == "shell"), None)
    if name in SHELLS or (shell and not (isinstance(shell, ast.Constant) and shell.value is False)):
        yield f"{name} has a shell take the text apart; give subprocess.run a list of words"
    if LOOKS_UP.fullmatch(name):
        yield f"{name} looks the program up in a PATH; use the function without the p, with an absolute path"
    if name == "shutil.which" and len(call.args) < 3 and not any(one.arg == "path" for one in call.keywords):
        yield "shutil.which looks in the caller's PATH; give path="


# --- which files a call touches ---------------------------------------------------------------------------------------


def owned(node: ast.expr, names: frozenset[str]) -> str:
    """The attribute by which an expression leads below a directory of an app's, or the local name that does."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and part.attr in OWNED and dotted(part.value).rpartition(".")[2] == "at":
            return part.attr
        if isinstance(part, ast.Name) and part.id in names:
            return part.id
    return ""


def by_path(module: Module) -> Iterator[str]:
    """Calls that handle by its path what an app owns."""
    for function in functions(module):
        names: frozenset[str] = frozenset()
        known = -1
        while known != (known := len(names)):
            names |= {
                name for name, values in function.bound.items() for one in values if is_path(one) and owned(one, names)
            }
        if (module.path, function.name) in BY_PATH:
            continue
        for call in function.calls():
            name, where = dotted(call.func), ""
            if FILE_CALLS.fullmatch(name) and not any(one.arg and one.arg.endswith("dir_fd") for one in call.keywords):
                where = next((found for one in call.args if (found := owned(one, names))), "")
            elif isinstance(call.func, ast.Attribute) and call.func.attr in FILE_METHODS and is_path(call.func.value):
                where = owned(call.func.value, names)
            if where:
                did = ast.unparse(call.func)
                yield (
                    f"{module.path}:{call.lineno}: {did} follows the links that an app makes in {where}; "
                    f"use {Path(TREES).stem}, or a step of the sandbox"
                )


def is_path(node: ast.expr) -> bool:
    """Whether the value is a path: a name, an attribute, a path with more behind it; not what a call made of one."""
    if isinstance(node, ast.BinOp):
        return is_path(node.left)
    if isinstance(node, ast.Call):
        return dotted(node.func) in ("Path", "str", "os.path.join") or (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in ("joinpath", "with_name", "with_suffix", "iterdir", "glob")
        )
    return isinstance(node, (ast.Name, ast.Attribute, ast.JoinedStr))


# --- the rules hold ---------------------------------------------------------------------------------------------------


def is_python(path: Path) -> bool:
    """Whether a file is Python, with or without a suffix; the roles write the first line of their programs."""
    if path.suffix or not path.is_file():
        return path.suffix == ".py"
    return "\nfrom __future__ import annotations\n" in path.read_text()


@cache
def sources() -> dict[str, str]:
    """All Python that runs as root on a host, by its path in the repository."""
    paths = {path for place in PLACES for path in ROOT.glob(place) if is_python(path)}
    names = {str(path.relative_to(ROOT)): path for path in sorted(paths)}
    return {name: path.read_text() for name, path in names.items() if not name.startswith(tuple(EXEMPT))}


def test_root_calls_programs_by_their_paths_and_its_python_is_isolated() -> None:
    checker = Checker(sources())
    assert checker.findings() == []
    assert len(checker.literals) >= 15, "the calls of programs are not found any more"
    assert any(key[1] == "run" for key in checker.starters)


def test_the_programs_that_roles_install_are_isolated() -> None:
    """Their first line stands in the role, which writes it before the program."""
    found = []
    for path in sorted(ROOT.glob("roles/*/*/*.yml")):
        if "wsgi_server" not in path.parts:
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(r"#! ?/usr/bin/(env )?python3(?! -I)", line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: python3 without -I; write #!/usr/bin/python3 -I")
    assert found == []


def test_what_an_app_owns_is_handled_by_one_module() -> None:
    """As far as an expression shows that it leads there. What a function is given as a parameter is not seen here."""
    found = [one for path, text in sources().items() if path != TREES for one in by_path(Module.parse(path, text))]
    assert found == []


def test_the_tables_name_what_there_is() -> None:
    layout = Module.parse("layout", (ROOT / "plugins/module_utils/release/layout.py").read_text())
    assert set(OWNED) <= {function.name for function in functions(layout)}
    for path in (TREES, *EXEMPT):
        assert (ROOT / path).exists(), path
    for path, name in BY_PATH:
        assert name in {function.name for function in functions(Module.parse(path, sources()[path]))}, path
    classes = {function.name for path, text in sources().items() for function in functions(Module.parse(path, text))}
    assert set(STEPS) <= classes
    assert not set(STEPS) & {name for _module, name in Checker(sources()).starters}


# --- and the rules find what they are for -----------------------------------------------------------------------------

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
