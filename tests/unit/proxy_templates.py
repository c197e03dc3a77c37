"""Renders the proxy role's templates with its own defaults and vars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.groundwork.flask.plugins.plugin_utils import site_plan, sites

ROLE = Path(__file__).parents[2] / "roles/proxy"
SHOP = {"name": "shop", "domains": ["shop.example.org", "www.shop.example.org", "old.example.org"]}


def render(template: str, item: dict[str, Any] | None = None, **given: Any) -> str:
    """The text of a template of the role; ``item`` is the site or the page it is for."""
    loader = DataLoader()
    loader.set_basedir(str(ROLE / "templates"))  # where a template looks for the one it extends
    variables: dict[str, Any] = {"ansible_managed": "Ansible managed", "item": item}
    variables["ansible_facts"] = {"distribution_release": "trixie", "all_ipv6_addresses": ["2001:db8::1"]}
    for file in ("defaults/main.yml", "vars/main.yml"):
        variables |= loader.load_from_file(str(ROLE / file), trusted_as_template=True)
    variables["__proxy_bare"] = []  # what a filter of the collection would make of no sites
    variables |= given
    text = (ROLE / "templates" / template).read_text()
    return str(Templar(loader=loader, variables=variables).template(trust_as_template(text)))


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
    loader = DataLoader()
    variables: dict[str, Any] = {"ansible_facts": {"distribution_release": "trixie"}}
    for file in ("defaults/main.yml", "vars/main.yml"):
        variables |= loader.load_from_file(str(ROLE / file), trusted_as_template=True)
    return Templar(loader=loader, variables=variables | given).template(trust_as_template("{{ " + name + " }}"))
