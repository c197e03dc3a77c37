#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build releases of apps, prove them, and make them live without losing a request
version_added: 0.1.0
description:
  - For each app, builds a release (code, its own virtual environment, environment, server configuration) in a
    directory named by the hash of what defines it, imports the app once, runs its release command, starts it beside
    the old release, asks it for its health path through its own socket, turns the symlink C(/srv/<app>/current),
    drains and stops the old one, removes old releases.
  - The same inputs make the same release and change nothing.
  - If any step fails, the old release serves on untouched, and the task fails with the failing program's own words.
    The other apps of the call go ahead.
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
        description: Name of the app.
        type: str
        required: true
      source:
        description:
          - Where the code comes from. Either V(git), the address of a repository that the host can read, with
            V(version), a branch, tag or commit; or V(directory) on the controller, of which is sent what git tracks
            or does not ignore.
        type: dict
        required: true
      python:
        description: Version of Python, such as C(3.12), which must be on the host. The distribution's by default.
        type: str
        default: ""
      requirements:
        description: What pip installs beside what the app asks for, such as the WSGI server.
        type: list
        elements: str
        default: []
      environment:
        description: Environment variables of the app.
        type: dict
        default: {}
      files:
        description: Files to put into the release, by path. C(start) is what the unit executes,
          C(entry/groundwork_wsgi.py) is imported as proof.
        type: dict
        default: {}
      static:
        description: Directories of the source to publish below C(public/), by URL prefix.
        type: dict
        default: {}
      release_command:
        description: Shell command to run in the new release before it goes live, once for each release. Time limit 30
          minutes.
        type: str
        default: ""
      health:
        description: >-
          How to ask whether an instance is well: V(path) (C(/)), V(host) for the Host header, and V(timeout) in
          seconds (60). Any status below 500 is well.
        type: dict
        default: {}
      unit:
        description: Anything else whose change shall make a new release, such as the unit's sandbox.
        type: dict
        default: {}
      archive:
        description: The packed source on the host; set by the action plugin.
        type: str
        default: ""
  secrets:
    description: Secret environment variables, by app. Without C(SECRET_KEY) one is generated on the host, once.
    type: dict
    default: {}
  build_environment:
    description: Environment variables of the build, such as C(PIP_INDEX_URL) or C(HTTPS_PROXY). The apps do not see
      them.
    type: dict
    default: {}
  keep:
    description: How many releases of each app stay on the disk, the live one included.
    type: int
    default: 5
  absent:
    description: Apps to take off the host. Data, secrets and backups stay.
    type: list
    elements: str
    default: []
  purge:
    description: Also remove the data, cache, secrets and account of the apps in O(absent).
    type: bool
    default: false
  by:
    description: Who deploys and from where, for the ledger and the lock. Found by default.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says which apps would get a new release. A branch is resolved if the host can read the repository.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Deploy the shop
  groundwork.flask.release:
    apps: "{{ flask_apps | groundwork.flask.apps_for('release') }}"
    secrets: "{{ flask_app_secrets }}"
"""

RETURN = r"""
apps:
  description: What happened to each app.
  type: dict
  returned: always
  sample:
    shop:
      action: deployed
      release: 3f9c01d2ab44
      previous: 77aa01b2cd10
      source: https://example.org/shop.git v1.2 (0123456789)
      workers: "5 workers: (2 x 2 cores) + 1; half of 3914 MB would hold 19 of 100 MB"
      seconds: 7.2
failed_apps:
  description: Apps whose release did not go live. C(msg) says why.
  type: list
  elements: str
  returned: failure
others:
  description: Apps that are live on the host and were not in O(apps).
  type: list
  elements: str
  returned: always
"""

from ansible_collections.groundwork.flask.plugins.module_utils import release as engine
from ansible_collections.groundwork.flask.plugins.module_utils.quiet import QuietModule

APP = {
    "name": {"type": "str", "required": True},
    "source": {"type": "dict", "required": True},
    "python": {"type": "str", "default": ""},
    "requirements": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "dict", "default": {}},
    "files": {"type": "dict", "default": {}},
    "static": {"type": "dict", "default": {}},
    "release_command": {"type": "str", "default": ""},
    "health": {"type": "dict", "default": {}},
    "unit": {"type": "dict", "default": {}},
    "archive": {"type": "str", "default": ""},
}


def main() -> None:
    """Run the module; its action plugin has packed the sources that lie on the controller."""
    # The arguments stay out of the host's log; the values of `secrets` are masked in all results as well.
    module = QuietModule(
        argument_spec={
            "apps": {"type": "list", "elements": "dict", "default": [], "options": APP},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "build_environment": {"type": "dict", "default": {}},
            "keep": {"type": "int", "default": 5},
            "absent": {"type": "list", "elements": "str", "default": []},
            "purge": {"type": "bool", "default": False},
            "by": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    done: dict[str, dict[str, object]] = {}
    failed: dict[str, str] = {}
    changed = False
    for app in params["apps"]:
        name = app["name"]
        secret = {key: str(value) for key, value in (params["secrets"].get(name) or {}).items()}
        run = engine.Engine(engine.Spec(**app), secret, params["build_environment"], params["keep"], by=params["by"])
        if key := run.read_secret_key(create=False):
            module.no_log_values.add(key)  # a traceback may show it
        try:
            result = run.predict() if module.check_mode else run.deploy()
        except engine.ReleaseError as error:
            failed[name] = f"step {error.step}: {error}"
            continue
        done[name] = vars(result)
        changed = changed or result.changed
    for name in params["absent"]:
        spec = engine.Spec(name, {}, {}, {})
        if module.check_mode:
            changed = changed or engine.Layout(name).home.exists()
        else:
            changed = engine.Engine(spec, {}, by=params["by"]).remove(params["purge"]) or changed
    known = [app["name"] for app in params["apps"]]
    module.exit_json(
        changed=changed,
        apps=done,
        failed_apps=failed,
        others=engine.others(known),
        invocation={"module_args": {"apps": known, "absent": params["absent"]}},
    )


if __name__ == "__main__":
    main()
