# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that several modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """What follows once all files are in place: units, then commands."""

    DOCUMENTATION = r"""
options:
  units:
    description: The systemd units to bring into their states.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Full name of the unit, with its suffix.
        type: str
        required: true
      state:
        description: Whether it is to run.
        type: str
        choices: [started, stopped]
        default: started
      enabled:
        description: Whether it is to start at boot. Left as it is by default.
        type: bool
      follows:
        description: Names of file sets (M(groundwork.flask.file_set)) that the unit loads.
        type: list
        elements: str
        default: []
      on_change:
        description:
          - What to do when one of them changed. A unit that cannot reload is restarted.
          - V(ignored) is for a unit of a set that has files of other units too, and restarts it for
            O(units[].restart_for) alone.
        type: str
        choices: [restarted, reloaded, ignored]
        default: restarted
      restart_for:
        description: Files that no reload takes in, such as the unit's own. When one changes, the unit is restarted.
        type: list
        elements: str
        default: []
      replaces:
        description:
          - Units that cannot run beside this one, for example because both listen on the same port.
          - One that runs is stopped right before this one starts, and disabled when it has. If this one does not start,
            it is disabled, the other one is started again, and the task fails.
          - A unit that runs is kept, and this one left as it is, while its set has a part that the successor has not;
            see RV(kept).
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Full name of the unit.
            type: str
            required: true
          file_set:
            description: The file set that it loads. A unit whose set is not on the host is left alone.
            type: str
            required: true
          successor:
            description: The file set that takes the place of that set.
            type: str
            required: true
          absent_parts:
            description: Parts that the successor need not have.
            type: list
            elements: str
            default: []
      takes_over:
        description: >-
          Full names of units that this one replaces in the same way, whatever they load, also those that this
          collection did not set up. Their files stay.
        type: list
        elements: str
        default: []
  commands:
    description:
      - Commands to run in every call, one after the other, once the units are in their states. Each says for itself
        whether it changed anything. The first one that fails ends the call.
      - For a command that is needed only after a change of files, M(groundwork.flask.file_set) has
        O(groundwork.flask.file_set#module:apply).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Names its output in RV(outputs).
        type: str
        required: true
      argv:
        description: The program and its arguments. No shell is involved.
        type: list
        elements: str
        required: true
      check_argv:
        description:
          - What to run in check mode in place of V(argv). It must change nothing, and tells what would change.
          - By default nothing runs in check mode. A program that is not on the host yet, or that the call would
            renew, is left out.
        type: list
        elements: str
        default: []
      output:
        description:
          - What the program prints on its standard output.
          - V(json) is one object, which begins at the start of a line and is returned in RV(outputs). Its key
            C(changed), a boolean or a list, says whether the command changed anything.
          - V(text) is for a program that prints something if, and only if, it has changed something.
        type: str
        choices: [json, text]
        default: json
      seconds:
        description:
          - Time limit. A command that takes longer is ended, with all that it has started, and the task fails.
          - V(0) is for a program that limits its own steps.
        type: float
        default: 600
"""
