# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an app says, made fit to be read by a person: a terminal obeys none of it, and no line is forged."""

from __future__ import annotations

import re

# C0 and C1 controls but tab and newline; what turns the direction of writing around or is not seen; line separators;
# surrogates, which no output takes.
UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
UNFIT_OR_SPACING = re.compile(f"{UNFIT.pattern}|[\t\n]")

# A tag of HTML, or an element that no visitor reads.
TAG = re.compile(r"<(style|script)\b.*?</\1\s*>|<!--.*?-->|</?[a-z!][^>]*>", re.DOTALL | re.IGNORECASE)
HTML = re.compile(r"<(!doctype|html|head|title|body|h1|p)\b", re.IGNORECASE)
PAGE_LIMIT = 5_000  # characters that are looked at


def printable(text: str) -> str:
    r"""Show control characters as escapes, such as ``\\x1b``; tabs and newlines stay."""
    return UNFIT.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))


def line(text: str, limit: int = 200) -> str:
    """The same on one line of at most ``limit`` characters."""
    shown = " ".join(printable(text).split())
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def visible(page: str, limit: int = 200) -> str:
    """What a visitor reads of the beginning of a page, if it is HTML, on one line of at most ``limit`` characters."""
    begin = page[:PAGE_LIMIT]
    return line(TAG.sub(" ", begin) if HTML.search(begin) else begin, limit)


def escaped(text: str, limit: int = 1000) -> str:
    r"""On one line of at most ``limit`` characters, with every control character as an escape: ``\n`` for a newline."""
    shown = UNFIT_OR_SPACING.sub(lambda found: ascii(found[0])[1:-1], text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
