"""Schedules of jobs on the controller, and which host runs the jobs that one host runs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import (
    first_host,
    host_checks,
    model,
    role_inputs,
    schedules,
)
from ansible_collections.groundwork.flask.tests.unit.flask_app import app as flask_app


@pytest.mark.parametrize(
    ("cron", "calendar"),
    [
        ("0 3 * * *", "*-*-* 03:00"),
        ("*/15 * * * *", "*:0/15"),
        ("5 * * * *", "*:05"),
        ("0 */2 * * *", "*-*-* 0/2:00"),
        ("30 6 * * 1-5", "Mon..Fri 06:30"),
        ("0 4 * * sun", "Sun 04:00"),
        ("0 4 * * 0,6", "Sun,Sat 04:00"),
        ("15 2 1 * *", "*-*-01 02:15"),
        ("15 2 1 1,7 *", "*-01,07-01 02:15"),
        ("0 8-18/2 * * *", "*-*-* 08..18/2:00"),
        ("0 3 * * 0-6", "*-*-* 03:00"),
        ("@daily", "daily"),
        ("@midnight", "daily"),
    ],
)
def test_what_cron_has_is_shown_as_systemd_has_it(cron: str, calendar: str) -> None:
    assert schedules.of_cron(cron) == calendar
    assert schedules.problem(cron) == f"is a schedule of cron: write it as systemd's OnCalendar= has it, `{calendar}`"


@pytest.mark.parametrize("cron", ["0 3 1 * 1", "0 3 * jan *", "0 3 * * 0-4", "@reboot"])
def test_what_is_rare_is_told_apart_all_the_same(cron: str) -> None:
    assert schedules.of_cron(cron) == ""
    assert "is a schedule of cron: write it as systemd's OnCalendar= has it, `*-*-* 03:00`" in schedules.problem(cron)


@pytest.mark.parametrize("schedule", ["daily", "*-*-* 03:00", "Mon..Fri 06:30", "*:0/15", "2030-01-01 Europe/Berlin"])
def test_systemd_judges_the_rest(schedule: str) -> None:
    assert schedules.problem(schedule) == ""


@pytest.mark.parametrize("schedule", ["daily\nExecStart=x", "%n", " daily", "every day; reboot"])
def test_what_is_no_schedule_at_all(schedule: str) -> None:
    assert schedules.problem(schedule) == schedules.REMEDY


JOB = {"command": "flask report", "schedule": "*-*-* 03:00"}


def test_the_model_names_app_job_value_and_remedy() -> None:
    with pytest.raises(model.ModelError) as refused:
        model.load(flask_app(jobs={"nightly": {**JOB, "schedule": "0 3 * * *"}}))
    assert refused.value.problems == [
        "flask_apps.shop.jobs.nightly.schedule: '0 3 * * *' is a schedule of cron: write it as systemd's OnCalendar= "
        "has it, `*-*-* 03:00`"
    ]


def test_yaml_reads_the_key_on_as_a_truth_value() -> None:
    (app,) = model.load(flask_app(jobs={"nightly": {**JOB, True: "each"}}))
    assert app.jobs["nightly"]["on"] == "each"


def test_a_schedule_that_the_host_refuses_is_named() -> None:
    apps = model.load(flask_app(jobs={"nightly": JOB, "other": {**JOB, "schedule": "daily at 3"}}))
    assert role_inputs.schedules(apps) == ["*-*-* 03:00", "daily at 3"]
    assert host_checks.schedule_problems(apps, {}) == []
    assert host_checks.schedule_problems(apps, {"daily at 3": "is no schedule: write it otherwise"}) == [
        "flask_apps.shop.jobs.other.schedule: 'daily at 3' is no schedule: write it otherwise"
    ]


def variables(host: str, **changes: Any) -> dict[str, Any]:
    """What the action plugin sees: the inventory has a, b and c, of which b and c have the app."""
    shop: dict[str, Any] = {"flask_apps": {"shop": {}}}
    wiki: dict[str, Any] = {"flask_apps": {"wiki": {}}}
    hostvars: dict[str, Any] = {"a": wiki, "b": shop, "c": shop}
    return {
        "inventory_hostname": host, "groups": {"flask_hosts": ["a", "b", "c"], "web": ["c", "b"]},
        "ansible_play_hosts_all": [host], "hostvars": hostvars, **changes,
    }  # fmt: skip


def test_the_first_host_of_the_inventory_that_has_the_app_runs_its_jobs_be_the_play_limited_or_not() -> None:
    assert [first_host.runs_jobs("shop", variables(host)) for host in "bc"] == [True, False]
    assert first_host.runs_jobs("wiki", variables("a"))
    assert [first_host.runs_jobs("shop", variables(host, flask_hosts_group="web")) for host in "bc"] == [False, True]


def test_a_host_without_flask_apps_is_alone() -> None:
    assert first_host.runs_jobs("shop", {"inventory_hostname": "x", "ansible_play_hosts_all": ["x", "y"]})
    assert first_host.runs_jobs("shop", variables("c", hostvars={}))
