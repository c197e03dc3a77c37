"""What the variables of the role host may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.groundwork.flask.plugins.filter.host_problems import host_problems
from ansible_collections.groundwork.flask.plugins.plugin_utils import host_settings

ROLE = Path(__file__).parents[2] / "roles" / "host"
DEFAULTS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host_skip_parts", list(host_settings.PARTS)),
        ("host_reboot_time", ""),
        ("host_reboot_time", "23:59"),
        ("host_journal_max", "2G"),
        ("host_swap_mb", 0),
        ("host_swap_mb", "1024"),
        (
            "host_sysctl",
            {"net.core.somaxconn": 8192, "net/ipv4/conf/eth0.5/rp_filter": None, "net.ipv4.tcp_rmem": "1 2 3"},
        ),
        ("host_login_defs", {"UMASK": "027", "PASS_MAX_DAYS": 365}),
        ("host_disabled_modules", ["sctp", "firewire-ohci", "usb_storage"]),
        ("host_disabled_modules", []),
        ("host_issue", ""),
        *((name, value) for name, value in DEFAULTS.items() if "{{" not in str(value)),
    ],
)
def test_what_is_right(name: str, value: Any) -> None:
    assert host_problems({name: value}) == []


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("host_skip_parts", ["sysctl", "swapp"], "names 'swapp', which is no part: did you mean swap?"),
        ("host_skip_parts", "swap", "is 'swap': it takes a list, such as [swap, logins]."),
        ("host_reboot_time", "4am", "is '4am': it takes a time of the day in quotes, such as \"04:00\""),
        ("host_reboot_time", "24:00", "is '24:00'"),
        ("host_reboot_time", 240, "is 240"),  # what YAML makes of 04:00
        ("host_journal_max", "500", "is '500': it takes a size such as 500M or 2G."),
        ("host_journal_max", "10%\nStorage=none", "it takes a size"),
        ("host_swap_mb", -1, "is -1: it takes a number of MB up to 65536"),
        ("host_swap_mb", "1G", "is '1G'"),
        ("host_sysctl", ["net.core.somaxconn"], "it takes a map"),
        ("host_sysctl", {"somaxconn": 1}, "has the key 'somaxconn', which is no kernel parameter"),
        ("host_sysctl", {"../../etc/passwd": 1}, "is no kernel parameter"),
        ("host_sysctl", {"net.core.somaxconn": "1\nkernel.panic = 1"}, "a text of one line"),
        ("host_sysctl", {"net.core.somaxconn": True}, "has True for net.core.somaxconn"),
        ("host_login_defs", {"umask": "027"}, "has umask: '027'"),
        ("host_login_defs", {"USERGROUPS_ENAB": False}, "put yes and no in quotes"),
        ("host_login_defs", {"UMASK": "027 022"}, "with one word each"),
        ("host_issue", "host \\n", "without a backslash"),
        ("host_disabled_modules", "sctp", "is 'sctp': it takes a list"),
        (
            "host_disabled_modules",
            ["a\ninstall ext4 /bin/false"],
            "which is no kernel module: write it as firewire-ohci.",
        ),
        ("host_issue", None, "takes ASCII text"),
    ],
)
def test_what_is_refused_before_anything_is_changed(name: str, value: Any, text: str) -> None:
    (problem,) = host_problems({name: value})
    assert problem.startswith(name)
    assert text in problem
    assert problem.endswith("Nothing was changed.")


def test_parts_are_stated_once_more_where_ansible_documents_them() -> None:
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert tuple(options["host_skip_parts"]["choices"]) == host_settings.PARTS
    assert set(host_settings.JUDGES) <= set(options)


def test_a_module_that_is_loaded_is_not_disabled() -> None:
    template = (ROLE / "templates" / "modules.conf.j2").read_text().replace(" | comment", "")
    text = jinja2.Template(template, trim_blocks=True).render(
        ansible_managed="# made",
        host_disabled_modules=["sctp", "firewire-ohci"],
        __host_machine={"modules": ["ext4", "firewire_ohci"]},
    )
    assert [line for line in text.splitlines() if line[:1] != "#"] == ["install sctp /bin/false"]
    assert "# loaded when the role ran, and left as it is: firewire-ohci" in text
