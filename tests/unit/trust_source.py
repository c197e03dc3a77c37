"""Python that runs as root, read as syntax trees: what stands in a file, and what its names stand for."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import testing

ROOT = testing.ROOT
PLACES = ("plugins/module_utils/**/*", "plugins/modules/*", "roles/*/files/**/*")

# Python that no root runs: it may look up programs as it likes, for it is what the sandbox is there for.
EXEMPT = {
    "roles/wsgi_server/files/": "runs as the app's user, in the unit of the app",
    "plugins/module_utils/release/probe.py": "runs as the app's user, in a step of the sandbox",
    "plugins/module_utils/database/maria_copy.py": "runs as the app's user, in a step of a sandbox",
    "plugins/module_utils/database/pg_copy.py": "runs as the app's user, in a step of a sandbox",
    "plugins/module_utils/common/sqlite.py": "runs as the owner of the databases, in a step of a sandbox",
}


@dataclass
class Module:
    """A file of Python, with what its names stand for."""

    path: str
    tree: ast.Module
    imported: dict[str, str] = field(default_factory=dict)  # name here -> the last part of the module's name
    constants: dict[str, list[ast.expr]] = field(default_factory=dict)
    returned: dict[str, list[Function]] = field(default_factory=dict)  # what they return may be an argument vector too
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

    @cached_property
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

    @cached_property
    def calls(self) -> list[ast.Call]:
        """The calls in its body, but for those in functions inside it."""
        return [node for node in within(self.body) if isinstance(node, ast.Call)]


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
