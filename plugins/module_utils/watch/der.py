# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Since when and until when a certificate is valid, read from the certificate itself; nothing else of it is judged."""

from __future__ import annotations

from ..common import clock

SEQUENCE, UTC_TIME, VERSION = 0x30, 0x17, 0xA0
FIELDS_BEFORE = 3  # of the validity: serial number, algorithm, issuer


def element(raw: bytes, at: int) -> tuple[int, int, int]:
    """The tag of an element, and where its content begins and ends.

    :raises ValueError: there is none.
    """
    if at + 2 > len(raw):
        raise ValueError("it ends too early")
    length, begin = raw[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, begin = int.from_bytes(raw[begin : begin + size], "big"), begin + size
    if begin + length > len(raw):
        raise ValueError("it ends too early")
    return raw[at], begin, begin + length


def validity(raw: bytes) -> tuple[float, float]:
    """When it begins and ends, as POSIX times.

    :raises ValueError: it is no certificate.
    """
    _tag, at, _end = element(raw, 0)
    _tag, at, _end = element(raw, at)
    if raw[at] == VERSION:
        at = element(raw, at)[2]
    for _field in range(FIELDS_BEFORE):
        at = element(raw, at)[2]
    tag, at, _end = element(raw, at)
    if tag != SEQUENCE:
        raise ValueError("it has no validity where it should stand")
    begins, middle = moment(raw, at)
    return begins, moment(raw, middle)[0]


def moment(raw: bytes, at: int) -> tuple[float, int]:
    """A time, and where it ends."""
    tag, begin, end = element(raw, at)
    text = raw[begin:end].decode("ascii").rstrip("Z")
    if tag == UTC_TIME:  # two digits of the year; those from 50 on are of the century before
        text = ("19" if text[:2] >= "50" else "20") + text
    day, hour = text[:8], text[8:14]
    found = clock.parse(f"{day[:4]}-{day[4:6]}-{day[6:]}T{hour[:2]}:{hour[2:4]}:{hour[4:]}")
    if not found:
        raise ValueError(f"{text!r} is no time")
    return found, end
