#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that deploys releases; the work is done in module_utils/release."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build releases of apps, check them, and make them live without losing a request
version_added: 0.1.0
description:
  - For each app, builds a release (code, virtual environment, environment variables, server configuration) in a
    directory named by the hash of what defines it, imports the app once, saves its databases, runs its release command,
    starts it beside the old release, checks it through its own socket, turns the symlink C(/srv/<app>/current), drains
    and stops the old one, removes old releases.
  - The same inputs make the same release and change nothing. Releases with the same packages share one environment.
  - If any step fails, the old release serves on untouched, and the task fails with the output of the program that
    failed. The other apps of the call go ahead.
  - Needs the units C(<app>@.socket) and C(<app>@.service) of the role C(wsgi_server) and the account of
    C(service_user).
author: The Groundwork authors (@groundwork)
options:
  apps:
    description: The apps to deploy.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: >-
          Name of the app.
        type: str
        required: true
      source:
        description: >-
          Where the code comes from, one of four kinds: C(git), the address of a repository that the host can
          read, with C(version), a branch, tag or commit (submodules come along); C(directory) on the
          controller, of which is sent what git tracks or does not ignore; C(archive), a tar or zip archive on
          the controller, or an address that the host downloads from, with C(checksum) as C(sha256:…), which
          an address needs (a single directory around everything is taken away); C(package), a requirement
          pinned with C(==), from the index. All but a package take C(subdirectory), the directory in it that
          has the app.
        type: dict
        required: true
      python:
        description: >-
          Version of Python, which is on the host or which uv can bring; by default the distribution's.
        type: str
        default: ""
      extras:
        description: >-
          Optional dependency groups of the app's C(pyproject.toml).
        type: list
        elements: str
        default: []
      build_command:
        description: >-
          Shell command that makes what the source has not, such as the files of a front end, for
          C(proxy.static) or for the app. It runs in the code directory after the packages are installed, as a
          part of the build: with the network and the programs of the app's environment, without its
          variables, secrets and data, for half an hour at most. What it needs of apt stands in C(packages).
        type: str
        default: ""
      working_directory:
        description: >-
          Directory in which the app and all that acts for it run, relative to the code's, which is the
          default.
        type: str
        default: ""
      python_path:
        description: >-
          Directories to import the app's modules from, relative to the code's, in this order; then come the
          working directory and the code's own, unless they are named here (the latter as C(.)).
        type: list
        elements: str
        default: []
      setup_command:
        description: >-
          Shell command to run once in an app's life on a host, before its code is imported for the first
          time, such as one that makes the first tables or the first user. One that fails is run again at the
          next deploy, one that is changed later is not. It does not run over data that are there already, as
          after a restore.
        type: str
        default: ""
      release_command:
        description: >-
          Shell command to run in the new release before it goes live, once for each release.
        type: str
        default: ""
      release_command_timeout:
        description: >-
          Seconds after which the release command, or the setup command, is ended and the release refused.
        type: int
        default: 1800
      deploy:
        description: >-
          How a release takes the place of the one before: C(beside), or C(exclusive) for an app of which two
          releases may not run at once; visitors then wait up to 30 s, and get 503 with C(Retry-After) after
          that.
        type: str
        choices: ["beside", "exclusive"]
        default: "beside"
      watch:
        description: >-
          Seconds for which a release is watched on the host after it has gone live. One whose processes end
          and are restarted three times, that is down, or that answers many more requests with 5xx than the
          one before, is rolled back and marked as bad; where its release command has run, that is reported
          and not done. 0 for no watch.
        type: int
        default: 120
      skip_checks:
        description: >-
          Checks of a release to leave out, by the names that their messages give.
        type: list
        elements: str
        default: []
      environment:
        description: >-
          Environment variables of the app.
        type: dict
        default: {}
      settings:
        description: >-
          Files to put beside the code, by their path below its directory, each a map with one of C(template)
          and C(file), paths on the controller, or C(content), a text; C(mode) (C(0640)), and C(replace),
          whether it takes the place of a file of the source.
        type: dict
        default: {}
      processes:
        description: >-
          Processes beside the WSGI server, by name, each a map with C(command), C(count), C(kind) and
          C(stop_timeout).
        type: dict
        default: {}
      jobs:
        description: >-
          Commands that run on a schedule, by name, each a map with C(command), C(schedule), C(timeout), C(on)
          and C(pool).
        type: dict
        default: {}
      run_jobs:
        description: >-
          Whether this host runs the jobs of which one host runs each; set by the action plugin.
        type: bool
        default: true
      database:
        description: >-
          The app's database, a map with C(provider) for one that the role C(database) has made on this host,
          or C(url) for one elsewhere.
        type: dict
        default: {}
      redis:
        description: >-
          The app's Redis, which the role C(redis) has set up, a map with C(purpose).
        type: dict
        default: {}
      files:
        description: >-
          Files to put into the release, by path. C(start) is what the unit executes,
          C(entry/groundwork_wsgi.py) is imported as a check.
        type: dict
        default: {}
      requirements:
        description: >-
          What is installed beside what the app asks for, such as the WSGI server.
        type: list
        elements: str
        default: []
      static:
        description: >-
          Directories of the source to publish below C(public/), by URL prefix. Files with a hash in their
          name stay reachable for as long as their release is kept.
        type: dict
        default: {}
      run_release_command:
        description: >-
          Whether this host runs the release command; set by the action plugin.
        type: bool
        default: true
      save_commands:
        description: >-
          Shell commands that save databases before the release command, run as the app in its sandbox; one
          that fails stops the deploy. SQLite databases in the data directory are saved without.
        type: list
        elements: str
        default: []
      health:
        description: >-
          How to ask whether a release is healthy: C(path) (C(/)), C(host) for the Host header, and C(timeout)
          in seconds (60). Any status below 500 is healthy.
        type: dict
        default: {}
      body_limit:
        description: >-
          The largest request body that the proxy lets through, in bytes; 0 for any. The app's own limit is
          compared with it.
        type: int
        default: 0
      unit:
        description: >-
          Anything else whose change shall make a new release, such as the unit's sandbox.
        type: dict
        default: {}
      archive:
        description: >-
          The packed source on the host; set by the action plugin.
        type: str
        default: ""
      wheels_tree:
        description: >-
          A hash of the wheels; set by the action plugin.
        type: str
        default: ""
      wheels_archive:
        description: >-
          The packed wheels on the host; set by the action plugin.
        type: str
        default: ""
      wheels:
        description: >-
          Directory on the controller with wheels; the host then installs from these alone, without an index.
        type: str
        default: ""
      release_command_hosts:
        description: >-
          Which hosts run the release command and the setup command: C(first), the first of the play alone,
          which is to be deployed before the others, or C(each); by default C(first) if a variable of the app
          is the URL of a database on another machine, else C(each).
        type: str
        choices: ["", "first", "each"]
        default: ""
  secrets:
    description: Secret environment variables, by app. Without C(SECRET_KEY) one is generated on the host, once. After a
      change of it, sessions signed with the one before stay good for O(fallback_days), if the app runs on Flask 3.1.1
      or
      newer.
    type: dict
    default: {}
  shared_secret_keys:
    description: The C(SECRET_KEY) that all hosts of an app share, by app. The host keeps it in place of one of its own,
      so a later call without it changes nothing. An app with a C(SECRET_KEY) in O(secrets) keeps that one.
      O(rotate_secret_key) has no effect on an app that shares its key; hand over another one.
    type: dict
    default: {}
  deploy_keys:
    description: Private SSH keys for the repositories, by app. A key is held by an agent's memory while git fetches and
      never written to the host's disk.
    type: dict
    default: {}
  known_hosts:
    description: Lines of SSH's C(known_hosts) for the repositories' servers. Without, the first key a server shows
      counts.
    type: str
    default: ""
  build_environment:
    description: Environment variables of the build, such as C(PIP_INDEX_URL) or C(HTTPS_PROXY). The apps do not see
      them. The host's C(/etc/pip.conf) counts too, for uv as well.
    type: dict
    default: {}
  installer:
    description: V(uv), which is fetched from the index once for all apps, and pip where that fails; or V(pip). The
      result
      is the same. A C(uv.lock) needs V(uv).
    type: str
    default: uv
    choices: [uv, pip]
  keep:
    description: How many releases of each app stay on the disk, the live one included.
    type: int
    default: 5
  fallback_days:
    description: How many days sessions signed with the SECRET_KEY before a change stay good. Flask's own sessions
      last 31.
    type: int
    default: 31
  rotate_secret_key:
    description: Make a new SECRET_KEY for each of the apps first.
    type: bool
    default: false
  through:
    description: The last step to take. After one before V(switch) the releases are prepared and not live; the next
      run goes on
      from there.
    type: str
    default: prune
    choices: [fetch, install, stop, setup, import, save, command, start, switch, drain, prune]
  absent:
    description: Apps to take off the host. Data, secrets and backups stay.
    type: list
    elements: str
    default: []
  purge:
    description: Also remove the data, cache, secrets and account of the apps in O(absent).
    type: bool
    default: false
  background:
    description:
      - Do not wait until the first release of an app is live, but only until it is built. That it starts, answers and
        stays up is seen to on the host while the play goes on.
      - The apps are in RV(begun). Call the module again with O(continues) to wait for them; that call fails if one of
        them did not go live, and says why.
      - An app that has been live before is waited for.
    type: bool
    default: false
  continues:
    description:
      - The result of a call with O(background). This call waits for the apps in its RV(begun) and returns one result
        for both. The other options are as in that call.
    type: dict
    default: {}
  defer_failures:
    description:
      - Do not fail the task for an app that cannot be deployed, so that the play goes on for the others. The task then
        returns RV(failures), and what a failed task would say as C(message).
      - A call with O(continues) leaves the apps that have failed before as they are.
      - Where the first host alone runs the release command of an app and fails, the other hosts leave the app as it is.
    type: bool
    default: false
  by:
    description: Who deploys and from where, for the ledger and for those who wait. Found by default.
    type: str
    default: ""
  wait:
    description: How many seconds to wait for another run that is at work on an app. With V(0) such apps are left as
      they are and returned in RV(at_work).
    type: int
    default: 3600
