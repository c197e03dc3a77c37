# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules of jobs as far as the controller judges them: what cron has is told apart, and shown as systemd has it."""

from __future__ import annotations

import re

from ansible_collections.groundwork.flask.plugins.module_utils.release.schedules import SCHEDULE

CRON_NUMBERS = r"(\*|[0-9]+(-[0-9]+)?)(/[0-9]+)?"
CRON_FIELD = re.compile(rf"{CRON_NUMBERS}(,{CRON_NUMBERS})*|[A-Za-z]{{3}}([-,][A-Za-z]{{3}})*")
CRON_WORDS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@reboot"}
DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")  # 7 is Sunday too
FORMS = "`*-*-* 03:00`, `Mon..Fri 06:30` or `*:0/15`"
REMEDY = f"is not a schedule: write it as systemd's OnCalendar= has it, such as {FORMS}"


def problem(schedule: str) -> str:
    """What is wrong with a schedule, as the end of a sentence; "" where systemd has to judge it."""
    if is_cron(schedule):
        found = of_cron(schedule)
        return f"is a schedule of cron: write it as systemd's OnCalendar= has it, {f'`{found}`' if found else FORMS}"
    return "" if SCHEDULE.fullmatch(schedule) and schedule == schedule.strip() else REMEDY


def is_cron(schedule: str) -> bool:
    """Whether a schedule is one of cron's: five fields, or a word."""
    fields = schedule.split()
    return schedule.strip() in CRON_WORDS or (len(fields) == 5 and all(map(CRON_FIELD.fullmatch, fields)))


def of_cron(schedule: str) -> str:
    """The same for systemd; "" for what is rare, or has no counterpart."""
    if schedule.strip() in CRON_WORDS:
        word = {"@annually": "yearly", "@midnight": "daily"}.get(schedule.strip(), schedule.strip()[1:])
        return "" if word == "reboot" else word
    minute, hour, day, month, weekday = schedule.split()
    days = weekdays(weekday)
    if days is None or (days and day != "*"):  # cron takes either of two days, systemd both at once
        return ""
    date, at = [calendar(field, 1) for field in (month, day)], [calendar(field, 0) for field in (hour, minute)]
    if None in (*date, *at):
        return ""
    on = f"*-{'-'.join(map(str, date))} "
    time = ":".join(str(field) for field in at)
    plain = on == "*-*-* " and (days or hour == "*")
    return f"{days}{'' if plain else on}{time}"


def calendar(field: str, first: int) -> str | None:
    """A field of numbers as systemd has it; None for one of names.

    :param first: its smallest value.
    """
    parts = []
    for part in field.split(","):
        found = re.fullmatch(r"(\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        if not found:
            return None
        every, low, high, step = found.groups()
        number = f"{int(low):02d}" if low else ""
        until = f"..{int(high):02d}" if high else ""
        if every == "*" and not step:
            return "*"
        parts.append(f"{number or first}{until}/{step}" if step else f"{number}{until}")
    return ",".join(parts)


def weekdays(field: str) -> str | None:
    """The days of the week, with a space behind them; "" for all, None for what is not known."""
    if field in ("*", "0-6", "0-7", "1-7"):
        return ""
    if re.fullmatch(r"[A-Za-z]{3}([-,][A-Za-z]{3})*", field):
        return f"{field.title().replace('-', '..')} "
    if not re.fullmatch(r"[0-7](-[0-7])?(,[0-7](-[0-7])?)*", field) or "0-" in field:  # systemd's week begins on Monday
        return None
    return re.sub(r"\d", lambda day: DAYS[int(day[0])], field.replace("-", "..")) + " "
