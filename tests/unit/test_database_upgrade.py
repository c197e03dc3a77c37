"""A major upgrade of PostgreSQL: what is looked at before, what is called, and what serves when it failed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.database import settings, standstill, upgrade
from ansible_collections.groundwork.flask.plugins.module_utils.database.clusters import Cluster
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError
from ansible_collections.groundwork.flask.plugins.module_utils.database.standstill import Standstill

OLD = Cluster(15, "main", 5432)
NEW = Cluster(17, "main", 5432)
KEPT = Cluster(15, "main", 5433, "down")


class Host:
    """The clusters of a host with their databases, and the programs that were called."""

    def __init__(self, *clusters: Cluster) -> None:
        self.clusters = list(clusters)
        self.after: list[Cluster] = []  # what pg_upgradecluster leaves
        self.status = 0
        self.databases: dict[int, list[str]] = {15: ["postgres", "template1", "shop", "shop.kept"], 17: ["postgres"]}
        self.roles: dict[int, list[str]] = {}
        self.changed: list[str] = []
        self.closed = ["template0"]
        self.options = ""
        self.calls: list[str] = []

    def run(
        self, argv: Sequence[str], environment: Mapping[str, str] = programs.ENVIRONMENT, **_options: object
    ) -> subprocess.CompletedProcess[str]:
        """Note what is called."""
        self.calls.append(" ".join(argv))
        if "pg_upgradecluster" in argv[0]:
            self.options = environment["PGOPTIONS"]
            self.clusters = self.after
            if not self.status:
                self.databases[17] = self.databases[15]
            output = "Checking versions   ok\n-----\nChecking types   fatal\nThe type regproc is not preserved\n"
            return subprocess.CompletedProcess(argv, self.status, output, "")
        if "pg_ctlcluster" in argv[0]:
            self.clusters = [OLD]
        return subprocess.CompletedProcess(argv, 0, "", "")


class Session:
    """A superuser's session."""

    def __init__(self, host: Host, cluster: Cluster) -> None:
        self.host, self.cluster = host, cluster

    def rows(self, query: str, database: str = "postgres") -> list[dict[str, Any]]:
        """What the host has."""
        if query == upgrade.BYTES:
            return [{"bytes": 50_000_000}]
        names = {
            upgrade.DATABASES: self.host.databases.get(self.cluster.version, []),
            upgrade.CLOSED: self.host.closed,
            upgrade.ROLES: self.host.roles.get(self.cluster.version, []),
            upgrade.CHANGED_DATABASES: self.host.changed,
            upgrade.CHANGED_INDEXES: ["de_DE"] if database == "shop.kept" and self.host.changed else [],
        }[query]
        return [{"name": name} for name in names]

    def sql(self, *statements: str, **_options: object) -> list[str]:
        """Note a statement."""
        self.host.calls += statements
        return []


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    """PostgreSQL 15 with an app's database, and the programs of 17."""
    found = Host(OLD)
    found.after = [NEW, KEPT]
    monkeypatch.setattr(upgrade, "clusters", lambda: found.clusters)
    monkeypatch.setattr(upgrade, "Superuser", lambda cluster: Session(found, cluster))
    monkeypatch.setattr(programs, "run", found.run)
    monkeypatch.setattr(upgrade, "PLACE", str(tmp_path))
    monkeypatch.setattr(upgrade, "VERSIONS", tmp_path)
    for version in ("15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin/pg_upgrade").touch()
    record = tmp_path / "etc/groundwork/services/shop/database.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"provider": "postgresql", "port": 5432}))
    return found


def planned(root: Path) -> upgrade.Upgrade:
    """The upgrade of the host, which there is."""
    found = upgrade.plan(root=root)
    assert found
    return found


def test_the_newest_version_is_taken_and_an_old_cluster_is_kept(host: Host, tmp_path: Path) -> None:
    found = planned(tmp_path)
    assert (found.version, found.apps, found.others) == (17, ["shop"], [])
    assert found.problems(shared=False) == []
    result = upgrade.perform(found)
    assert host.calls == ["/usr/bin/pg_upgradecluster -v 17 -m upgrade 15 main"]
    assert (result["from"], result["to"], result["port"], result["old_port"]) == ("15/main", "17/main", 5432, 5433)


