"""script/test, once the tools are there. What it takes is described in script/test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import plan
import run
import yaml

ROOT = run.ROOT


def git(*arguments: str) -> list[str]:
    """What git prints, as lines; nothing where this is no repository."""
    done = subprocess.run(("git", "-C", str(ROOT), *arguments), capture_output=True, text=True, check=False)
    return done.stdout.split("\n") if done.returncode == 0 else []


def commits() -> int:
    """The number of commits; 0 where this is no repository."""
    return int((git("rev-list", "--count", "HEAD") or ["0"])[0])


def changed_files(since: str) -> list[str]:
    """The files that differ from a revision, uncommitted and new ones included."""
    if since and not git("rev-parse", "--verify", "--quiet", f"{since}^{{commit}}"):
        raise plan.PlanError(f"there is no revision {since!r}")
    names = git("diff", "--name-only", since or "HEAD") + git("ls-files", "--others", "--exclude-standard")
    return sorted({name for name in names if name})


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def lanes() -> int:
    """Two where there are two cores: with more, tests that assert a rate no longer get what they need."""
    return min(os.cpu_count() or 1, 2)


def remove_hosts(before: set[str]) -> None:
    """Remove the hosts that this run has made and not removed."""
    left = sorted(hosts() - before)
    if left:
        subprocess.run((str(ROOT / "script" / "test-host"), "remove", *left), check=False)


def hosts() -> set[str]:
    """The test hosts of this checkout."""
    done = subprocess.run((str(ROOT / "script" / "test-host"), "list"), capture_output=True, text=True, check=False)
    return set(done.stdout.split())


def images_for(tasks: list[plan.Task]) -> None:
    """See once that the images of the hosts are up to date, instead of for each scenario."""
    instead = [found for task in tasks if (found := task.environment.get("TEST_INSTEAD"))]
    suites = sorted({one.partition("=")[2] for one in instead}) or plan.SUITES
    if any(task.part.family for task in tasks) or any(task.part.name == "benchmark" for task in tasks):
        done = subprocess.run((str(ROOT / "script" / "test-host"), "image", *suites), check=False)
        if done.returncode:
            sys.exit(done.returncode)


def scenario_hosts(scenario: str) -> list[str]:
    """The hosts of a scenario that take part in this run, as script/test-host takes them."""
    inventory = yaml.safe_load((ROOT / "molecule" / scenario / "inventory" / "hosts.yml").read_text())
    found = {name: facts for group in inventory.values() for name, facts in group["hosts"].items()}
    wanted = os.environ.get("TEST_HOSTS") or "."
    return [
        f"{name}:{facts['suite']}:{facts.get('image', 'plain')}"
        for name, facts in found.items()
        if re.search(wanted, name)
    ]


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for and return the exit status."""
    if arguments[:1] == ["key"]:
        say(run.kept_key(arguments[1]))
        return 0
    if arguments[:1] == ["hosts"]:
        say("\n".join(scenario_hosts(arguments[1])))
        return 0
    began = float(os.environ.get("TEST_BEGAN") or time.time())
    family = plan.suites(commits(), os.environ.get("SUITE", ""))
    deadline = None
    mode, names = (arguments[0], arguments[1:]) if arguments[:1] in (["full"], ["changed"], ["ci"]) else ("", arguments)
    if mode == "full":
        which = names.pop(0) if names and "/" in names[0] else ""
        tasks = plan.full_suite(which, names)
        say(f"The full suite{f', {which}' if which else ''}: every scenario on {' and '.join(plan.SUITES)}.")
    elif mode == "changed":
        files = changed_files(names[0] if names else "")
        tasks = plan.changed_suite(files, family)
        say(f"Changed: {', '.join(files) or 'nothing'}")
        say(f"Left out: {', '.join(plan.left_out(tasks))}. script/test runs them.")
        if not tasks:
            return 0
    else:
        tasks = plan.default_suite([] if names == ["all"] or mode == "ci" else names, family)
    if mode != "full" and any(task.part.family for task in tasks):
        say(f"{family['site']} for scenarios of the whole site, {family['role']} for those of a role; SUITE=… chooses.")

    before = hosts()
    images_for(tasks)
    suite = run.Lanes(lanes(), say)

    def interrupted(_signal: int, _frame: object) -> None:
        say(f"interrupted: ending {', '.join(one.name for one in suite.running.values())}")
        suite.stop()
        remove_hosts(before)
        os._exit(130)

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    suite.run(tasks, kept=mode == "changed")
    if mode == "ci" and not any(one.result == run.FAILED for one in suite.outcomes):
        which = f"{plan.third_of(commits())}/{plan.THIRDS}"
        deadline = time.monotonic() + began + 60 * plan.CI_MINUTES - run.TO_END - time.time()
        say(
            f"The default suite passed; now {which} of the full suite, for {deadline - time.monotonic():.0f} s at most."
        )
        suite.deadline = deadline
        suite.run(plan.full_suite(which, []))
        remove_hosts(before)
    return 0 if run.report(suite.outcomes, suite.records, sys.stdout) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except plan.PlanError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
