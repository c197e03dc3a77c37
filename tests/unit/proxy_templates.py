"""Renders the proxy role's templates with its own defaults and vars."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.groundwork.flask.plugins.plugin_utils import site_plan, sites

ROLE = Path(__file__).parents[2] / "roles/proxy"
SHOP = {"name": "shop", "journal": "shop", "domains": ["shop.example.org", "www.shop.example.org", "old.example.org"]}


@cache
def templar() -> Templar:
    """One for all tests: it keeps the templates that it has compiled, which takes longer than to render them."""
    loader = DataLoader()
    loader.set_basedir(str(ROLE / "templates"))  # where a template looks for the one it extends
    return Templar(loader=loader)


@cache
def role_variables() -> dict[str, Any]:
    """The defaults and vars of the role, which no test changes."""
    found: dict[str, Any] = {}
    for file in ("defaults/main.yml", "vars/main.yml"):
        found |= DataLoader().load_from_file(str(ROLE / file), trusted_as_template=True)
    return found


@cache
def source(template: str) -> str:
    """The text of a template."""
    return (ROLE / "templates" / template).read_text()


def render(template: str, item: dict[str, Any] | None = None, **given: Any) -> str:
    """The text of a template of the role; ``item`` is the site or the page it is for."""
    variables: dict[str, Any] = {"ansible_managed": "Ansible managed", "item": item}
    variables["ansible_facts"] = {"distribution_release": "trixie", "all_ipv6_addresses": ["2001:db8::1"]}
    variables |= role_variables()
    variables["__proxy_bare"] = []  # what a filter of the collection would make of no sites
    variables |= given
    templar().available_variables = variables
    return str(templar().template(trust_as_template(source(template))))


def resolved(*given: dict[str, Any]) -> list[dict[str, Any]]:
    """What the templates get of these sites."""
    found, problems = sites.load(list(given))
    assert problems == [], problems
    return site_plan.resolve(found)


def site(**keys: Any) -> str:
    return render("nginx/site.conf.j2", resolved(SHOP | keys)[0])


def virtual_host(**keys: Any) -> str:
    """The same for Apache."""
    given = resolved(SHOP | keys)
    return render("apache/site.conf.j2", given[0], __proxy_sites=given)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def variable(name: str, **given: Any) -> Any:
    """What a variable of the role comes to."""
    facts = {"distribution_release": "trixie"}
    templar().available_variables = {"ansible_facts": facts, **role_variables(), **given}
    return templar().template(trust_as_template("{{ " + name + " }}"))
