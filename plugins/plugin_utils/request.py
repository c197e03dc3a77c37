# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator asks a playbook for on the command line (``-e app=shop``), checked before a host is reached.

Each playbook that acts on apps has a record in :data:`PLAYBOOKS`.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

APP = re.compile(r"[a-z][a-z0-9_-]*")
BACKUP_SET = re.compile(r"[a-z0-9][a-z0-9._-]*")
NOTHING_DONE = "Nothing was done."


class RequestError(Exception):
    """A request that cannot be carried out; the text says for each problem what it is and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems) + f" {NOTHING_DONE}")


class OptionError(Exception):
    """One option that cannot be used; the text is a sentence for the operator."""


# --- options: what is given (None if nothing is), to what the playbook uses ----------------------------------------

Option = Callable[[Any], Any]


def one_of(name: str, *choices: str) -> Option:
    """An option with one of these values, or none."""

    def read(given: Any) -> str:
        if given in (None, "", *choices):
            return given or ""
        near = nearest(given, choices)
        raise OptionError(
            f"{name}: {given!r} is not one of {', '.join(choices)}{f': did you mean {near}?' if near else '.'}"
        )

    return read


def named(name: str, example: str) -> Option:
    """An option that is the name of something of the app's, or is not given."""

    def read(given: Any) -> str:
        if given in (None, ""):
            return ""
        if not isinstance(given, str) or not APP.fullmatch(given):
            raise OptionError(f"{name}: {given!r} cannot be a name. Give one, as in -e {name}={example}.")
        return given

    return read


def switch(name: str) -> Option:
    """An option that must say on or off; YAML and JSON make a boolean of it."""

    def read(given: Any) -> bool:
        word = "" if given is None else str(given).lower()
        if word not in ("on", "off", "true", "false"):
            raise OptionError(f"Say -e {name}=on or -e {name}=off{f', not {given}' if word else ''}.")
        return word in ("on", "true")

    return read


def flag(name: str) -> Option:
    """An option that is off unless it is switched on."""
    return lambda given: False if given in (None, "") else switch(name)(given)


def text(name: str, example: str) -> Option:
    """An option that must be given."""

    def read(given: Any) -> str:
        if given is None or given == "":
            raise OptionError(f"Name the {name}, as in -e '{name}=\"{example}\"'.")
        if not isinstance(given, str):
            raise OptionError(f"{name}: {given!r} is not a text. Write it as one, as in -e '{name}=\"{example}\"'.")
        return given

    return read


def short(name: str, example: str, pattern: str = r"[^\x00-\x1f\x7f]{1,200}") -> Option:
    """An option that is a short text, or is not given; what it means is known to the host."""

    def read(given: Any) -> str:
        if given in (None, ""):
            return ""
        if isinstance(given, bool) or not re.fullmatch(pattern, str(given)):
            raise OptionError(f"{name}: {given!r} cannot be one. Give it as in -e '{name}=\"{example}\"'.")
        return str(given)

    return read


def number(name: str, default: int, most: int) -> Option:
    """A number from 1 up to ``most``, or its default."""

    def read(given: Any) -> int:
        if given in (None, ""):
            return default
        if isinstance(given, bool) or not str(given).isdecimal() or not 1 <= int(given) <= most:
            raise OptionError(f"{name}: {given!r} is no number from 1 to {most}.")
        return int(given)

    return read


def level(name: str) -> Option:
    """A level of a log, in the words of syslog or of Python's logging, or as a number; or none."""

    def read(given: Any) -> str:
        return str(one_of(name, *LEVELS, *LEVEL_WORDS)("" if given is None else str(given).lower()))

    return read


def never(name: str, remedy: str) -> Option:
    """An option that the command on the host has, and a playbook cannot."""

    def read(given: Any) -> bool:
        if flag(name)(given):
            raise OptionError(f"{name}: {remedy}")
        return False

    return read


def path(name: str, example: str) -> Option:
    """An option that is a file on the controller, or is not given; as an absolute path.

    The operator means the directory the command is given in. Ansible would take a path from the playbook's, which is
    in the collection.
    """

    def read(given: Any) -> str:
        if given in (None, ""):
            return ""
        if not isinstance(given, str) or "\0" in given:
            raise OptionError(f"{name}: {given!r} is not a file. Give one, as in -e {name}={example}.")
        file = Path(given).expanduser().absolute()
        if file.is_dir():
            raise OptionError(f"{name}: {given} is a directory. Give a file, as in -e {name}={example}.")
        return str(file)

    return read


