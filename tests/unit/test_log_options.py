"""The option ``logs``: what is refused, what the roles get of it, and the limits that journald reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.groundwork.flask.plugins.plugin_utils import host_checks, model, role_inputs
from ansible_collections.groundwork.flask.plugins.plugin_utils.schema import App
from ansible_collections.groundwork.flask.tests.unit.flask_app import SMALLEST, app, problems

TEMPLATE = Path(__file__).parents[2] / "roles/wsgi_server/templates/journald@app.conf.j2"
REFUSALS = [
    ({"max_use": "200 MB"}, "flask_apps.shop.logs.max_use: '200 MB' is not a size: write it in M or G, as 200M"),
    ({"max_use": "8M"}, "flask_apps.shop.logs.max_use: '8M' is too little for a journal: take 16M or more"),
    (
        {"retention": "for ever"},
        "flask_apps.shop.logs.retention: 'for ever' is not a time: write it as 90day, 12h or 6month; 0 keeps all that "
        "fits",
    ),
    ({"rate_limit": -1}, "flask_apps.shop.logs.rate_limit: -1 is out of range: take 0 to 100000000"),
    ({"levels": "no"}, "flask_apps.shop.logs.levels: 'no' is not true or false"),
    (
        {"readers": ["ada lovelace"]},
        "flask_apps.shop.logs.readers: 'ada lovelace' cannot be used: write login names, as ada",
    ),
    ({"readers": ["root"]}, "flask_apps.shop.logs.readers: 'root' reads every journal already: take it out"),
    (
        {"readers": ["blog"]},
        "flask_apps.shop.logs.readers: 'blog' is the account of an app, and whoever breaks into that app would read "
        "this journal: name accounts of people, or feed it to a program by `ship`",
    ),
    ({"reader": ["ada"]}, "flask_apps.shop.logs.reader is not an option: did you mean readers?"),
]


@pytest.mark.parametrize(("logs", "message"), REFUSALS)
def test_refusals(logs: dict[str, Any], message: str) -> None:
    blog = {**SMALLEST, "domains": ["blog.example.org"]}
    assert problems({**app(logs=logs), "blog": blog}) == [message]


def loaded(**logs: Any) -> App:
    (record,) = model.load(app(logs=logs))
    return record


def test_a_journal_has_the_roles_limits_where_the_app_names_none() -> None:
    assert role_inputs.units_and_journal(loaded())["journal"] == {}
    given = {"max_use": "1G", "retention": "0", "rate_limit": 0}
    assert role_inputs.units_and_journal(loaded(**given))["journal"] == given


def test_limits_of_the_journal_make_no_other_release() -> None:
    given = {"max_use": "1G", "retention": "0", "rate_limit": 0, "readers": ["ada"]}
    assert role_inputs.releases(loaded(**given)) == role_inputs.releases(loaded())
    assert role_inputs.releases(loaded(levels=False)) != role_inputs.releases(loaded())


def limits(**item: Any) -> dict[str, str]:
    """What journald reads."""
    variables = {
        "ansible_managed": "Ansible managed",
        "wsgi_server_journal_max_use": "200M",
        "wsgi_server_journal_retention": "90day",
        "item": {"name": "shop", **item},
    }
    rendered = Templar(loader=DataLoader(), variables=variables).template(trust_as_template(TEMPLATE.read_text()))
    return dict(line.split("=", 1) for line in str(rendered).splitlines() if "=" in line)


def test_the_limits_that_journald_reads() -> None:
    default = {
        "Storage": "persistent",
        "SystemMaxUse": "200M",
        "SystemMaxFileSize": "16M",
        "MaxRetentionSec": "90day",
        "RateLimitIntervalSec": "30s",
        "RateLimitBurst": "20000",
    }
    assert limits() == default == limits(journal={})
    own = {"SystemMaxUse": "16M", "MaxRetentionSec": "100year", "RateLimitBurst": "0"}
    assert limits(journal={"max_use": "16M", "retention": "0", "rate_limit": 0}) == default | own | {
        "SystemMaxFileSize": "2M"
    }


def test_a_reader_without_an_account_is_refused_before_anything_is_changed() -> None:
    (record,) = model.load(app(logs={"readers": ["ada", "bob"]}))
    assert role_inputs.log_readers([record]) == ["ada", "bob"]
    assert host_checks.reader_problems([record], ["bob", "carol"]) == [
        "flask_apps.shop.logs.readers: 'bob' has no account on this host: create it, as by `host_admins`, or take the "
        "name out"
    ]
