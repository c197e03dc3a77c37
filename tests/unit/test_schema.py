"""The records of options: what they say is true, and what is written from them is not behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import json_schema
import jsonschema  # ansible-lint brings it
import pytest
import reference
import yaml
from ansible_collections.groundwork.flask.plugins.module_utils.common.options import (
    Option,
    argument,
    argument_spec,
    options,
)
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import ControllerOptions, Spec
from ansible_collections.groundwork.flask.plugins.modules import release
from ansible_collections.groundwork.flask.plugins.plugin_utils import (
    certificate_rules,
    model,
    role_inputs,
    schema,
    servers,
    site_options,
    sites,
    source_options,
)
from ansible_collections.groundwork.flask.tests.unit.flask_app import SMALLEST, SUM, app

ROOT = Path(__file__).resolve().parents[2]
VALIDATOR = jsonschema.Draft7Validator(json_schema.document())


# --- what a record says of an option ----------------------------------------


def beside(section: str, name: str, example: Any) -> dict[str, Any]:
    """What an app needs for an option beside the option."""
    if section == "source":
        kind = next((kind for kind, keys in source_options.SOURCES.items() if name in keys), name)
        given = {"git": "https://example.org/shop.git", "version": "v1.2"} if kind == "git" else {kind: "a.zip"}
        return {**given, name: example}
    if section == "certificate" and certificate_rules.PROVIDER_OF.get(name) == "files":
        return {"provider": "files", "fullchain": "a.pem", "privkey": "a.key", name: example}
    if section == "database" and name != "url":
        return {"provider": "postgresql", name: example}
    if section == "redis":
        return {"purpose": "queue", name: example}
    if name == "cache_ignore_cookies":
        return {"cache": "1h", name: example}
    return {name: example}


def cases() -> Iterator[Any]:
    """Each option with an app that lacks it and one that has it."""
    for name, one in options(schema.App).items():
        if not schema.section(name):
            yield pytest.param({}, {name: one.example}, one, id=name)
        for inner, below in schema.section(name).items():
            if below.example is None:
                continue
            given = beside(name, inner, below.example)
            if inner in ("fullchain", "privkey"):
                before = {**given, inner: "other.pem"}
            elif inner in source_options.SOURCES:
                before = {}
            elif inner == "checksum":
                before = {**given, inner: SUM}
            else:
                before = {key: value for key, value in given.items() if key != inner}
            yield pytest.param({name: before} if before else {}, {name: given}, below, id=f"{name}.{inner}")


def inputs(options: dict[str, Any]) -> dict[str, Any]:
    """The input of each role."""
    records = model.load(app(**options))
    return {
        **{role: made(records[0]) for role, made in role_inputs.ROLE_INPUTS.items()},
        "packages": role_inputs.packages(records),
    }


def definition(release: dict[str, Any]) -> dict[str, Any]:
    """What defines a release, of the role's input."""
    names = [name for name, one in options(Spec).items() if one.defines]
    return {name: release[name] for name in (*names, "wheels")}


@pytest.mark.parametrize(("before", "given", "one"), list(cases()))
def test_a_record_names_the_roles_that_an_option_reaches_and_whether_it_defines_the_release(
    before: dict[str, Any], given: dict[str, Any], one: Option
) -> None:
    without, with_it = inputs(before), inputs(given)
    changed = {role for role in without if without[role] != with_it[role]}
    assert changed - {"packages"} == set(one.roles) - {"packages"}
    assert ("packages" in one.roles) <= ("packages" in changed)
    assert (definition(without["release"]) != definition(with_it["release"])) is one.defines


def every_option() -> dict[str, Option]:
    """All records, by the place that an option has."""
    found = dict(options(schema.App)) | {f"spec.{name}": one for name, one in options(Spec).items()}
    for name in options(schema.App):
        found |= {f"{name}.{inner}": one for inner, one in schema.section(name).items()}
    for name in servers.SERVERS:
        found |= {f"{name}.{inner}": one for inner, one in servers.options_of(name).items()}
    return found


@pytest.mark.parametrize(("name", "one"), every_option().items(), ids=every_option())
def test_a_record_is_documented(name: str, one: Option) -> None:
    assert re.fullmatch(r"[A-Za-z`].*[.]", one.doc, re.S), name
    assert not one.pattern or one.remedy or one.kind is str, name


# --- what is written from the records ----------------------------------------


@pytest.mark.parametrize("name", reference.FILES)
def test_what_is_written_from_the_records_is_not_behind(name: str) -> None:
    text = (ROOT / name).read_text()
    assert reference.FILES[name](text) == text, "run script/reference"


def test_the_module_takes_and_documents_what_the_records_say() -> None:
    documented = yaml.safe_load(release.DOCUMENTATION)["options"]["apps"]["suboptions"]
    sentences = {name: re.sub(r"C\(([^)]*)\)", r"`\1`", one.pop("description")) for name, one in documented.items()}
    assert documented == release.APP == argument_spec(Spec, ControllerOptions)
    assert sentences == {name: one.doc for name, one in {**options(Spec), **options(ControllerOptions)}.items()}


