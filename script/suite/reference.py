"""What is written from the records of options. `script/reference` runs this."""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import json_schema
from ansible_collections.groundwork.flask.plugins.module_utils.common.options import Option, argument, options
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import CHECKS, ControllerOptions, Spec
from ansible_collections.groundwork.flask.plugins.plugin_utils import (
    outgoing_options,
    reserved,
    sandbox_options,
    schema,
    servers,
    service_options,
    setting_options,
    site_options,
)

ROOT = Path(__file__).parents[2]
HEAD = Path(__file__).with_name("reference_head.md")


# --- the page ----------------------------------------


def page() -> str:
    """docs/reference.md."""
    parts = [HEAD.read_text(), section("An app", options(schema.App))]
    for title, key, of in (
        ("A file in `settings`", "settings", setting_options.Setting),
        ("A process in `processes`", "processes", service_options.Process),
        ("A job in `jobs`", "jobs", service_options.Job),
        ("A destination in `outgoing`", "outgoing", outgoing_options.Destination),
    ):
        parts.append(section(title, options(of), options(schema.App)[key].doc))
    for key in ("source", "server", "database", "redis", "proxy", "certificate", "logs", "alerts", "backup"):
        parts.append(section(f"`{key}`", schema.section(key), options(schema.App)[key].doc))
        if key == "server":
            doc = "Beside `provider`, `workers`, `worker_memory` and `options`. [servers.md](servers.md) says more."
            parts += [
                section(f"`server` with `provider: {name}`", server.options, doc)
                for name, server in servers.SERVERS.items()
                if name != servers.DEFAULT
            ]
        if key == "proxy":
            parts.append(section("A directory in `static` and `media`", site_options.STATIC))
            parts.append(section("`limit_req` as a map", site_options.LIMIT))
    parts += [
        meanings("`sandbox`", "Each directive, with what makes an app need another value.", sandbox_options.SANDBOX),
        meanings("Checks", "What `skip_checks` may name.", CHECKS),
        meanings(
            "Variables that the collection sets",
            "They cannot stand in `environment` (`FLASK_APP` may), nor in `flask_app_secrets` (`SECRET_KEY` may).",
            reserved.RESERVED_VARIABLES,
        ),
    ]
    return "\n".join(parts)


def section(title: str, known: Mapping[str, Option], doc: str = "") -> str:
    """A section with a table of options."""
    rows = [
        (f"`{name}`", one.doc, value(one), default(one), ", ".join(one.roles), "yes" if one.defines else "")
        for name, one in required_first(known)
    ]
    return table(title, doc, ("option", "", "value", "default", "roles", "new release"), rows)


def required_first(known: Mapping[str, Option]) -> list[tuple[str, Option]]:
    """Options with their names, those first that must be written."""
    return sorted(known.items(), key=lambda item: not item[1].required)


def meanings(title: str, doc: str, known: Mapping[str, str]) -> str:
    """A section with a table of names."""
    return table(title, doc, ("name", ""), [(f"`{name}`", text.replace("<", "&lt;")) for name, text in known.items()])


def table(title: str, doc: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A section with a table, of which columns without any content are left out."""
    columns = [column for column in zip(head, *rows, strict=True) if any(column[1:])]
    lines = [
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in zip(*columns, strict=True)
    ]
    lines.insert(1, "|---" * len(columns) + "|")
    return "\n".join([f"## {title}", "", *([doc, ""] if doc else []), *lines, ""])


def value(one: Option) -> str:
    """What may be written for an option."""
    if one.kind is int:
        return f"{one.at_least} to {one.at_most}"
    if one.kind is str and one.choices:
        return ", ".join(f"`{choice}`" for choice in one.choices)
    if one.kind is list and any(isinstance(element, dict) for element in one.example or ()):
        return "list of maps"
    return {bool: "`true`, `false`", list: "list of texts", dict: "map"}.get(one.kind, "text")


def default(one: Option) -> str:
    """What holds where an option is not written."""
    if one.required:
        return "required"
    if one.kind is dict:
        return ""
    if isinstance(one.default, bool):
        return f"`{str(one.default).lower()}`"
    return f"`{one.default}`" if isinstance(one.default, str | int) and one.default != "" else ""


# --- the module's documentation ----------------------------------------


def module(text: str) -> str:
    """The module release with the options of an app in its documentation."""
    known = required_first({**options(Spec), **options(ControllerOptions)})
    entries = "".join(suboption(name, one) for name, one in known)
    return re.sub(r"(?<=    suboptions:\n).*?(?=^  \w)", lambda _found: entries, text, count=1, flags=re.S | re.M)


def suboption(name: str, one: Option) -> str:
    """An option in the documentation of a module."""
    doc = re.sub(r"`([^`]*)`", r"C(\1)", one.doc)
    lines = textwrap.wrap(doc, 110, initial_indent=" " * 10, subsequent_indent=" " * 10, break_on_hyphens=False)
    facts = [
        f"        {key}: {fact if key in ('type', 'elements') else json.dumps(fact)}"
        for key, fact in argument(one).items()
    ]
    return "\n".join([f"      {name}:", "        description: >-", *lines, *facts, ""])


# --- files ----------------------------------------

FILES: dict[str, Callable[[str], str]] = {
    "docs/reference.md": lambda _text: page(),
    "docs/flask_apps.schema.json": lambda _text: (
        json.dumps(json_schema.document(), indent=1, ensure_ascii=False) + "\n"
    ),
    "plugins/modules/release.py": module,
}


def main() -> int:
    """Write the files, or say which of them are behind the records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    behind = 0
    for name, written in FILES.items():
        path = ROOT / name
        text = path.read_text() if path.exists() else ""
        if (new := written(text)) != text:
            behind += 1
            print(f"{name} {'is behind the records: run script/reference' if check else 'written'}")
            if not check:
                path.write_text(new)
    return 1 if check and behind else 0


if __name__ == "__main__":
    sys.exit(main())