attributes:
  check_mode:
    description: Says what would be deployed, what has changed, and which command would run. A branch is resolved if
      the host
      can read the repository.
    support: full
  diff_mode:
    description: Shows what defines the release, before and after. Of secrets it shows that they have changed.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Deploy the shop
  groundwork.flask.release:
    apps: "{{ flask_apps | groundwork.flask.apps_for('release', 'shop') }}"
    secrets: "{{ flask_app_secrets }}"

- name: Build the first release of each app and let it start
  groundwork.flask.release:
    apps: "{{ flask_apps | groundwork.flask.apps_for('release') }}"
    background: true
  register: begun

- name: Wait until each of them is live
  groundwork.flask.release:
    apps: "{{ flask_apps | groundwork.flask.apps_for('release') }}"
    continues: "{{ begun }}"
"""

RETURN = r"""
apps:
  description: >-
    What happened to each app. C(action) is V(unchanged), V(started) (it was live and did not run), V(prepared) (see
    O(through)) or V(deployed), in a dry run V(to start) or V(to deploy); C(changes) names what differs from the release
    before, C(commands) what a dry run would have run, C(steps) the seconds of each step.
  type: dict
  returned: always
  sample:
    shop:
      action: deployed
      release: 3f9c01d2ab44
      previous: 77aa01b2cd10
      source: https://example.org/shop.git v1.2 (0123456789)
      workers: "5 workers: (2 x 2 cores) + 1; half of 3914 MB would hold 17 of 100 MB beside 2 other processes"
      processes: "2 of 2 run: worker (2)"
      jobs: nightly next at 2026-11-30T03:00:00Z
      database: postgresql, direct, by SQLAlchemy
      seconds: 7.2
      changes: [environment.COLOUR, source]