def flag_or_path(name: str, example: str) -> Option:
    """An option that is on, off (or not given), or a file on the controller."""

    def read(given: Any) -> bool | str:
        if given in (None, "") or str(given).lower() in ("on", "off", "true", "false"):
            return bool(flag(name)(given))
        return str(path(name, example)(given))

    return read


def networks(name: str) -> Option:
    """A list of addresses and networks, or a text with commas between them."""

    def read(given: Any) -> list[str]:
        found = listed(given, empty=True)
        for one in found:
            try:
                ipaddress.ip_network(one, strict=False)
            except ValueError as error:
                raise OptionError(
                    f"{name}: {error}. Give addresses or networks, as in -e {name}=203.0.113.7,2001:db8::/32."
                ) from error
        return found

    return read


# --- what each playbook takes ----------------------------------------


@dataclass(frozen=True)
class Playbook:
    """What one playbook takes.

    :param several: it takes several apps, and all where none is named; else exactly one must be named.
    :param declared: its apps must stand in ``flask_apps``. Others act on what is on the host, where an app stays that
        has left ``flask_apps``; for these a name that is nearly one of ``flask_apps`` is a warning.
    :param pattern: what a name looks like.
    :param options: its other options by name.
    :param of_one: options that are about one app, which is to be named with them.
    :param verbatim: options whose text is passed on as it was given, with `{{` in it.
    :param sentence: the option in which spaces are usual, with an example.
    """

    several: bool = False
    declared: bool = False
    pattern: re.Pattern[str] = APP
    options: Mapping[str, Option] = field(default_factory=dict)
    of_one: tuple[str, ...] = ()
    verbatim: tuple[str, ...] = ()
    sentence: tuple[str, str] = ("app", "shop,blog")


LEVELS = ("emerg", "alert", "critical", "error", "warning", "notice", "info", "debug")
LEVEL_WORDS = ("crit", "err", "warn", "fatal", *"01234567")
FOLLOW = "a playbook ends, and shows the log when it has. Follow it on the host, as in: ssh -t HOST shop logs --follow."
MESSAGE = ("message", "Back at noon.")
COMMAND = ("command", "flask routes")
PLAYBOOKS: Mapping[str, Playbook] = {
    "alert_test": Playbook(several=True, options={"receiver": named("receiver", "ops")}),
    "cloud_init": Playbook(several=True, options={"user_data": path("user_data", "www.yml")}),
    "database": Playbook(
        options={
            "load": path("load", "shop.dump"),
            "dump": path("dump", "shop.dump"),
            "replace": flag("replace"),
        }
    ),
    "database_upgrade": Playbook(several=True, options={"shared": flag("shared")}),
    "deploy": Playbook(several=True, declared=True),
    "jobs": Playbook(options={"run": named("run", "nightly")}),
    "logs": Playbook(
        options={
            "follow": never("follow", FOLLOW),
            "since": short("since", "-1h"),
            "until": short("until", "2026-11-30 03:00"),
            "lines": number("lines", 200, 5000),
            "release": short("release", "3f9c01d2ab44", r"[0-9a-f]{12}"),
            "process": short("process", "web", r"[a-z0-9_-]+(,[a-z0-9_-]+)*"),
            "request": short("request", "0f8fad5bd9cb469fa16570867728950e", r"[A-Za-z0-9+/=_.-]{6,128}"),
            "level": level("level"),
            "grep": short("grep", "ZeroDivision"),
        },
        verbatim=("grep",),
        sentence=("since", "1 hour ago"),
    ),
    "maintenance": Playbook(options={"state": switch("state"), "allow": networks("allow")}, sentence=MESSAGE),
    "processes": Playbook(several=True, options={"restart": named("restart", "worker")}, of_one=("restart",)),
    "releases": Playbook(several=True),
    "remove": Playbook(),
    "restore": Playbook(pattern=BACKUP_SET),
    "rollback": Playbook(options={"data": one_of("data", "keep", "saved")}),
    "run": Playbook(options={"command": text(*COMMAND)}, verbatim=("command",), sentence=COMMAND),
    "unlock": Playbook(),
    "verify": Playbook(
        several=True,
        options={
            "report": path("report", "verify.html"),
            "json": flag_or_path("json", "verify.json"),
            "strict": flag("strict"),
        },
    ),
}


