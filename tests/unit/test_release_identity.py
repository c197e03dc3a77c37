"""What makes a release another one, and what is shown of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.tests.unit.release_app import App

MIGRATE = "flask db upgrade"


class TestIdentity:
    """What makes a release another one, and what is told of it."""

    @pytest.mark.parametrize(
        "change",
        [
            {"source": {"tree": "b" * 64}},
            {"environment": {"WSGI_APP": "shop:other"}},
            {"files": {"start": "other", "entry/groundwork_wsgi.py": ""}},
            {"requirements": ["gunicorn==27"]},
            {"extras": ["postgres"]},
            {"python": "3.9"},
            {"static": {}},
            {"wheels_tree": "b" * 64},
            {"release_command": MIGRATE},
            {"unit": {"sandbox": {"UMask": "0027"}}},
            {"secrets": {"TOKEN": "another"}},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_whatever_defines_the_process_names_the_release(self, app: App, change: dict[str, Any]) -> None:
        one, other = app.engine({"TOKEN": "one"}), app.engine(**{"secrets": {"TOKEN": "one"}, **change})
        for each in (one, other):
            each.secret_key.read(create=True)
            each.identity.determine()
        assert one.identity.id != other.identity.id

    @pytest.mark.parametrize(
        "change",
        [
            {"health": {"path": "/"}},
            {"skip_checks": ["stable"]},
            {"body_limit": 7},
            {"save_commands": ["true"]},
            {"run_release_command": False},
            {"release_command_timeout": 7},
            {"settings": {"keep": 9, "build": {"PIP_INDEX_URL": "https://pypi.example.org"}}},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_how_it_is_built_and_proved_does_not(self, app: App, change: dict[str, Any]) -> None:
        app.engine().deploy()
        assert app.engine(**change).deploy().action == "unchanged"

    def test_a_dry_run_touches_nothing(self, app: App) -> None:
        before = sorted(app.root.rglob("*"))
        first = app.engine(release_command=MIGRATE).predict()
        assert (first.action, first.release, first.commands) == ("to deploy", "", [MIGRATE])
        assert sorted(app.root.rglob("*")) == before
        app.engine().deploy()
        assert app.engine().predict().action == "unchanged"
        second = app.engine(requirements=["x"]).predict()
        assert (second.action, second.changes) == ("to deploy", ["requirements"])
        assert second.release == app.engine(requirements=["x"]).deploy().release

    def test_a_dry_run_says_when_it_cannot_tell(self, app: App) -> None:
        app.system.fail = {"ls-remote": "no route to host"}
        done = app.engine(source={"git": "https://example.org/shop.git"}).predict()
        assert done.action == "to deploy"
        assert "what would be deployed is not known: https://example.org/shop.git cannot be read" in done.warnings[0]

    def test_changes_name_what_differs_and_no_secret(self, app: App) -> None:
        app.engine({"TOKEN": "first-token", "GONE": "gone-token"}).deploy()
        live = app.at.live()
        later = app.engine(
            {"TOKEN": "second-token"},
            files={**app.spec["files"], "start": "#!/bin/sh\nexec\n", "server.json": '{"threads": 4}'},
            extras=["postgres"],
        )
        later.identity.determine()
        changes = {name: (old, new) for name, old, new in later.identity.changes(live)}
        assert set(changes) == {"extras", "files.start", "secrets.GONE", "secrets.TOKEN", "server.threads"}
        assert changes["extras"] == ("[]", "['postgres']")
        assert changes["server.threads"] == ("8", "4")
        assert changes["secrets.GONE"][1] == ""
        assert changes["secrets.TOKEN"][0].startswith("secret, ")
        assert changes["secrets.TOKEN"][0] != changes["secrets.TOKEN"][1]
        later.deploy()
        texts = str(changes) + "".join(
            path.read_text() for path in app.at.releases.rglob("*.json") if path.name != "server.json"
        )
        texts += app.at.ledger.read_text()
        for secret in ("first-token", "second-token", "gone-token", app.at.secret_key.read_text()):
            assert secret not in texts

    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("the password is hunter22", "the password is ********"),
            ("hunter22-and-more, hunter22", "********, ********"),
            ("a short one, abc, says nothing", "a short one, abc, says nothing"),
        ],
    )
    def test_masked(self, app: App, text: str, masked: str) -> None:
        engine = app.engine({"A": "hunter22", "B": "hunter22-and-more", "C": "abc"})
        assert engine.secret_key.masked(text) == masked

    @pytest.mark.parametrize(("value", "is_told"), [("$RELEASEDIR/shop.conf", True), ("/data/shop.conf", False)])
    def test_a_failed_import_says_which_variable_names_another(self, app: App, value: str, is_told: bool) -> None:
        app.system.fail = {"groundwork-probe": "No such file or directory"}
        environment = {"WSGI_APP": "shop:app", "SHOP_CONFIG": value}
        with pytest.raises(ReleaseError) as caught:
            app.engine(environment=environment).deploy()
        assert ("environment.SHOP_CONFIG: $RELEASEDIR stays as it is written" in caught.value.message) == is_told
        with pytest.raises(ReleaseError) as caught:
            app.engine(environment=environment, skip_checks=["environment"]).deploy()
        assert "SHOP_CONFIG" not in caught.value.message

    def test_what_a_failure_says_is_masked_in_the_ledger(self, app: App) -> None:
        app.system.fail = {"groundwork-probe": "cannot connect as shop:hunter22"}
        with pytest.raises(ReleaseError):
            app.engine({"PASSWORD": "hunter22"}).deploy()
        event = app.ledger.events()[-1]
        assert (event["event"], event["step"]) == ("bad", "import")
        assert event["log"] == "cannot connect as shop:********"