def test_the_role_proxy_takes_what_the_records_say() -> None:
    taken = specified("proxy", "proxy_sites")
    assert set(taken) == {*sites.NAMED, *site_options.OPTIONS}
    for name, one in {**sites.NAMED, **site_options.OPTIONS}.items():
        wanted = {"raw" if name == "limit_req" else one.kind.__name__}
        if name in ("socket", "certificate", "page"):
            wanted = {"path"}
        assert taken[name]["type"] in wanted, name
        assert bool(taken[name].get("required")) is bool(one.required), name
        if "default" in taken[name] and name != "limit_req":
            assert taken[name]["default"] == (str(one.default) if one.kind is str else argument(one)["default"]), name


def test_the_role_certificate_takes_what_the_records_say() -> None:
    taken, known = specified("certificate", "certificate_names"), options(schema.Certificate)
    assert set(taken) == {"name", "domains", *known}
    assert [taken[name]["choices"] for name in ("provider", "challenge")] == [
        list(known[name].choices) for name in ("provider", "challenge")
    ]


def specified(role: str, variable: str) -> dict[str, Any]:
    """The options of an element of a role's variable."""
    specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text())
    return dict(specs["argument_specs"]["main"]["options"][variable]["options"])


# --- the JSON schema ----------------------------------------


def documents() -> Iterator[Any]:
    """The inventories of the project and those in its documentation."""
    for path in sorted(ROOT.glob("molecule/*/inventory/hosts.yml")):
        yield pytest.param(path.read_text(), id=str(path.relative_to(ROOT)))
    for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("roles/*/README.md"))):
        for number, block in enumerate(re.findall(r"^ *```yaml\n(.*?)^ *```", page.read_text(), re.S | re.M)):
            if "flask_apps:" in block:
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """A document in which an excerpt of an app is a whole one."""
    for name, given in document.get("flask_apps", {}).items():
        document["flask_apps"][name] = {**SMALLEST, **{key: one for key, one in given.items() if key != "…"}}
        for job in given.get("jobs", {}).values():
            if True in job:  # YAML 1.1, as Ansible reads it, takes `on` for true; for editors, with 1.2, it is a text
                job["on"] = job.pop(True)
    return document


@pytest.mark.parametrize("text", list(documents()))
def test_the_schema_takes_inventories(text: str) -> None:
    found = VALIDATOR.iter_errors(completed(yaml.safe_load(text)))
    assert [error.message for error in found] == []


def test_the_schema_takes_the_inventories_of_the_readme_as_they_are() -> None:
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```", (ROOT / "README.md").read_text(), re.S | re.M)
    whole = [yaml.safe_load(block) for block in blocks if "wsgi_app:" in block]
    assert len(whole) >= 2
    assert all(map(VALIDATOR.is_valid, whole))


@pytest.mark.parametrize(("before", "given", "one"), list(cases()))
def test_the_schema_takes_the_examples_of_the_records(
    before: dict[str, Any], given: dict[str, Any], one: Option
) -> None:
    del before, one
    assert VALIDATOR.is_valid({"flask_apps": app(**given)})


WRONG: list[dict[str, Any]] = [
    {"relase_command": "x"},
    {"workers": 3},
    {"python": 3.12},
    {"release_command_timeout": 0},
    {"release_command_hosts": "frist"},
    {"skip_checks": ["htps"]},
    {"extras": "pg"},
    {"extras": ["pg; rm"]},
    {"proxy_fix": "maybe"},
    {"domains": "shop.example.org"},
    {"environment": {"SECRET_KEY": "x"}},
    {"environment": {"MAIL_TLS": True}},
    {"environment": {"MAIL-TLS": "1"}},
    {"source": {"git": "x", "versoin": "v1"}},
    {"source": {"package": "shop>=1"}},
    {"server": {"worker_class": "gthred"}},
    {"server": {"provider": "unicorn"}},
    {"settings": {"a.py": "A = 1"}},
    {"settings": {"a.py": {"contents": "A = 1"}}},
    {"settings": {"../a.py": {"content": "A = 1"}}},
    {"settings": {"a.py": {"content": "A = 1", "file": "a.py"}}},
    {"server": {"provider": "waitress", "worker_class": "sync"}},
    {"server": {"provider": "uwsgi", "threads": 0}},
    {"proxy": {"client_max_body_size": "20 MB"}},
    {"proxy": {"paths": {"/admin": {"alow": []}}}},
    {"proxy": {"static": {"/static/": {"directory": "x", "expire": "1h"}}}},
    {"proxy": {"limit_req": "fast"}},
    {"certificate": {"challenge": "dns-1"}},
    {"backup": {"befor": []}},
    {"sandbox": {"MemoryDenyWriteExecut": False}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_the_schema_marks_what_the_model_refuses(wrong: dict[str, Any]) -> None:
    in_variables = {"flask_apps": app(**wrong)}
    with pytest.raises(model.ModelError):
        model.load(in_variables["flask_apps"])
    assert not VALIDATOR.is_valid(in_variables)
    assert not VALIDATOR.is_valid({"flask_hosts": {"vars": in_variables}})
    assert not VALIDATOR.is_valid({"all": {"children": {"flask_hosts": {"hosts": {"a": in_variables}}}}})


def test_the_schema_takes_expressions_and_wants_what_is_required() -> None:
    assert VALIDATOR.is_valid({"flask_apps": app(release_command_timeout="{{ limit }}", domains="{{ names }}")})
    for name in SMALLEST:
        assert not VALIDATOR.is_valid(
            {"flask_apps": {"shop": {key: value for key, value in SMALLEST.items() if key != name}}}
        )