failed_apps:
  description: Apps whose release did not go live. C(msg) says why.
  type: list
  elements: str
  returned: always
failures:
  description: Of each app in RV(failed_apps) the reason.
  type: dict
  returned: when O(defer_failures=true)
references:
  description: >-
    Of each app in RV(failed_apps) what the host knows the failure by, in the ledger, in C(releases), in C(status) and
    on the page of a site of which nothing is live: the id of the refused release, or of the attempt where none was
    determined.
  type: dict
  returned: always
  sample: {shop: 3f9c01d2ab44}
not_live:
  description: The apps in RV(failed_apps) of which no release is live.
  type: list
  elements: str
  returned: always
not_tried:
  description: The apps in RV(failed_apps) that were left as they are on this host.
  type: list
  elements: str
  returned: always
begun:
  description: The apps whose first release is built and being started; O(continues) waits for them.
  type: dict
  returned: always
  sample: {shop: 3f9c01d2ab440177}
at_work:
  description: The apps that were left as they are because another run is at work on them, and who that is.
  type: dict
  returned: when O(wait=0)
others:
  description: Apps that are on the host, live or with a first release that was refused, and were not in O(apps).
  type: list
  elements: str
  returned: always
"""

import os
from dataclasses import asdict, replace
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import argument_spec, options
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import Ownership
from ansible_collections.groundwork.flask.plugins.module_utils.privileges import refuse_unless_root
from ansible_collections.groundwork.flask.plugins.module_utils.quiet import QuietModule
from ansible_collections.groundwork.flask.plugins.module_utils.release import work
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout, other_apps
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.settings import DeploySettings
from ansible_collections.groundwork.flask.plugins.module_utils.release.side_by_side import side_by_side, slots
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import ControllerOptions, Spec

# What the action plugin has used up before the module runs.
OF_CONTROLLER = tuple(options(ControllerOptions))
APP = argument_spec(Spec, ControllerOptions)
# Each file is one text by now, which is masked wherever it stands.
SECRET = {"settings": {**APP["settings"], "no_log": True}}
OPTIONS: dict[str, dict[str, Any]] = {
    "apps": {"type": "list", "elements": "dict", "default": [], "options": {**APP, **SECRET}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "shared_secret_keys": {"type": "dict", "default": {}, "no_log": True},
    "deploy_keys": {"type": "dict", "default": {}, "no_log": True},
    "known_hosts": {"type": "str", "default": ""},
    "build_environment": {"type": "dict", "default": {}},
    "installer": {"type": "str", "default": "uv", "choices": ["uv", "pip"]},
    "keep": {"type": "int", "default": 5},
    "fallback_days": {"type": "int", "default": 31},
    "rotate_secret_key": {"type": "bool", "default": False, "no_log": False},
    "through": {"type": "str", "default": STEPS[-1], "choices": list(STEPS)},
    "absent": {"type": "list", "elements": "str", "default": []},
    "purge": {"type": "bool", "default": False},
    "background": {"type": "bool", "default": False},
    "continues": {"type": "dict", "default": {}},
    "defer_failures": {"type": "bool", "default": False},
    "by": {"type": "str", "default": ""},
    "wait": {"type": "int", "default": int(work.WAIT_SECONDS)},
}


# What came of an app: a result, a failure, the run that is at work on it, or the order that goes on in the background.
Outcome: TypeAlias = "Result | ReleaseError | work.ActiveRun | work.Order"


class Call:
    """One call of the module: what it is asked for, and what came of it, app by app."""

    def __init__(self, module: QuietModule) -> None:
        self.module, self.params = module, module.params
        params = module.params
        build = {name: str(value) for name, value in params["build_environment"].items()}
        module.no_log_values.update(passwords(build))
        self.settings = DeploySettings(
            build, params["installer"], params["keep"], params["fallback_days"], params["known_hosts"], params["by"]
        )
        self.wait = params["wait"] or work.WAIT_SECONDS
        self.continues: dict[str, str] = params["continues"].get("begun") or {}
        self.changed = False
        self.done: dict[str, dict[str, object]] = {}
        self.failed: dict[str, str] = {}
        self.references: dict[str, str] = {}
        self.at_work: dict[str, str] = {}
        self.begun: dict[str, str] = {}
        self.diffs: list[dict[str, str]] = []

    def deploy(self, app: dict[str, Any]) -> Outcome:
        """Deploy an app, or find out what a deploy would do. Several apps may be at it in threads; nothing is noted."""
        name, continued = app["name"], self.continues.get(app["name"])
        engine, order = self.engine_and_order(app)
        other = None if self.module.check_mode or continued else work.active_run(name)
        if other and not self.params["wait"]:
            return other
        if continued:
            order = replace(order, id=continued)
        try:
            result = engine.predict() if self.module.check_mode else None
            if not result and not (continued or other or order.options["rotate"]):
                result = unchanged(engine)
            if not result:
                is_first = not continued and Layout(name).live() is None
                if self.params["background"] and is_first and work.begin(order):
                    return order
                result = work.do(order, wait=self.wait)
        except ReleaseError as error:
            return error
        return result

    def engine_and_order(self, app: dict[str, Any]) -> tuple[Engine, work.Order]:
        """The engine for an app in this process, which changes nothing, and the order for the one in its unit."""
        name, params = app["name"], self.params
        secret = {key: str(value) for key, value in (params["secrets"].get(name) or {}).items()}
        spec = Spec(**{key: value for key, value in app.items() if key not in OF_CONTROLLER})
        shared_key, deploy_key = (
            str(params["shared_secret_keys"].get(name) or ""),
            params["deploy_keys"].get(name) or "",
        )
        engine = Engine(spec, secret, self.settings, deploy_key, shared_key=shared_key)
        if key := engine.secret_key.read():
            self.module.no_log_values.add(key)  # a traceback may show it
        options = {"through": params["through"], "rotate": params["rotate_secret_key"] and not shared_key}
        settings = asdict(self.settings)
        return engine, work.Order("deploy", asdict(spec), settings, options, secret, deploy_key, shared_key)

    def note(self, name: str, outcome: Outcome) -> None:
        """Keep what came of an app for the module's result."""
        if isinstance(outcome, work.ActiveRun):
            self.at_work[name] = str(outcome)
        elif isinstance(outcome, work.Order):
            self.begun[name] = outcome.id
        elif isinstance(outcome, ReleaseError):
            self.failed[name] = f"step {outcome.step}: {outcome}"
            self.references[name] = outcome.reference
        else:
            self.note_result(name, outcome)

    def note_result(self, name: str, result: Result) -> None:
        """Keep the result of an app that was deployed, or would be."""
        self.warn(name, result)
        self.done[name] = {key: value for key, value in vars(result).items() if key != "differences"}
        if result.changed and not result.needs_archive:
            self.changed = True
            if result.previous:
                self.diffs.append(difference(name, result.previous, result.differences))

    def warn(self, name: str, result: Result) -> None:
        """Pass on what the operator should know."""
        for warning in result.warnings:
            self.module.warn(f"{name}: {warning}")

    def remove(self, name: str) -> None:
        """Take an app off the host, or find out whether there is one."""
        if self.module.check_mode:
            self.changed = self.changed or bool(Ownership.of(name).in_home())
        elif (other := work.active_run(name)) and not self.params["wait"]:
            self.note(name, other)
        else:
            order = work.Order("remove", {"name": name}, asdict(self.settings), {"purge": self.params["purge"]})
            try:
                result = work.do(order, wait=self.wait)
            except ReleaseError as error:
                self.note(name, error)
            else:
                self.changed = self.changed or result.changed
                self.warn(name, result)


