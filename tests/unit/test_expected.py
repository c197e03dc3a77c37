"""What is expected of a host, made from its inventory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.filter.verify_expected import verify_expected
from ansible_collections.groundwork.flask.plugins.plugin_utils.host_settings import PARTS

ROOT = Path(__file__).parents[2]
SHOP: dict[str, Any] = {
    "source": {"git": "https://example.org/shop.git", "version": "v1"},
    "wsgi_app": "shop:app",
    "domains": ["shop.example.org", "www.shop.example.org"],
    "health_path": "/healthz",
    "processes": {"worker": {"command": "rq worker", "count": 2}},
    "jobs": {"nightly": {"command": "flask report", "schedule": "*-*-* 03:00"}},
    "database": {"provider": "postgresql"},
    "redis": {"purpose": "both"},
    "server": {"workers": 5},
    "sandbox": {"MemoryDenyWriteExecute": False},
}
BLOG: dict[str, Any] = {
    "source": {"git": "https://example.org/blog.git", "version": "v1"},
    "wsgi_app": "blog:app",
    "domains": SHOP["domains"],
    "proxy": {"prefix": "/blog", "headers": {"Strict-Transport-Security": ""}},
    "certificate": {"provider": "self_signed"},
}


def test_each_app() -> None:
    expected = verify_expected({"shop": SHOP}, backup_sets=[{"name": "other"}])
    assert expected["apps"]["shop"] == {
        "domains": ["shop.example.org", "www.shop.example.org"],
        "processes": {"worker": 2},
        "jobs": ["nightly"],
        "workers": 5,
        "database": "postgresql",
        "redis": ["queue", "cache"],
        "sandbox": {"MemoryDenyWriteExecute": "no"},
        "certificate": "acme",
        "backup": False,
        "public": {"path": "/healthz", "hsts": True, "owner": "shop"},
    }
    assert verify_expected({"shop": SHOP})["apps"]["shop"]["backup"] is True


def test_an_app_below_a_prefix_of_another_s_domains() -> None:
    expected = verify_expected({"shop": SHOP, "blog": {key: BLOG[key] for key in BLOG if key != "certificate"}})
    assert expected["apps"]["blog"]["public"] == {"path": "/blog/", "hsts": False, "owner": "shop"}


def test_the_host() -> None:
    firewall = {
        "enabled": True,
        "ssh_ports": [2222],
        "services": [
            {"port": 80, "from": "192.0.2.0/24"},
            {"port": "5000-5009", "protocol": "udp", "from": ["192.0.2.7"]},
        ],
    }
    expected = verify_expected({}, proxy="apache", firewall=firewall, skipped_parts=["sshd"], backup_hours=48)
    assert expected["proxy"] == "apache"
    assert expected["firewall"] == {
        "enabled": True,
        "ports": [
            {"port": "2222", "protocol": "tcp", "from": []},
            {"port": "80", "protocol": "tcp", "from": ["192.0.2.0/24"]},
            {"port": "5000-5009", "protocol": "udp", "from": ["192.0.2.7"]},
        ],
    }
    assert expected["host_parts"] == [part for part in PARTS if part != "sshd"]
    assert expected["backup"] == {"hours": 48, "drill_days": 9}


def test_the_parts_are_those_of_the_role_host() -> None:
    variables = yaml.safe_load((ROOT / "roles/host/vars/main.yml").read_text())
    assert set(variables["__host_parts"]) == set(PARTS)


def test_a_mistake_in_flask_apps_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match=r"flask_apps\.shop\.sorce is not an option"):
        verify_expected({"shop": {**SHOP, "sorce": {}}})
