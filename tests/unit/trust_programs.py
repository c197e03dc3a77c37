"""Which programs root starts, as far as the source says it, and what is wrong with how they are named.

A finding says where, what is wrong, and what to do about it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.groundwork.flask.tests.unit.trust_source import Function, Module, dotted, functions, within

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
        self.names = {module.name: module for module in self.modules}
        for module in self.modules:
            module.others = self.names
        self.functions = [function for module in self.modules for function in functions(module)]
        self.starters: dict[tuple[str, str], set[Starter]] = {}  # by module (or "." for a method) and name
        self.literals: set[tuple[str, str]] = set()
        known = -1
        while known != (known := sum(map(len, self.starters.values()))):
            for function in self.functions:
                for call in function.calls:
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
            if base in function.module.imported and base in self.names:
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
            for call in function.calls:
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
