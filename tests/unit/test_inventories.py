"""The example inventories: of each plugin only options that it has, and what comes of a server there.

``inventory_plugins.json`` has the options that ``ansible-doc --type inventory --json`` names; each of the plugins has
read its file, too, with a stand-in for the API of its cloud (Azure's expressions alone).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import testing
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.groundwork.flask.plugins.plugin_utils import model

DIRECTORY = testing.ROOT / "inventories"
PAGE = (testing.ROOT / "docs" / "inventories.md").read_text()
PLUGINS = json.loads((Path(__file__).parent / "inventory_plugins.json").read_text())
# By cloud: the end of a file's name by which its plugin knows it, and a server as the plugin shows it to expressions.
CLOUDS: dict[str, tuple[str, dict[str, Any]]] = {
    "aws": (
        "aws_ec2.yml",
        {
            "aws_tags": {"Name": "www", "groundwork": "flask"},
            "aws_public_ip_address": "192.0.2.7",
            "aws_private_ip_address": "10.0.0.2",
        },
    ),
    "azure": (
        "azure_rm.yml",
        {
            "tags": {"groundwork": "flask"},
            "public_ipv4_addresses": ["192.0.2.7"],
            "private_ipv4_addresses": ["10.0.0.2"],
        },
    ),
    "digitalocean": (
        "digitalocean.yml",
        {
            "do_tags": ["groundwork"],
            "do_status": "active",
            "do_networks": {
                "v4": [{"ip_address": "10.0.0.2", "type": "private"}, {"ip_address": "192.0.2.7", "type": "public"}]
            },
        },
    ),
    "google": (
        "gcp_compute.yml",
        {
            "labels": {"groundwork": "flask"},
            "networkInterfaces": [{"networkIP": "10.0.0.2", "accessConfigs": [{"natIP": "192.0.2.7"}]}],
        },
    ),
    "hetzner": ("hcloud.yml", {}),  # its options say all of it
}
each_cloud = pytest.mark.parametrize("cloud", CLOUDS)


def source(cloud: str) -> dict[str, Any]:
    """The file that the plugin reads."""
    (path,) = (DIRECTORY / cloud).glob("*.yml")
    assert path.name.endswith(CLOUDS[cloud][0])
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


def value(expression: Any, variables: dict[str, Any]) -> Any:
    """What an expression comes to."""
    template = trust_as_template("{{ " + str(expression) + " }}")
    return Templar(loader=DataLoader(), variables=variables).template(template)


def test_there_is_one_for_each_cloud() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == {*CLOUDS, "example"}


@each_cloud
def test_each_option_is_one_of_its_plugin(cloud: str) -> None:
    given = source(cloud)
    known = PLUGINS[given["plugin"]]["options"].split()
    assert [option for option in given if option not in (*known, "plugin")] == []


@each_cloud
def test_a_server_is_in_the_group_and_has_an_address(cloud: str) -> None:
    given, variables = source(cloud), CLOUDS[cloud][1]
    if cloud == "hetzner":
        assert (given["group"], given["connect_with"]) == ("flask_hosts", "public_ipv4")
        return
    groups = given.get("groups") or given["conditional_groups"]
    assert value(groups["flask_hosts"], variables) is True
    composed = given.get("compose") or given["hostvar_expressions"]
    assert value(composed["ansible_host"], variables) == "192.0.2.7"
    conditions = [one for one in given.get("filters", []) if cloud == "digitalocean"]
    for condition in [*conditions, *given.get("include_host_filters", [])]:
        assert value(condition, variables) is True


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_a_server_without_a_public_address_has_its_private_one(cloud: str) -> None:
    variables = {key: of for key, of in CLOUDS[cloud][1].items() if key != "aws_public_ip_address"}
    if cloud == "azure":
        variables["public_ipv4_addresses"] = []
    given = source(cloud)
    composed = given.get("compose") or given["hostvar_expressions"]
    assert value(composed["ansible_host"], variables) == "10.0.0.2"


@each_cloud
def test_who_is_not_root_becomes_it_and_the_apps_are_sound(cloud: str) -> None:
    found = yaml.safe_load((DIRECTORY / cloud / "group_vars" / "flask_hosts.yml").read_text())
    assert (found["ansible_user"] == "root") != found.get("ansible_become", False)
    assert [app.name for app in model.load(found["flask_apps"])] == ["guestbook"]


@each_cloud
def test_the_page_names_it(cloud: str) -> None:
    assert f"inventories/{cloud}/{CLOUDS[cloud][0]}" in PAGE
    assert source(cloud)["plugin"] in PAGE
