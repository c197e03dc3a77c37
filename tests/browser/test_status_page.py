# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status page in Chromium: that it fits a phone, and that an old one says so."""

from __future__ import annotations

import html as escaping
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.watch.page import html
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import Condition
from ansible_collections.groundwork.flask.tests.unit.watch_looks import HOSTILE, NOW, day, trouble, well

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# The page in a frame of a certain width, and a script around it that measures, after a second and a half.
AROUND = """<!doctype html><meta charset="utf-8"><pre></pre><iframe width="{width}" height="800" srcdoc="{page}">
</iframe><script>
const frame = document.querySelector("iframe");
const measure = () => {{
  const inner = frame.contentDocument, root = inner.documentElement, late = inner.querySelector(".late");
  const wide = [...inner.querySelectorAll("main *")].filter(one => one.getBoundingClientRect().right > {width} + 0.5);
  document.querySelector("pre").textContent = JSON.stringify({{
    width: root.clientWidth, scroll: root.scrollWidth, wide: wide.map(one => one.outerHTML.slice(0, 80)),
    late: frame.contentWindow.getComputedStyle(late).visibility, scripts: frame.contentWindow.ran === undefined,
    height: late.getBoundingClientRect().height}});
}};
frame.addEventListener("load", () => setTimeout(measure, 1500));
</script>"""


def served(page: str, age: float) -> str:
    """The page as the proxy sends it so long after its look."""
    for form in re.findall(r'<!--#config timefmt="([^"]+)" -->', page):
        shown = time.strftime(form, time.gmtime(NOW + age))
        page = page.replace(f'<!--#config timefmt="{form}" -->', "", 1)
        page = page.replace('<!--#echo var="DATE_GMT" -->', shown, 1)
    return page


def measured(directory: Path, page: str, width: int) -> dict[str, Any]:
    """What the browser makes of it."""
    file = directory / "around.html"
    file.write_text(AROUND.format(width=width, page=escaping.escape(page)))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000"]
    argv = [str(CHROMIUM), *options, f"--user-data-dir={directory}/profile", "--dump-dom", file.as_uri()]
    dom = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True).stdout
    found: dict[str, Any] = json.loads(escaping.unescape(re.findall("<pre>(.*?)</pre>", dom, re.DOTALL)[0]))
    return found


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_it_fits_every_screen(tmp_path: Path, width: int) -> None:
    """Nothing scrolls sideways or is cut off, however long a name is."""
    look = trouble(10)
    look.apps["shop2"].version = HOSTILE
    look.apps["shop2"].domains = [f"{'long-' * 12}name.example.org"] * 5
    look.conditions.append(Condition("job", "shop2", "n" * 60, "w" * 400, HOSTILE, "shop2 " + "x" * 200, since=NOW))
    found = measured(tmp_path, served(html(look, day(look)), 5), width)
    assert found["wide"] == []
    assert found["scroll"] == found["width"] == width
    assert found["late"] == "hidden"
    assert found["height"] == 0


@pytest.mark.parametrize(("age", "late"), [(100, "hidden"), (200, "visible"), (40 * 86400, "visible")])
def test_an_old_page_says_so(tmp_path: Path, age: float, late: str) -> None:
    """By the time that the proxy has written into it, without a script."""
    assert measured(tmp_path, served(html(well(), day(well())), age), 360)["late"] == late


def test_a_page_that_stays_open_says_so(tmp_path: Path) -> None:
    """It was young when it was asked for."""
    page = served(html(well(), day(well())), 179)
    assert measured(tmp_path, page, 360)["late"] == "visible"
