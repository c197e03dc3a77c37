"""The one table of paths and accounts on a host, and that no other file states one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.filter import on_host as plugin
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import (
    OF_AN_APP,
    OF_THE_HOST,
    on_host,
    path,
)


def test_what_is_an_apps_and_what_is_the_hosts() -> None:
    assert on_host("data", "shop") == "/var/lib/shop"
    assert on_host("state") == "/var/lib/groundwork"
    assert path("data", "shop", Path("/tmp/root")) == Path("/tmp/root/var/lib/shop")
    assert plugin.on_host("socket", "shop") == "/srv/shop/current/app.sock"


@pytest.mark.parametrize(
    ("name", "app", "refusal"),
    [
        ("data", "", "'data' is not known of a host; known are acme_webroot, "),
        ("state", "shop", "'state' is not known of an app; known are cache, certificate, current, data, "),
        ("nowhere", "", "'nowhere' is not known of a host"),
    ],
)
def test_a_name_that_is_in_no_table(name: str, app: str, refusal: str) -> None:
    with pytest.raises(AnsibleFilterError, match=refusal):
        plugin.on_host(name, app)


def test_the_documentation_names_all_of_them() -> None:
    described = yaml.safe_load(plugin.DOCUMENTATION)["options"]["_input"]["description"]
    assert [name for name in (*OF_AN_APP, *OF_THE_HOST) if f"V({name})" not in described] == []
