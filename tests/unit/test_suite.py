"""The plan of script/test: which parts, on which Debian release, and what a change touches."""

from __future__ import annotations

import re
import time

import plan
import pytest
import run
import testing
import yaml

ROOT = testing.ROOT
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
FAMILY = {"site": "bookworm", "role": "trixie"}


def names(tasks: list[plan.Task]) -> list[str]:
    return [task.part.name for task in tasks]


class TestParts:
    """The table of parts fits the tree."""

    def test_each_scenario_is_a_part(self) -> None:
        assert sorted(part.name for part in plan.PARTS if part.family) == SCENARIOS

    @pytest.mark.parametrize("scenario", SCENARIOS)
    def test_each_scenario_has_a_budget_of_plays(self, scenario: str) -> None:
        budget = yaml.safe_load((ROOT / "molecule" / scenario / "budget.yml").read_text())
        assert set(budget) == {"plays", "full"}
        assert 0 <= budget["plays"] <= budget["full"]

    @pytest.mark.parametrize("scenario", SCENARIOS)
    def test_what_is_said_of_images_is_what_the_inventory_says(self, scenario: str) -> None:
        inventory = yaml.safe_load((ROOT / "molecule" / scenario / "inventory" / "hosts.yml").read_text())
        hosts = inventory["flask_hosts"]["hosts"].values()
        assert any(host.get("image") == "site" for host in hosts) is plan.BY_NAME[scenario].image

    def test_every_third_of_full_has_its_share(self) -> None:
        costs = [sum(part.full_cost for part in plan.PARTS if part.third == third) for third in (1, 2, 3)]
        assert all(part.third for part in plan.PARTS if part.full_cost)
        # Each fits 40 minutes on two cores.
        assert max(costs) < 40 * 60 * 2 * 0.9, costs


class TestSuites:
    """The Debian release of a run."""

    @pytest.mark.parametrize(
        ("commits", "chosen", "expected"),
        [
            (0, "", {"site": "bookworm", "role": "trixie"}),
            (1, "", {"site": "trixie", "role": "bookworm"}),
            (2, "", {"site": "bookworm", "role": "trixie"}),
            (1, "bookworm", {"site": "bookworm", "role": "bookworm"}),
            (1, "noble", {"site": "noble", "role": "noble"}),
        ],
    )
    def test_it_follows_the_parity_or_the_choice(self, commits: int, chosen: str, expected: dict[str, str]) -> None:
        assert plan.suites(commits, chosen) == expected

    def test_another_release_is_refused(self) -> None:
        with pytest.raises(plan.PlanError, match="SUITE is 'sid', and there are: bookworm trixie noble resolute"):
            plan.suites(0, "sid")

    def test_the_default_suite_takes_one_and_the_scenario_default_both(self) -> None:
        hosts = {task.part.name: task.environment.get("TEST_HOSTS") for task in plan.default_suite([], FAMILY)}
        assert (hosts["proxy"], hosts["deploy"], hosts["default"]) == ("-trixie$", "-bookworm$", "")

    @pytest.mark.parametrize(("suite", "debian"), [("noble", "bookworm"), ("resolute", "trixie")])
    def test_an_ubuntu_release_takes_the_place_of_a_debian_release(self, suite: str, debian: str) -> None:
        tasks = {task.part.name: task.environment for task in plan.default_suite([], plan.suites(0, suite))}
        taken = {
            "TEST_SUITE": debian,
            "TEST_HOSTS": f"-{debian}$",
            "TEST_FULL": "",
            "TEST_INSTEAD": f"{debian}={suite}",
        }
        assert (tasks["default"], tasks["proxy"], tasks["lint"]) == (taken, taken, {})

    def test_the_scenario_default_comes_first(self) -> None:
        for tasks in (plan.default_suite([], FAMILY), plan.full_suite("", [])):
            assert names(tasks)[0] == "default"

    def test_what_full_alone_has_runs_where_it_is_named(self) -> None:
        assert "scan" not in names(plan.default_suite([], FAMILY))
        assert names(plan.default_suite(["scan"], FAMILY)) == ["scan"]

    def test_an_unknown_part_is_refused(self) -> None:
        with pytest.raises(plan.PlanError, match="there is no part 'proxi'; there are: lint types"):
            plan.default_suite(["proxi"], FAMILY)


class TestFull:
    """The full suite and its thirds."""

    def test_three_commits_in_a_row_run_all_of_it(self) -> None:
        thirds = [names(plan.full_suite(f"{plan.third_of(commits)}/3", [])) for commits in (7, 8, 9)]
        assert sorted(name for third in thirds for name in third) == sorted(names(plan.full_suite("", [])))

    def test_it_has_every_scenario_on_all_hosts(self) -> None:
        tasks = [task for task in plan.full_suite("", []) if task.part.family]
        assert sorted(names(tasks)) == SCENARIOS
        assert all(task.environment == {"TEST_SUITE": "", "TEST_HOSTS": "", "TEST_FULL": "1"} for task in tasks)

    def test_another_share_is_refused(self) -> None:
        with pytest.raises(plan.PlanError, match="there is no '4/3' of the full suite; there are: 1/3 2/3 3/3"):
            plan.full_suite("4/3", [])