def test_an_app_that_has_spoilt_its_database_keeps_no_other_from_being_upgraded(host: Host, tmp_path: Path) -> None:
    """It can shut a database of its own, and have its sessions begin with a role, or not at all."""
    host.closed = ["shop", "shop.kept", "crm", "template0"]
    upgrade.perform(planned(tmp_path))
    assert host.calls[:2] == [f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true' for name in ("shop", "shop.kept")]
    assert len(host.calls) == 3
    for setting in ("role=none", "local_preload_libraries= ", "default_transaction_read_only=off"):
        assert f"-c {setting}" in host.options


def test_the_newest_version_needs_nothing(host: Host) -> None:
    host.clusters = [NEW, KEPT]
    found = upgrade.answer(shared=False, dry_run=False)
    assert not found["changed"]
    assert found["text"].startswith("PostgreSQL 17/main (port 5432, online) has the newest version that is installed")


def test_a_dry_run_says_what_would_be_done_and_a_run_what_is_left_to_do(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(tmp_path)
    found.free = 1_000_000_000
    monkeypatch.setattr(upgrade, "plan", lambda: found)
    assert upgrade.answer(shared=False, dry_run=True)["text"] == (
        "PostgreSQL 15/main (port 5432, online) would be upgraded to 17. Stopped meanwhile: shop. The copy takes "
        "350 MB, and 1000 MB are free."
    )
    assert host.calls == []
    text = upgrade.answer(shared=False, dry_run=False)["text"]
    assert "kept as it was, stopped, at port 5433" in text
    assert text.endswith("pg_dropcluster 15 main && apt-get purge postgresql-15")
    found.free = 0
    with pytest.raises(DatabaseError, match="has 0 MB left: make room"):
        upgrade.answer(shared=False, dry_run=False)


def test_what_speaks_against_it_is_said_with_numbers_and_names(host: Host, tmp_path: Path) -> None:
    host.databases[15] = [*host.databases[15], "wiki"]
    found = planned(tmp_path)
    found.free = 120_000_000
    space, others = found.problems(shared=False)
    assert "takes 350 MB" in space
    assert "has 120 MB left" in space
    assert "no app's: wiki." in others
    assert "-e shared=true" in others
    assert found.problems(shared=True) == [space]


def test_an_empty_cluster_of_the_new_version_gives_way(host: Host, tmp_path: Path) -> None:
    host.clusters = [OLD, Cluster(17, "main", 5433)]
    upgrade.perform(planned(tmp_path))
    assert host.calls[0] == "/usr/bin/pg_dropcluster --stop 17 main"


@pytest.mark.parametrize(
    ("status", "databases", "roles", "expected"),
    [
        ("online", ["postgres", "blog"], [], "holds blog"),
        ("online", ["postgres"], ["blog"], "holds the role blog"),
        ("down", [], [], "does not run, so what it holds is unknown"),
    ],
)
def test_another_one_is_refused_by_name(
    host: Host, tmp_path: Path, status: str, databases: list[str], roles: list[str], expected: str
) -> None:
    host.clusters = [OLD, Cluster(17, "main", 5433, status)]
    host.databases[17], host.roles[17] = databases, roles
    with pytest.raises(DatabaseError, match=f"{expected}.*pg_dropcluster --stop 17 main"):
        upgrade.plan(root=tmp_path)
    assert host.calls == []


def test_a_cluster_that_is_down_is_refused(host: Host, tmp_path: Path) -> None:
    host.clusters = [Cluster(15, "main", 5432, "down")]
    with pytest.raises(DatabaseError, match=r"is not running: start it \(`systemctl start postgresql@15-main"):
        upgrade.plan(root=tmp_path)


@pytest.mark.parametrize("left", [[OLD], [Cluster(15, "main", 5432, "down")]])
def test_when_it_fails_the_old_cluster_serves(host: Host, tmp_path: Path, left: list[Cluster]) -> None:
    host.status, host.after = 1, left
    with pytest.raises(DatabaseError) as error:
        upgrade.perform(planned(tmp_path))
    assert "Checking types fatal / The type regproc is not preserved" in str(error.value)
    assert "Checking versions" not in str(error.value)
    assert str(error.value).startswith("PostgreSQL 15/main (port 5432, online) serves as before. ")


def test_an_old_cluster_that_cannot_start_at_once_is_tried_again(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = Cluster(15, "main", 5432, "down")
    host.status, host.after = 1, [down]
    answers = [[down], [down], [OLD]]
    monkeypatch.setattr(upgrade, "PAUSE", 0.0)
    found = planned(tmp_path)
    monkeypatch.setattr(upgrade, "clusters", lambda: answers.pop(0) if len(answers) > 1 else answers[0])
    with pytest.raises(DatabaseError, match=r"^PostgreSQL 15/main \(port 5432, online\) serves as before"):
        upgrade.perform(found)
    assert host.calls.count("/usr/bin/pg_ctlcluster 15 main start") == 2


def test_indexes_that_the_system_would_sort_otherwise_are_built_anew(host: Host, tmp_path: Path) -> None:
    host.changed = ["shop"]
    assert upgrade.perform(planned(tmp_path))["reindexed"] == ["shop", "shop.kept"]
    assert 'REINDEX DATABASE "shop.kept"' in host.calls
    assert 'ALTER DATABASE "shop" REFRESH COLLATION VERSION' in host.calls


@pytest.fixture
def conf_d(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory of settings of 17, without a file; that of 15 has two."""
    monkeypatch.setattr(Cluster, "configuration", property(lambda one: str(tmp_path / "etc" / str(one.version))))
    monkeypatch.setattr(settings, "problems", lambda _cluster: "")
    for version in (15, 17):
        (tmp_path / f"etc/{version}/conf.d").mkdir(parents=True)
    for name in ("groundwork", "own"):
        (tmp_path / f"etc/15/conf.d/{name}.conf").write_text(f"# {name}\n")
    return tmp_path / "etc/17/conf.d"


def test_the_new_cluster_has_the_settings_of_the_old_one(host: Host, tmp_path: Path, conf_d: Path) -> None:
    """Without its file the cluster would not be known as ours, and listen on the network."""
    assert upgrade.perform(planned(tmp_path))["notices"] == []
    assert settings.is_ours(NEW)
    assert (conf_d / "own.conf").read_text() == "# own\n"
    assert host.calls.count("/usr/bin/systemctl restart postgresql@17-main.service") == 1


def test_settings_that_the_new_version_does_not_know_stay_out(
    host: Host, tmp_path: Path, conf_d: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "problems", lambda _cluster: "odd" if (conf_d / "own.conf").exists() else "")
    (notice,) = upgrade.perform(planned(tmp_path))["notices"]
    assert [path.name for path in conf_d.iterdir()] == ["groundwork.conf"]
    assert f"15/conf.d/own.conf: odd. Write those that it takes to {conf_d}/own.conf" in notice
    assert host.calls[-1] == "/usr/bin/systemctl restart postgresql@17-main.service"


def test_settings_that_cannot_be_copied_are_told(host: Host, tmp_path: Path, conf_d: Path) -> None:
    conf_d.rmdir()
    notices = upgrade.perform(planned(tmp_path))["notices"]
    assert ["No such file or directory" in notice for notice in notices] == [True, True]
    assert not any("restart" in call for call in host.calls)


def test_settings_with_which_the_new_cluster_does_not_start_are_taken_away(
    conf_d: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def run(argv: Sequence[str], **_options: object) -> subprocess.CompletedProcess[str]:
        calls.append(sorted(path.name for path in conf_d.iterdir()))
        return subprocess.CompletedProcess(argv, 1, "", "")

    monkeypatch.setattr(programs, "run", run)
    notices = settings.take_over(Cluster(15, "main", 5433, "down"), NEW)
    assert calls == [["groundwork.conf", "own.conf"], []]
    assert all("see `tail /var/log/postgresql/postgresql-17-main.log`" in notice for notice in notices)
    assert len(notices) == 2


# --- the apps meanwhile ----------------------------------------


def command(root: Path, text: str) -> None:
    """The command of the apps: a program that tells when it began and ended."""
    program = root / "usr/local/lib/groundwork/app"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}\nimport sys\nlog = open({str(root / 'log')!r}, 'a', 1)\n{text}")
    program.chmod(0o755)
    (root / "srv/shop").mkdir(parents=True)
    (root / "srv/shop/current").symlink_to("releases/1")


def test_apps_are_stopped_for_the_time_of_the_block(tmp_path: Path) -> None:
    command(tmp_path, "print('{\"notices\": [\"late\"]}', flush=True)\nsys.stdin.read()\nprint('started', file=log)")
    with Standstill(["shop", "never-deployed"], tmp_path) as stopped:
        assert (tmp_path / "log").read_text() == ""
        assert stopped.apps == ["shop"]
    assert (tmp_path / "log").read_text() == "started\n"
    assert stopped.notices == ["shop: late"]


def test_an_app_that_cannot_be_stopped_ends_it_before_anything_is_done(tmp_path: Path) -> None:
    command(tmp_path, "sys.exit('another run is at work')")
    with (
        pytest.raises(DatabaseError, match=r"shop could not be stopped: another run is at work\. Nothing was done"),
        Standstill(["shop"], tmp_path),
    ):
        pytest.fail("the block must not run")


def test_an_app_that_does_not_start_again_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "SECONDS_TO_START", 10)
    command(tmp_path, "print('{\"notices\": []}', flush=True)\nsys.stdin.read()\nsys.exit('it is broken')")
    with Standstill(["shop"], tmp_path) as stopped:
        pass
    assert stopped.notices == ["shop: it did not start again: it is broken"]
