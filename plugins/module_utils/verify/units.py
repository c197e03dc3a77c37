# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units of ours: whether they run as they should, and whether somebody has overridden one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ..common.systemd import SYSTEMCTL
from .expected import SITES, Expected, file_set
from .files import sets
from .finding import Finding
from .look import Look, number
from .parts import ReleaseParts

UNIT_FILE = re.compile(r"/etc/systemd/system/([^/]+\.(?:service|socket|timer|path|mount|slice|target))(?:\.d/[^/]+)?")
RUNS = ("active", "reloading", "refreshing", "activating")
SHIPPED = ("/usr/lib/systemd/", "/lib/systemd/", "/run/systemd/generator")
CONFIGURATION = ("/etc/systemd/system", "/run/systemd/system")
MASKED = ("masked", "masked-runtime")


def units(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether our units are loaded, run and start at boot as the plays left them, with nobody's overrides."""
    own, written, wanted = own_units(look), all_files(look), wanted_states(look)
    concrete = sorted(name for name in {*own, *wanted} if "@." not in name)
    # Those of the apps are asked for in the same call.
    of_apps = [name for app in expected.apps for name in ReleaseParts.of(app, look).names]
    shown = look.units([*concrete, *of_apps])
    wrong = 0
    for name in concrete:
        # A file for all units of a prefix is told once, as that of the prefix.
        changed = overrides(name, shown[name], {*written, *prefix_files(name, concrete, look)}, look)
        for one in (*state(name, shown[name], wanted.get(name, "")), *changed):
            wrong += 1
            yield one
    if not wrong:
        yield Finding("units", "host", "ok", f"The {len(concrete)} units of ours are as they should be.")
    yield from others({*concrete, *of_apps}, look)


def all_files(look: Look) -> set[str]:
    """The files of all file sets."""
    return {path for name in sets(look) for paths in file_set(name, look).get("parts", {}).values() for path in paths}


def own_units(look: Look) -> set[str]:
    """The units that have a file, or a drop-in, of a file set."""
    return {match[1] for path in all_files(look) if (match := UNIT_FILE.fullmatch(path))}


def wanted_states(look: Look) -> Mapping[str, str]:
    """The state that each unit was asked to have, such as ``enabled started``; those of a proxy that went not."""
    found: dict[str, str] = {}
    for name in sets(look):
        manifest = file_set(name, look)
        if manifest.get("parts") or name not in SITES.values():
            found |= manifest.get("units", {})
    return found


def state(name: str, shown: Mapping[str, str], wanted: str, subject: str = "host") -> Iterator[Finding]:
    """What is wrong with the state of one unit.

    :param wanted: whether it is to start at boot, and to run; "" where nobody has said.
    """
    active, boot = shown.get("ActiveState", ""), shown.get("UnitFileState", "")
    enabled, started = wanted.split() or ("", "")
    restarts = number(shown, "NRestarts")
    log = f"See `systemctl status {name}` and `journalctl -u {name}`."
    if shown.get("LoadState") in MASKED or boot in MASKED:
        yield problem(
            subject, f"{name} is masked, so nothing starts it.", f"`systemctl unmask {name}`, and run the play again."
        )
    elif shown.get("LoadState") == "not-found":
        if started == "started":
            yield problem(subject, f"{name} is not on this host any more.", "Run the play again.")
        return
    elif active == "failed":
        yield problem(subject, f"{name} has failed ({shown.get('Result') or 'no reason given'}).", log)
    elif active == "activating" and restarts:
        text = f"{name} does not stay up: systemd has restarted it {restarts} time{'s' * (restarts > 1)}."
        yield problem(subject, text, log)
    elif active not in RUNS and (
        started == "started" or (not wanted and boot == "enabled" and is_lasting(name, shown))
    ):
        yield problem(subject, f"{name} is stopped.", f"`systemctl start {name}`. {log}")
    elif active in RUNS and started == "stopped":
        yield problem(
            subject, f"{name} runs, and should not.", f"`systemctl disable --now {name}`, or run the play again."
        )
    if enabled == "enabled" and boot not in ("enabled", "static", "alias", "generated", *MASKED):
        yield problem(
            subject, f"{name} does not start at boot ({boot or 'no unit file'}).", f"`systemctl enable {name}`."
        )
    if shown.get("NeedDaemonReload") == "yes":
        text = f"The unit file of {name} was changed, and systemd has not read it."
        yield Finding("units", subject, "warning", text, "`systemctl daemon-reload`, then restart what needs it.")


def is_lasting(name: str, shown: Mapping[str, str]) -> bool:
    """Whether a unit that starts at boot should run for ever: not a service that does its work and ends."""
    return name.endswith((".timer", ".socket", ".path")) or shown.get("Type", "oneshot") not in ("oneshot", "")


def overrides(
    name: str, shown: Mapping[str, str], written: set[str], look: Look, subject: str = "host"
) -> Iterator[Finding]:
    """The files that change a unit and that no play has written."""
    for path in dict.fromkeys([*shown.get("DropInPaths", "").split(), *drop_ins(name, look)]):
        if path not in written and not path.startswith(SHIPPED):
            # An operator may want it; what it opens of the sandbox is the exposure's to say.
            text = f"{name} is changed by {path}, which no play has written."
            remedy = "Put what it sets into the inventory, remove the file, and run `systemctl daemon-reload`."
            yield Finding("units", subject, "warning", text, remedy)
    path = shown.get("FragmentPath", "")
    shadowed = f"/etc/systemd/system/{name}"
    if path == shadowed and path not in written and "@" not in name and any(of_drop_in(name, one) for one in written):
        text = f"{path} takes the place of the packaged unit, and no play has written it."
        yield problem(subject, text, f"Remove it, and run `systemctl daemon-reload`; `systemctl cat {name}` shows it.")


def drop_ins(name: str, look: Look) -> list[str]:
    """The files in the directories of a unit's drop-ins, and of its template's: systemd may not have read them yet."""
    stem, at, rest = name.partition("@")
    names = [name, f"{stem}@.{rest.rpartition('.')[2]}"] if at else [name]
    directories = [f"{top}/{one}.d" for top in CONFIGURATION for one in names]
    return [f"{directory}/{file.name}" for directory in directories for file in look.path(directory).glob("*.conf")]


def prefix_files(name: str, units_of_ours: Iterable[str], look: Look) -> list[str]:
    """The drop-ins that a unit has from those of ours that are a prefix, such as ``groundwork-.service``."""
    kind = name.rpartition(".")[2]
    prefixes = [
        one
        for one in units_of_ours
        if one != name and one.endswith(f"-.{kind}") and name.startswith(one[: -len(kind) - 1])
    ]
    return [path for prefix in prefixes for path in drop_ins(prefix, look)]


def of_drop_in(name: str, path: str) -> bool:
    """Whether a file is a drop-in of a unit."""
    return path.startswith(f"/etc/systemd/system/{name}.d/")


def problem(subject: str, message: str, remedy: str) -> Finding:
    """A problem of a unit."""
    return Finding("units", subject, "problem", message, remedy)


def others(own: Iterable[str], look: Look) -> Iterator[Finding]:
    """The failed units that are not ours."""
    listed = look.run(SYSTEMCTL, "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "--full")
    for name in (row.split()[0] for row in listed.stdout.splitlines() if row.split()):
        if name not in set(own):
            remedy = f"See `systemctl status {name}`; `systemctl reset-failed {name}` once it is put right."
            yield Finding("units", "host", "warning", f"{name} has failed; it is no unit of ours.", remedy)
