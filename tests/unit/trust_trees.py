"""Where Python that runs as root handles by its path what an app owns.

A finding says where, what is wrong, and what to do about it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.groundwork.flask.tests.unit.trust_source import Module, dotted, functions

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
        for call in function.calls:
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