@dataclass(frozen=True)
class Request:
    """A request that can be carried out.

    :param apps: the names; empty for all apps.
    :param options: the values of the playbook's other options.
    :param warnings: what may be a slip.
    """

    apps: list[str]
    options: dict[str, Any]
    warnings: list[str]


def read(name: str, variables: Mapping[str, Any], known: Sequence[str] = ()) -> Request:
    """Read what is asked of a playbook.

    :param name: the playbook's, a key of :data:`PLAYBOOKS`.
    :param variables: what the operator gave, by name; others are ignored.
    :param known: the names in ``flask_apps``.
    :raises RequestError: with all problems at once.
    """
    playbook = PLAYBOOKS[name]
    problems = lost_words(playbook, variables.get("_raw_params"))
    apps, found = read_apps(playbook, variables.get("app"))
    problems += found
    unknown = [hint for app in apps if (hint := unknown_app(app, known))] if not problems else []
    if playbook.declared:
        problems += [f"{hint.sentence}: {hint.remedy}" for hint in unknown]
    options = {}
    for option, reader in playbook.options.items():
        try:
            options[option] = reader(variables.get(option))
        except OptionError as refusal:
            problems.append(str(refusal))
    problems += [
        f"{option} is about one app. Name it too, as in -e app=shop -e {option}={options[option]}."
        for option in playbook.of_one
        if options.get(option) and len(apps) != 1
    ]
    if problems:
        raise RequestError(problems)
    return Request(apps, options, [f"{hint.sentence}: {hint.remedy}" for hint in unknown if hint.is_near])


def read_apps(playbook: Playbook, given: Any) -> tuple[list[str], list[str]]:
    """The names of the apps, and what is wrong with them."""
    remedy = "Name the app, as in -e app=shop."
    names = listed(given)
    if not playbook.several:
        if not names:
            return [], [f"No app is named. {remedy}"]
        if len(names) > 1:
            return [], [f"app: {', '.join(names)} are {len(names)} apps; this playbook takes one at a time. {remedy}"]
        names = [given]  # it is used as it was given
    wrong = [name for name in names if not isinstance(name, str) or not playbook.pattern.fullmatch(name)]
    return names, [f"app: {name!r} is not the name of an app. {remedy}" for name in wrong]


def lost_words(playbook: Playbook, words: Any) -> list[str]:
    """Ansible splits ``key=value`` at spaces: ``-e message="Back at noon."`` reaches it as Back, and two more words."""
    if words is None:
        return []
    name, example = playbook.sentence
    return [
        f"Put the {name} into two pairs of quotes, as in -e '{name}=\"{example}\"', or write it as JSON. "
        f"What stood after a space ({words}) would be lost."
    ]


@dataclass(frozen=True)
class UnknownApp:
    """A name that is not in ``flask_apps``, as two halves of a sentence."""

    sentence: str
    remedy: str
    is_near: bool


def unknown_app(app: str, known: Sequence[str]) -> UnknownApp | None:
    """What to say of an app that is not among the known ones; None if it is."""
    if app in known:
        return None
    near = nearest(app, known)
    remedy = f"did you mean {near}?" if near else f"known are {', '.join(known) or 'none'}."
    return UnknownApp(f"app: {app!r} is not in flask_apps", remedy, bool(near))


# --- which hosts ----------------------------------------


def check_hosts(group: str, groups: Mapping[str, Sequence[str]]) -> None:
    """See that the inventory has a host in the group: Ansible ends with exit status 0 where it has none.

    :param groups: hosts by group.
    :raises RequestError: if there is none.
    """
    if groups.get(group):
        return
    near = nearest(group, [name for name, hosts in groups.items() if hosts and name not in ("all", "ungrouped")])
    hint = f": did you mean {near}?" if near else "."
    raise RequestError(
        [
            f"The inventory has no host in the group {group}{hint} Put your server there, give the inventory with -i, "
            "or name another group with -e flask_hosts_group=NAME."
        ]
    )


# --- text ----------------------------------------


def listed(given: Any, empty: bool = False) -> list[str]:
    """A list, or a text with commas, as a list of texts without spaces around them; ``empty`` ones are left out."""
    if given is None:
        return []
    items = given.split(",") if isinstance(given, str) else given if isinstance(given, Iterable) else [given]
    return [item for one in items if (item := str(one).strip()) or empty]


def nearest(word: Any, known: Iterable[str]) -> str:
    """The known word that this one was probably meant to be; "" if none is near."""
    return next(iter(difflib.get_close_matches(str(word), list(known), n=1)), "")
