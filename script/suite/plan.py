"""What a run of script/test is made of: the parts, on which Debian release each runs, in which order, and why.

Nothing here starts anything; tests/unit/test_suite.py tests all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

SUITES = ("bookworm", "trixie")
# An Ubuntu release takes the place of the Debian release whose code paths it takes; only where it is chosen.
UBUNTU = {"noble": "bookworm", "resolute": "trixie"}
THIRDS = 3
CI_MINUTES = 75  # what continuous integration may take; a third of the full suite ends before


class PlanError(Exception):
    """What was asked for cannot be; the message says what can."""


@dataclass(frozen=True)
class Part:
    """One part of the suite.

    :param cost: core-seconds in the default suite, roughly: the most costly begin first. 0 if it has none there.
    :param full_cost: the same in `script/test full`, 0 if that adds nothing to the default suite.
    :param third: which third of `full` it belongs to, from 1.
    :param family: for a scenario, `site` or `role`: a run takes one Debian release for each of the two. `both`: every
        run takes both releases. Empty for what is no scenario.
    :param image: its hosts start from the image that the scenario default keeps.
    """

    name: str
    cost: int
    full_cost: int
    third: int
    family: str = ""
    image: bool = False


PARTS = (
    Part("lint", 60, 0, 0),
    Part("types", 15, 0, 0),
    Part("unit", 120, 0, 0),
    Part("sanity", 65, 0, 0),
    Part("build", 15, 0, 0),
    Part("galaxy", 0, 40, 3),
    Part("benchmark", 0, 300, 3),
    Part("browser", 0, 30, 3),
    Part("default", 285, 500, 1, "both"),
    Part("servers", 160, 1640, 2, "site", image=True),
    Part("deploy", 120, 270, 3, "site", image=True),
    Part("services", 355, 1020, 2, "site"),
    Part("attack", 115, 250, 1, "site", image=True),
    Part("scan", 0, 320, 1, "site", image=True),
    Part("release", 330, 480, 3, "role"),
    Part("proxy", 90, 175, 1, "role"),
    Part("proxy_apache", 105, 285, 1, "role"),
    Part("certificate", 70, 185, 1, "role"),
    Part("backup", 120, 160, 3, "role"),
    Part("watch", 40, 150, 2, "site", image=True),
    Part("firewall", 50, 230, 3, "role"),
    Part("host", 40, 120, 3, "role"),
    Part("unit_set", 20, 50, 3, "role"),
    Part("file_set", 13, 40, 3, "role"),
    Part("service_user", 25, 60, 3, "role"),
    Part("wsgi_server", 14, 40, 3, "role"),
)
BY_NAME = {part.name: part for part in PARTS}


@dataclass(frozen=True)
class Task:
    """A part as this run runs it.

    :param environment: variables for its processes; molecule/conftest.py and script/test-host say what each means.
    :param arguments: what the part is confined to: files to check, or names of tests.
    """

    part: Part
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def suites(commits: int, chosen: str = "") -> dict[str, str]:
    """Return the release of each family: by the parity of the number of commits, or the chosen one for both."""
    if chosen and chosen not in (*SUITES, *UBUNTU):
        raise PlanError(f"SUITE is {chosen!r}, and there are: {' '.join((*SUITES, *UBUNTU))}")
    site = commits % 2
    return {"site": chosen or SUITES[site], "role": chosen or SUITES[1 - site]}


def third_of(commits: int) -> int:
    """Return which third of `full` continuous integration runs: three commits in a row run all of it."""
    return commits % THIRDS + 1


def ordered(parts: Iterable[Part], full: bool) -> list[Part]:
    """The most costly first, so that none of them is what everything waits for at the end; default before all others.

    Some start from the image that it keeps.
    """
    return sorted(parts, key=lambda part: (part.name != "default", -(part.full_cost if full else part.cost)))


def default_suite(names: Sequence[str], family: Mapping[str, str]) -> list[Task]:
    """The default suite, or the named parts of it; a part that only `full` has runs when it is named."""
    parts = [part for part in PARTS if part.cost] if not names else chosen(names)
    return [Task(part, one_suite(part, family)) for part in ordered(parts, full=False)]


def one_suite(part: Part, family: Mapping[str, str]) -> dict[str, str]:
    """The environment of a part of the default suite: one release where that is enough."""
    if not part.family:
        return {}
    suite = family.get(part.family, family["site"])
    if debian := UBUNTU.get(suite):
        # Its hosts have the names of Debian's, so that inventories, marks and tests hold for them too.
        return {"TEST_SUITE": debian, "TEST_HOSTS": f"-{debian}$", "TEST_FULL": "", "TEST_INSTEAD": f"{debian}={suite}"}
    return {"TEST_SUITE": suite, "TEST_HOSTS": "" if part.family == "both" else f"-{suite}$", "TEST_FULL": ""}


def full_suite(which: str, names: Sequence[str]) -> list[Task]:
    """The full suite, a third of it (`which` is "1/3" to "3/3"), or the named parts of it."""
    parts = chosen(names) if names else [part for part in PARTS if part.full_cost]
    if which:
        found = re.fullmatch(rf"([1-{THIRDS}])/{THIRDS}", which)
        if not found:
            raise PlanError(f"there is no {which!r} of the full suite; there are: 1/3 2/3 3/3")
        parts = [part for part in parts if part.third == int(found[1])]
    everything = {"TEST_SUITE": "", "TEST_HOSTS": "", "TEST_FULL": "1"}
    return [Task(part, everything if part.family else {}) for part in ordered(parts, full=True)]


def chosen(names: Sequence[str]) -> list[Part]:
    """The parts with these names, each once; `molecule` stands for all scenarios of the default suite."""
    found: dict[str, Part] = {}
    for name in names:
        if name == "molecule":
            found |= {part.name: part for part in PARTS if part.family and part.cost}
        elif name in BY_NAME:
            found[name] = BY_NAME[name]
        else:
            raise PlanError(f"there is no part {name!r}; there are: {' '.join(BY_NAME)} molecule full changed ci")
    return list(found.values())


# --- what a change touches ----------------------------------------

# Which tests of the scenario release are about a file of the engine.
RELEASE_TESTS = {
    "answers": ("test_watch",),
    "app_command": ("test_day_two",),
    "app_steps": ("test_checks", "test_release"),
    "apt_packages": ("test_requirements",),
    "build": ("test_requirements", "test_sources"),
    "build_command": ("test_requirements",),
    "checks": ("test_checks",),
    "cleanup": ("test_accidents", "test_release"),
    "command": ("test_day_two",),
    "context": ("test_release",),
    "database_url": ("test_release",),
    "databases": ("test_databases",),
    "deploy": ("test_accidents", "test_databases", "test_release"),
    "deploy_log": ("test_day_two",),
    "engine": ("test_accidents", "test_databases", "test_release"),
    "environment": ("test_release",),
    "error_tracking": ("test_requirements",),
    "errors": ("test_release",),
    "exchange": ("test_databases",),
    "git_access": ("test_sources",),
    "git_dependencies": ("test_sources",),
    "held": ("test_day_two",),
    "hints": ("test_checks",),
    "history": ("test_requirements", "test_sources"),
    "hold": ("test_exclusive",),
    "host_warnings": ("test_day_two",),
    "identity": ("test_release",),
    "import_watch": ("test_checks", "test_release"),
    "installer": ("test_requirements",),
    "job_files": ("test_release",),
    "job_runs": ("test_release",),
    "job_units": ("test_release",),
    "jobs": ("test_release",),
    "jobs_command": ("test_day_two",),
    "large_files": ("test_sources",),
    "layout": ("test_accidents", "test_release"),
    "ledger": ("test_databases", "test_day_two"),
    "locks": ("test_requirements",),
    "log_lines": ("test_day_two",),
    "logs_choice": ("test_day_two",),
    "logs_command": ("test_day_two",),
    "modes": ("test_release",),
    "own_code": ("test_requirements",),
    "pause": ("test_exclusive",),
    "pins": ("test_requirements",),
    "probe": ("test_checks",),
    "process_command": ("test_day_two",),
    "process_kinds": ("test_release",),
    "process_units": ("test_release",),
    "python": ("test_requirements",),
    "recipes": ("test_requirements",),
    "refusal": ("test_background", "test_release"),
    "release_command": ("test_databases",),
    "release_directory": ("test_release", "test_sources"),
    "removal": ("test_day_two", "test_release"),
    "requirements": ("test_requirements",),
    "restart": ("test_day_two",),
    "result": ("test_release",),
    "rollback": ("test_databases", "test_day_two"),
    "sandbox": ("test_release", "test_sources"),
    "schedules": ("test_release",),
    "secret_key": ("test_release",),
    "services": ("test_release",),
    "setting_files": ("test_first_run",),
    "settings": ("test_release",),
    "setup_command": ("test_first_run",),
    "side_by_side": ("test_background",),
    "socket_queue": ("test_accidents", "test_exclusive"),
    "source": ("test_sources",),
    "source_git": ("test_sources",),
    "spec": ("test_release",),
    "standstill": ("test_day_two", "test_databases"),
    "steps": ("test_accidents", "test_sources"),
    "subdirectory": ("test_sources",),
    "supervisor": ("test_accidents", "test_background", "test_checks", "test_release"),
    "switch": ("test_accidents", "test_release"),
    "system": ("test_accidents", "test_sources"),
    "units": ("test_accidents", "test_release"),
    "unix_http": ("test_checks",),
    "unpack": ("test_sources",),
    "watch": ("test_watch",),
    "watcher": ("test_watch",),
    "work": ("test_accidents", "test_background", "test_day_two"),
}
# By the first expression that fits the path: the parts, and for unit tests and scenarios which of their tests.
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"molecule/proxy/tests/(test_\w+)\.py", ("proxy:{1}", "proxy_apache:{1}")),
    (r"molecule/proxy/.*", ("proxy", "proxy_apache")),
    (r"molecule/shared/repository\..*", ("deploy",)),
    (r"molecule/(shared/.*|conftest\.py)", ("unit_set", "unit:test_suite")),
    (r"molecule/(\w+)/tests/(test_\w+)\.py", ("{1}:{2}",)),
    (r"molecule/(\w+)/.*", ("{1}",)),
    (r"extensions/.*", ("unit_set",)),
    (r"tests/unit/(test_\w+)\.py", ("unit:{1}",)),
    (r"tests/unit/.*", ("unit",)),
    (r"tests/browser/.*", ("browser",)),
    (r"examples/(\w+)/.*", ("unit:examples", "default:test_site")),
    (r"roles/proxy/.*apache.*", ("unit:test_proxy", "proxy_apache")),
    (r"roles/proxy/.*nginx.*", ("unit:test_proxy", "proxy")),
    (r"roles/proxy/.*", ("unit:test_proxy", "unit:test_roles", "proxy", "proxy_apache")),
    (r"roles/release/tasks/with_hooks\.yml", ("release:test_day_two",)),
    (r"roles/release/.*", ("unit:test_roles", "release:test_day_two", "release:test_release")),
    (r"roles/wsgi_server/files/.*", ("unit:test_servers", "unit:test_log_levels", "servers:test_answers")),
    (r"roles/certificate/files/certbot/.*", ("unit:test_pins",)),
    (r"roles/cloud_init/files/.*", ("unit:test_pins",)),
    (r"roles/cloud_init/.*", ("unit:test_user_data", "unit:test_roles")),
    (r"roles/(database|redis)/.*", ("unit:test_{1}", "unit:test_roles", "services:test_{1}")),
    (r"roles/metrics/files/.*", ("unit:test_watch_metrics",)),
    (r"roles/metrics/.*", ("unit:test_metrics", "unit:test_roles", "watch:test_metrics")),
    (r"plugins/\w+/metrics_(plan|hosts|host)\.py", ("unit:test_metrics",)),
    (
        r"plugins/module_utils/watch/(page.*|history|publish)\.py",
        ("unit:test_watch_page", "unit:test_watch_history", "watch:test_page"),
    ),
    (r"plugins/(filter|plugin_utils)/status_site\.py", ("unit:test_status_site", "watch:test_page")),
    (
        r"plugins/module_utils/watch/(look|gather|find\w*|conditions|running|failed|state|memory)\.py",
        ("unit:test_watch", "watch:test_look"),
    ),
    (r"plugins/module_utils/watch/metrics\.py", ("unit:test_watch_metrics",)),
    (
        r"plugins/module_utils/watch/(message|outbox|receivers|deliver|alert_test|sending|send_\w+)\.py",
        (
            *(
                "unit:test_watch_message",
                "unit:test_watch_outbox",
                "unit:test_watch_sending",
                "unit:test_watch_deliver",
            ),
            *("unit:test_alert_receivers", "watch:test_receivers"),
        ),
    ),
    (r"plugins/(filter|plugin_utils)/alert_receivers\.py", ("unit:test_alert_receivers", "watch:test_receivers")),
    (r"playbooks/alert_test\.yml", ("unit:test_request", "watch:test_receivers")),
    (r"roles/(\w+)/.*", ("unit:test_{1}", "unit:test_roles", "{1}")),
    (
        r"plugins/module_utils/common/sqlite\.py",
        ("unit:test_common", "unit:test_backup", "unit:test_release", "release:test_databases", "backup"),
    ),
    (r"plugins/module_utils/common/.*", ("unit", "release:test_release", "release:test_sources", "backup")),
    (r"plugins/module_utils/backup/.*", ("unit:test_backup", "unit:test_trust", "backup")),
    (r"plugins/(module_utils/outgoing/.*|plugin_utils/outgoing_options\.py)", ("unit:test_outgoing", "service_user")),
    (r"plugins/(module_utils/logs/.*|plugin_utils/log_options\.py)", ("unit:test_log", "service_user:test_logs")),
    (r"plugins/module_utils/database/.*", ("unit:test_database", "unit:test_trust")),
    (r"plugins/module_utils/certificate/.*", ("unit:test_certificate", "unit:test_trust", "certificate")),
    (r"plugins/module_utils/release/pins\.py", ("unit:test_pins", "release:test_requirements")),
    (r"plugins/module_utils/release/(\w+)\.py", ("unit:test_release", "release:<{1}>")),
    (
        r"plugins/modules/release\.py",
        ("unit:test_action_release", "release:test_background", "release:test_day_two", "release:test_release"),
    ),
    (r"plugins/action/release\.py", ("unit:test_action_release", "release:test_requirements", "release:test_sources")),
    (r"plugins/\w+/(file_set|unit_set)\.py", ("unit:test_{1}", "{1}")),
    (
        r"plugins/\w+/(commands|follow_up|placement)\.py",
        ("unit:test_commands", "unit:test_file_set", "unit:test_follow_up", "file_set", "unit_set"),
    ),
    (r"plugins/module_utils/host/.*", ("unit:test_host_program", "unit:test_trust", "host")),
    (r"plugins/\w+/host_(settings|problems)\.py", ("unit:test_host_settings",)),
    (r"plugins/\w+/host_(settings_found|overruled)\.py", ("unit:test_host_overruled",)),
    (r"plugins/module_utils/verify/.*", ("unit:test_verify", "default:test_look")),
    (
        r"plugins/\w+/(verify_(outside|report|page|picture|expected)|outside(_\w+)?|wire|in_time|expected)\.py",
        ("unit:test_verify_report", "unit:test_outside", "unit:test_wire", "unit:test_expected"),
    ),
    (
        r"playbooks/(templates/)?verify.*",
        ("unit:test_verify_report", "unit:test_request", "default:test_from_outside"),
    ),
    (r"plugins/modules/verify\.py", ("unit:test_verify", "default:test_look")),
    (r"plugins/\w+/user_data\.py", ("unit:test_user_data",)),
    (
        r"plugins/\w+/armed(_change)?\.py",
        ("unit:test_armed", "unit:test_action_armed_change", "firewall:test_lock_out"),
    ),
    (r"plugins/\w+/firewall_(rules|problems)\.py", ("unit:test_firewall",)),
    (r"plugins/\w+/host_facts\.py", ("unit:test_host_facts", "firewall")),
    (r"plugins/module_utils/unit_record\.py", ("unit:test_unit_set", "unit_set")),
    (r"plugins/\w+/(occupied(_ports)?|other_firewalls)\.py", ("unit:test_occupied",)),
    (r"plugins/module_utils/(serving|firewalls)\.py", ("unit:test_serving",)),
    (r"plugins/(module_utils|plugin_utils)/(apt_state|readiness|privileges)\.py", ("unit:test_readiness",)),
    (r"plugins/\w+/(packages|check_problems)\.py", ("unit:test_action_packages",)),
    (r"plugins/module_utils/(listeners|web_sites)\.py", ("unit:test_{1}",)),
    (
        r"plugins/plugin_utils/site(s|_options|_plan)\.py",
        ("unit:test_sites", "unit:test_proxy", "proxy", "proxy_apache"),
    ),
    (r"plugins/plugin_utils/servers\.py", ("unit:test_servers", "unit:test_model", "unit:test_schema", "wsgi_server")),
    (r"docs/((apps|day_two|reference|releases)\.md|flask_apps\.schema\.json)", ("unit:test_schema",)),
    (r"script/(reference|suite/(reference(_head)?|json_schema)\..*)", ("unit:test_schema",)),
    (r"plugins/plugin_utils/summary\.py", ("unit:test_summary",)),
    (r"plugins/\w+/(check_)?request\.py", ("unit:test_request", "release:test_day_two")),
    (r"plugins/.*", ("unit",)),
    (r"playbooks/(site|remove)\.yml", ("unit:test_tags", "default:test_the_next_day")),
    (r"playbooks/cloud_init\.yml", ("unit:test_user_data", "unit:test_request")),
    (r"playbooks/restore\.yml", ("backup:playbook",)),
    (r"playbooks/maintenance\.yml", ("proxy:test_maintenance",)),
    (r"playbooks/metrics\.yml", ("unit:test_request", "watch:test_metrics")),
    (r"playbooks/(deploy|rollback)\.yml", ("deploy",)),
    (r"playbooks/.*", ("release:test_day_two",)),
    (r"inventories/.*", ("unit:test_inventories",)),
    (r"docs/(\w+)\.md", ("unit:test_{1}",)),
    (r"(README|CONTRIBUTING|CHANGELOG)\.md", ("unit:test_roles",)),
    (r"script/(suite/)?pins(\.py)?", ("unit:test_pins",)),
    (r"(script|benchmarks|\.ci)/.*", ("unit:test_suite",)),
    (r"(galaxy\.yml|meta/.*)", ("build",)),
)


def changed_suite(paths: Sequence[str], family: Mapping[str, str]) -> list[Task]:
    """What to run after a change of these files: linters over them, types, and the tests that are about them."""
    if not paths:
        return []
    selected: dict[str, set[str]] = {}
    for path in paths:
        for name in touched(path):
            part, _colon, tests = name.partition(":")
            selected.setdefault(part, set()).add(tests)
    tasks = [Task(BY_NAME["lint"], arguments=tuple(paths)), Task(BY_NAME["types"])]
    for chosen_part in ordered((BY_NAME[name] for name in selected), full=False):
        names = selected[chosen_part.name]
        # One file that needs all of a part's tests needs them all.
        arguments = () if "" in names else tuple(sorted(names))
        tasks.append(Task(chosen_part, one_suite(chosen_part, family), arguments))
    return tasks


def touched(path: str) -> list[str]:
    """The parts that a file touches, each perhaps with the tests that are enough: `PART` or `PART:TEST`."""
    for pattern, names in RULES:
        if found := re.fullmatch(pattern, path):
            filled = [name.format("", *found.groups()) for name in names]
            expanded: list[str] = []
            for name in filled:
                if engine := re.fullmatch(r"release:<(\w+)>", name):
                    expanded += [f"release:{test}" for test in RELEASE_TESTS.get(engine[1], ("test_release",))]
                elif name.partition(":")[0] in BY_NAME:
                    expanded.append(name)
            return expanded
    return []


def left_out(tasks: Sequence[Task]) -> list[str]:
    """What the default suite would run beside these, as a person reads it."""
    running = {task.part.name: task.arguments for task in tasks}
    names = [part.name for part in PARTS if part.cost and part.name not in running]
    return names + [f"other tests of {name}" for name, arguments in running.items() if arguments and name != "lint"]
