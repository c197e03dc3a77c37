"""What a person has changed by hand: files of the plays, units and their overrides, who may read what."""

from __future__ import annotations

import getpass
import grp
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import Expected, ExpectedApp
from ansible_collections.groundwork.flask.plugins.module_utils.verify.files import files
from ansible_collections.groundwork.flask.plugins.module_utils.verify.modes import modes
from ansible_collections.groundwork.flask.plugins.module_utils.verify.units import units
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost, bad

FILE = "/etc/nginx/nginx.conf"
CONFIGURATION, HOME = on_host("configuration"), on_host("home", "shop")
ME = getpass.getuser()
MINE = grp.getgrgid(os.getgid()).gr_name
RUNS = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    found = FakeHost(tmp_path)
    found.programs["/usr/bin/systemctl list-units"] = ""
    return found


class TestFiles:
    @pytest.fixture(autouse=True)
    def written(self, host: FakeHost) -> None:
        digest = hashlib.sha256(b"as written\n").hexdigest()
        host.write(FILE, "as written\n", 0o640)
        host.file_set("web", parts={"": [FILE]}, files={FILE: f"0640 {ME} {MINE} {digest}"}, generation=3)

    def test_as_written(self, host: FakeHost) -> None:
        (found,) = host.found(files)
        assert (found.state, found.message) == ("ok", "The 1 files that plays have written are as they were written.")

    def test_changed(self, host: FakeHost) -> None:
        host.write(FILE, "as written\nand more\n", 0o640)
        (text,) = bad(host.found(files))
        assert text.startswith(f"problem: {FILE} was changed by hand, last at 2")

    def test_removed(self, host: FakeHost) -> None:
        (host.root / FILE.lstrip("/")).unlink()
        assert bad(host.found(files)) == [f"problem: {FILE} was removed."]

    def test_a_link_in_its_place_is_not_followed(self, host: FakeHost) -> None:
        (host.root / FILE.lstrip("/")).unlink()
        (host.root / FILE.lstrip("/")).symlink_to("/dev/zero")
        assert bad(host.found(files)) == [f"problem: {FILE} is not a regular file any more."]

    @pytest.mark.parametrize(
        ("mode", "words"),
        [
            (0o644, "problem: {file} can be read by everybody (0644)"),
            (0o660, "problem: {file} can be written by others than its owner"),
            (0o600, "warning: {file} is {owner} 0600, and was written as {owner} 0640."),
        ],
    )
    def test_another_mode(self, host: FakeHost, mode: int, words: str) -> None:
        (host.root / FILE.lstrip("/")).chmod(mode)
        (text,) = bad(host.found(files))
        assert text.startswith(words.format(file=FILE, owner=f"{ME}:{MINE}"))

    def test_a_set_of_the_version_before_has_its_files_and_no_more(self, host: FakeHost) -> None:
        host.write(FILE, "whatever\n", 0o600)
        host.file_set("web", parts={"": [FILE, "/etc/gone"]})
        assert bad(host.found(files)) == ["problem: /etc/gone was removed."]

    def test_a_play_that_was_killed(self, host: FakeHost) -> None:
        host.write(f"{on_host('state')}/file_sets/web.journal", '{"generation": 4, "files": []}')
        assert "A play was ended while it wrote the file set web" in bad(host.found(files))[0]