class TestChanged:
    """What a change touches."""

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("roles/firewall/tasks/main.yml", ["unit:test_firewall", "unit:test_roles", "firewall"]),
            ("roles/proxy/templates/nginx/site.conf.j2", ["unit:test_proxy", "proxy"]),
            ("roles/proxy/templates/apache/site.conf.j2", ["unit:test_proxy", "proxy_apache"]),
            ("plugins/plugin_utils/model.py", ["unit"]),
            ("plugins/module_utils/release/source.py", ["unit:test_release", "release:test_sources"]),
            ("plugins/module_utils/release/build.py",
             ["unit:test_release", "release:test_requirements", "release:test_sources"]),
            ("molecule/release/tests/test_checks.py", ["release:test_checks"]),
            ("plugins/module_utils/backup/stage.py", ["unit:test_backup", "unit:test_trust", "backup"]),
            ("molecule/backup/prepare.yml", ["backup"]),
            ("tests/unit/test_model.py", ["unit:test_model"]),
            ("playbooks/maintenance.yml", ["proxy:test_maintenance"]),
            ("LICENSE", []),
        ],
    )  # fmt: skip
    def test_a_file_touches(self, path: str, expected: list[str]) -> None:
        assert plan.touched(path) == expected

    def test_a_whole_part_takes_precedence_over_some_of_its_tests(self) -> None:
        tasks = plan.changed_suite(["molecule/release/tests/test_checks.py", "molecule/release/prepare.yml"], FAMILY)
        assert {task.part.name: task.arguments for task in tasks}["release"] == ()

    def test_some_tests_of_a_part_are_enough(self) -> None:
        tasks = plan.changed_suite(["plugins/module_utils/release/source.py"], FAMILY)
        assert {task.part.name: task.arguments for task in tasks} == {
            "lint": ("plugins/module_utils/release/source.py",),
            "types": (),
            "unit": ("test_release",),
            "release": ("test_sources",),
        }
        assert "other tests of release" in plan.left_out(tasks)
        assert "proxy" in plan.left_out(tasks)

    def test_nothing_changed_runs_nothing(self) -> None:
        assert plan.changed_suite([], FAMILY) == []

    def test_each_rule_names_parts_and_tests_that_exist(self) -> None:
        tests = {path.stem for path in ROOT.glob("molecule/*/tests/test_*.py")}
        units = [path.stem for path in ROOT.glob("tests/unit/test_*.py")]
        named = {name for _pattern, rule in plan.RULES for name in rule if "{" not in name and "<" not in name}
        named |= {f"release:{test}" for found in plan.RELEASE_TESTS.values() for test in found}
        for part, _colon, test in (name.partition(":") for name in named):
            assert part in plan.BY_NAME
            known = any(unit.startswith(test) for unit in units) if part == "unit" else test in tests
            assert known or test in ("", "examples", "playbook"), test

    def test_each_file_of_the_engine_has_its_tests(self) -> None:
        files = {path.stem for path in ROOT.glob("plugins/module_utils/release/*.py")} - {"__init__"}
        assert files == set(plan.RELEASE_TESTS)


class TestExcerpt:
    """What is shown of a part that failed."""

    def test_the_failures_of_pytest(self) -> None:
        log = "TASK [Long]\n" * 500 + "==== FAILURES ====\nassert 1 == 2\n=== short test summary info ===\nFAILED x\n"
        assert run.excerpt(log) == log.splitlines()[500:]

    def test_the_failed_task(self) -> None:
        log = "TASK [Fine]\nok: [a]\n\nTASK [Broken]\nfatal: [a]: FAILED! =>\n    msg: no\n"
        assert run.excerpt(log) == ["TASK [Broken]", "fatal: [a]: FAILED! =>", "    msg: no"]

    def test_the_end_of_anything_else(self) -> None:
        assert run.excerpt("\n".join(map(str, range(100)))) == list(map(str, range(60, 100)))

    def test_it_is_bounded(self) -> None:
        lines = run.excerpt("==== ERRORS ====\n" + "x\n" * 1000 + "the summary")
        assert len(lines) <= run.LONGEST + 1
        assert lines[-1] == "the summary"


def test_the_summary_counts_and_names_what_was_costly() -> None:
    outcomes = [run.Outcome("lint", run.PASSED, 10, 12), run.Outcome("proxy", run.FAILED, 20, 30)]
    records = [{"kind": "play", "core_seconds": float(cost), "host": "h", "name": f"p{cost}"} for cost in range(9)]
    lines = run.summary([*outcomes, run.Outcome("scan", run.LEFT_OUT)], records)
    assert lines[-1] == "1 passed, 1 failed"
    assert any(re.search(r"42 core-s in all", line) for line in lines)
    assert [line.split()[-1] for line in lines if "core-s  h:" in line] == ["p8", "p7", "p6", "p5", "p4"]
    assert "Left out, for the time was up: scan." in lines


def test_what_is_left_out_for_time_has_no_tests_that_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the same part has passed before, in the default suite."""
    monkeypatch.setattr(run, "needs_to_be_alone", lambda _task: True)
    suite = run.Lanes(1, lambda _line: None, deadline=time.monotonic() - 1)
    suite.outcomes.append(run.Outcome("servers", run.PASSED))
    outcomes = suite.run([plan.Task(plan.BY_NAME["servers"])])
    assert [(one.name, one.result) for one in outcomes] == [("servers", run.LEFT_OUT)]


@pytest.mark.parametrize("full", [False, True])
def test_tests_that_run_alone_count_where_the_suite_has_them(full: bool) -> None:
    environment = {"TEST_FULL": "1" if full else ""}
    alone = [part.name for part in plan.PARTS if run.needs_to_be_alone(plan.Task(part, environment))]
    assert alone == ["servers", "deploy", *(["services"] if full else [])]