def main() -> None:
    """Run the module; its action plugin has packed the sources that lie on the controller."""
    # The arguments stay out of the host's log; the values of `secrets` are masked in all results as well.
    os.umask(0o022)  # for all that it starts, whatever the shell of the connection has
    module = QuietModule(argument_spec=OPTIONS, supports_check_mode=True)
    refuse_unless_root(module)
    call = Call(module)
    known = [app["name"] for app in module.params["apps"]]
    for name, outcome in zip(known, side_by_side(call.deploy, module.params["apps"], slots()), strict=True):
        call.note(name, outcome)
    for name in module.params["absent"]:
        call.remove(name)
    module.exit_json(
        changed=call.changed or bool(call.begun),
        apps=call.done,
        failed_apps=call.failed,
        references=call.references,
        not_live=[name for name in known if name in call.failed and Layout(name).live() is None],
        begun=call.begun,
        **({} if module.params["wait"] else {"at_work": call.at_work}),
        others=other_apps(known),
        diff=call.diffs,
        invocation={"module_args": {"apps": known, "absent": module.params["absent"]}},
    )


def unchanged(run: Engine) -> Result | None:
    """The result of a deploy that would change nothing, which takes no run of the engine; None if it has to run."""
    if not run.source or not run.source.is_pinned or not run.cleanup.is_settled():
        return None
    result = run.predict()
    if result.action != "unchanged":
        return None
    run.context.ledger.skip(result.release, run.context.spec.skip_checks)
    return result


def passwords(build: dict[str, str]) -> set[str]:
    """What must not be shown of the build's environment: the passwords in its addresses."""
    return {part for value in build.values() for word in value.split() if (part := urlsplit(word).password)}


def difference(name: str, previous: str, changes: list[tuple[str, str, str]]) -> dict[str, str]:
    """What defines a release, before and after, as Ansible shows a diff."""
    return {
        "before_header": f"{name}, release {previous}",
        "after_header": f"{name}, new release",
        "before": "".join(f"{key}: {old}\n" for key, old, _new in changes if old),
        "after": "".join(f"{key}: {new}\n" for key, _old, new in changes if new),
    }


if __name__ == "__main__":
    main()
