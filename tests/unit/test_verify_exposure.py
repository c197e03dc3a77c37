"""How much the units may do, by what systemd says: each against what is stated, and few of them asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import Expected, ExpectedApp
from ansible_collections.groundwork.flask.plugins.module_utils.verify.exposure import ANALYZE, exposure
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost, bad

RUNS = {"LoadState": "loaded", "ActiveState": "active"}
UNIT = "/etc/systemd/system/{app}@.service"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    found = FakeHost(tmp_path)
    found.file_set("proxy_nginx", parts={"": ["/etc/systemd/system/nginx.service.d/groundwork.conf"]})
    found.units = {}
    for app in ("blog", "shop", "wiki"):
        found.release(app)
        text = f"[Service]\nUser={app}\nBindPaths=/x/{app}\n{'MemoryDenyWriteExecute=no' * (app == 'wiki')}"
        found.write(UNIT.format(app=app), text)
        found.units[f"{app}@0123456789ab.service"] = {**RUNS, "FragmentPath": UNIT.format(app=app)}
    return found


def says(host: FakeHost, **figures: float) -> None:
    rows = {"nginx": "nginx.service", **{app: f"{app}@0123456789ab.service" for app in ("blog", "shop", "wiki")}}
    text = "".join(
        f"  ✗ PrivateNetwork= … 0.5\n\n→ Overall exposure level for {rows[name]}: {figure} OK 🙂\n"
        for name, figure in figures.items()
    )
    host.programs[f"{ANALYZE} security"] = text


def test_apps_with_the_same_sandbox_are_asked_for_once(host: FakeHost) -> None:
    says(host, nginx=1.4, blog=1.1, wiki=1.1)
    (found,) = host.found(exposure)
    assert (found.state, found.message) == ("ok", "No service of ours may do more than is stated (3 looked at).")
    asked = next(call for call in host.calls if call[0] == ANALYZE)
    assert asked[3:] == ("nginx.service", "blog@0123456789ab.service", "wiki@0123456789ab.service")


def test_one_that_may_do_more(host: FakeHost) -> None:
    says(host, nginx=9.6, blog=2.0)
    found = host.found(exposure)
    assert [(one.state, one.subject) for one in found] == [
        ("problem", "host"),
        ("problem", "blog"),
        ("problem", "shop"),
    ]
    assert found[0].message == "nginx.service has an exposure of 9.6, and at most 1.5 is stated for it."


def test_an_app_that_has_loosened_its_sandbox_is_a_warning(host: FakeHost) -> None:
    says(host, wiki=2.0)
    expected = Expected({"wiki": ExpectedApp("wiki", sandbox={"RestrictNamespaces": False})})
    (text,) = bad(host.found(exposure, expected))
    assert text.startswith("warning: ")
    assert text.endswith("because of RestrictNamespaces.")


def test_no_figure_is_no_good_one(host: FakeHost) -> None:
    host.programs[f"{ANALYZE} security"] = "1\tFailed to connect to bus: No such file or directory"
    (text,) = bad(host.found(exposure))
    assert text.startswith("unchecked: Not looked at: systemd-analyze security tells no figure: Failed to connect")