class TestModes:
    EXPECTED = Expected({"shop": ExpectedApp("shop")})

    @pytest.fixture(autouse=True)
    def secrets(self, host: FakeHost) -> None:
        host.write(f"{CONFIGURATION}/secrets/shop/SECRET_KEY", "x", 0o600)
        host.write(f"{CONFIGURATION}/backup.password", "x", 0o600)
        host.write(f"{on_host('certificates')}/shop/0123/privkey.pem", "x", 0o640)
        host.write("/etc/passwd", f"shop:x:{os.getuid()}:1::/:/bin/false\n")
        host.release("shop")
        host.write(f"{on_host('releases', 'shop')}/0123456789ab/env", "x", 0o600)
        for path in (on_host("data", "shop"), f"{CONFIGURATION}/secrets/shop"):
            (host.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
            (host.root / path.lstrip("/")).chmod(0o700)
        for path in (HOME, on_host("releases", "shop"), f"{on_host('releases', 'shop')}/0123456789ab"):
            (host.root / path.lstrip("/")).chmod(0o711)

    def test_as_they_should_be(self, host: FakeHost) -> None:
        assert [one.state for one in host.found(modes, self.EXPECTED)] == ["ok"]

    @pytest.mark.parametrize(
        ("path", "mode", "words"),
        [
            (f"{CONFIGURATION}/secrets/shop/SECRET_KEY", 0o644, "is a secret, and every account"),
            (f"{CONFIGURATION}/backup.password", 0o604, "is a secret, and every account"),
            (f"{CONFIGURATION}/backup.password", 0o620, "is a secret, and others than root can change it"),
            (f"{on_host('certificates')}/shop/0123/privkey.pem", 0o644, "is a secret, and every account"),
            (f"{on_host('releases', 'shop')}/0123456789ab/env", 0o644, "is a secret, and every account"),
            (f"{CONFIGURATION}", 0o777, "Others than root can write in"),
            (on_host("data", "shop"), 0o755, "Other accounts can list and read it"),
            (on_host("data", "shop"), 0o703, "Other accounts can write in it"),
            (HOME, 0o755, "Other accounts can list and read it"),
        ],
    )
    def test_one_that_is_too_open(self, host: FakeHost, path: str, mode: int, words: str) -> None:
        (host.root / path.lstrip("/")).chmod(mode)
        (text,) = bad(host.found(modes, self.EXPECTED))
        assert words in text
        assert path in text

    def test_data_of_another_account(self, host: FakeHost) -> None:
        host.write("/etc/passwd", f"shop:x:{os.getuid() + 1}:1::/:/bin/false\n")
        assert f"problem: {on_host('data', 'shop')} belongs to {ME}:{MINE}." in bad(host.found(modes, self.EXPECTED))


class TestUnits:
    def declare(self, host: FakeHost, states: Mapping[str, str], paths: tuple[str, ...] = ()) -> None:
        host.file_set("backup", parts={"": list(paths)}, units=states)

    def test_as_declared(self, host: FakeHost) -> None:
        self.declare(host, {"a.timer": "enabled started", "b.timer": "disabled stopped"})
        host.units = {"a.timer": RUNS, "b.timer": {**RUNS, "ActiveState": "inactive", "UnitFileState": "disabled"}}
        assert [one.message for one in host.found(units)] == ["The 2 units of ours are as they should be."]

    @pytest.mark.parametrize(
        ("shown", "words"),
        [
            ({"ActiveState": "inactive"}, "a.timer is stopped."),
            ({"ActiveState": "failed", "Result": "oom-kill"}, "a.timer has failed (oom-kill)."),
            (
                {"ActiveState": "activating", "NRestarts": "7"},
                "a.timer does not stay up: systemd has restarted it 7 times.",
            ),
            ({"UnitFileState": "disabled"}, "a.timer does not start at boot (disabled)."),
            ({"LoadState": "masked", "UnitFileState": "masked"}, "a.timer is masked"),
            ({"LoadState": "not-found", "ActiveState": "inactive"}, "a.timer is not on this host any more."),
            ({"NeedDaemonReload": "yes"}, "The unit file of a.timer was changed, and systemd has not read it."),
            (
                {"DropInPaths": "/etc/systemd/system/a.timer.d/override.conf"},
                "is changed by /etc/systemd/system/a.timer.d",
            ),
            (
                {"DropInPaths": "/run/systemd/system.control/a.timer.d/50-CPU.conf"},
                "is changed by /run/systemd/system.cont",
            ),
        ],
    )
    def test_one_that_is_not(self, host: FakeHost, shown: Mapping[str, str], words: str) -> None:
        self.declare(host, {"a.timer": "enabled started"})
        host.units = {"a.timer": {**RUNS, **shown}}
        (text,) = bad(host.found(units))
        assert words in text

    def test_an_override_that_systemd_has_not_read_yet(self, host: FakeHost) -> None:
        own = "/etc/systemd/system/nginx.service.d/groundwork.conf"
        self.declare(host, {}, (own,))
        host.write(own, "")
        host.write("/etc/systemd/system/nginx.service.d/zz.conf", "")
        host.units = {"nginx.service": {**RUNS, "DropInPaths": own}}
        (text,) = bad(host.found(units))
        assert text.startswith(
            "warning: nginx.service is changed by /etc/systemd/system/nginx.service.d/zz.conf, which"
        )

    def test_a_file_for_all_units_of_a_prefix_is_told_once(self, host: FakeHost) -> None:
        own, foreign = (f"/etc/systemd/system/groundwork-.service.d/{name}.conf" for name in ("failed", "own"))
        names = ("groundwork-backup.service", "groundwork-watch.service")
        self.declare(host, {}, (own, *(f"/etc/systemd/system/{name}" for name in names)))
        for path in (own, foreign):
            host.write(path, "")
        shown = {**RUNS, "DropInPaths": f"{own} {foreign}"}
        host.units = {"groundwork-.service": shown, **dict.fromkeys(names, shown)}
        (text,) = bad(host.found(units))
        assert text.startswith(f"warning: groundwork-.service is changed by {foreign}, which")

    def test_a_file_in_place_of_the_packaged_unit(self, host: FakeHost) -> None:
        self.declare(host, {}, ("/etc/systemd/system/nginx.service.d/groundwork.conf",))
        host.units = {"nginx.service": {**RUNS, "FragmentPath": "/etc/systemd/system/nginx.service"}}
        assert "takes the place of the packaged unit" in bad(host.found(units))[0]

    def test_the_drop_ins_of_packages_are_left_alone(self, host: FakeHost) -> None:
        self.declare(host, {"a.timer": "enabled started"})
        host.units = {"a.timer": {**RUNS, "DropInPaths": "/usr/lib/systemd/system/a.timer.d/50-package.conf"}}
        assert bad(host.found(units)) == []

    def test_one_that_runs_though_it_should_not(self, host: FakeHost) -> None:
        self.declare(host, {"a.timer": "disabled stopped"})
        host.units = {"a.timer": RUNS}
        assert bad(host.found(units)) == ["problem: a.timer runs, and should not."]

    def test_a_host_of_the_version_before_names_a_stopped_timer(self, host: FakeHost) -> None:
        self.declare(host, {}, ("/etc/systemd/system/a.timer", "/etc/systemd/system/a.service"))
        host.units = {"a.timer": {**RUNS, "ActiveState": "inactive"}, "a.service": {**RUNS, "ActiveState": "inactive"}}
        assert bad(host.found(units)) == ["problem: a.timer is stopped."]

    def test_a_server_that_nobody_has_noted_is_named_when_it_is_stopped(self, host: FakeHost) -> None:
        paths = ("/etc/systemd/system/shop.redis.service", "/etc/systemd/system/once.service")
        self.declare(host, {}, paths)
        down = {**RUNS, "ActiveState": "inactive"}
        host.units = {"shop.redis.service": {**down, "Type": "notify"}, "once.service": {**down, "Type": "oneshot"}}
        assert bad(host.found(units)) == ["problem: shop.redis.service is stopped."]

    def test_the_failed_units_of_others(self, host: FakeHost) -> None:
        host.units = {"x": RUNS}
        host.programs["/usr/bin/systemctl list-units"] = "exim4.service loaded failed failed Mail\n"
        assert bad(host.found(units)) == ["warning: exim4.service has failed; it is no unit of ours."]
