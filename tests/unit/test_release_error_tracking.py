"""A DSN among the variables of an app: what the model refuses, and what it makes of a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import error_tracking
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import app_environment, read_env_file
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.plugin_utils import model
from ansible_collections.groundwork.flask.tests.unit.flask_app import app as written
from ansible_collections.groundwork.flask.tests.unit.release_app import App
from ansible_collections.groundwork.flask.tests.unit.release_installing import installer

KEY = "0123456789abcdef0123456789abcdef"
DSN = f"https://{KEY}@errors.example.net/2"
WITH_DSN = {"SENTRY_DSN": DSN}
ANY_443 = {"to": ["any"], "ports": [443]}


def refusals(secrets: dict[str, str], **options: Any) -> list[str]:
    """What the model says of an app with these secrets."""
    try:
        model.load(written(**options), {"shop": secrets})
    except model.ModelError as error:
        return error.problems
    return []


class TestModel:
    """What is refused before anything on the host has changed."""

    @pytest.mark.parametrize(
        "dsn",
        [
            "", DSN, f"https://{KEY}:{KEY}@o1.ingest.example.net/below/42", f"http://{KEY}@127.0.0.1:8000/1",
            f"http://{KEY}@[::1]:8000/1",
        ],
    )  # fmt: skip
    def test_a_dsn_is_taken(self, dsn: str) -> None:
        assert not refusals({"SENTRY_DSN": dsn})

    @pytest.mark.parametrize(
        "dsn",
        [
            "errors.example.net", f"https://{KEY}@errors.example.net/", f"https://{KEY}@errors.example.net/shop",
            "https://errors.example.net/2", f"ftp://{KEY}@errors.example.net/2", f"https://{KEY}@/2", f"{DSN}\n",
            f"https://{KEY}@errors.example.net:http/2", f"https://{KEY}@errors.example.net:99999/2", f"'{DSN}'",
            f"https://{KEY}@errors.example.net/²",
        ],
    )  # fmt: skip
    def test_what_is_none_is_refused_and_not_shown(self, dsn: str) -> None:
        (problem,) = refusals({"SENTRY_DSN": dsn})
        assert problem.startswith("flask_app_secrets.shop.SENTRY_DSN is not a DSN (it is a secret, and not shown)")
        assert KEY not in problem
        assert "errors.example" not in problem

    def test_in_sight_it_is_held_to_the_same(self) -> None:
        (problem,) = refusals({}, environment={"SENTRY_DSN": "x"})
        assert problem.startswith("flask_apps.shop.environment.SENTRY_DSN is not a DSN")

    @pytest.mark.parametrize(("rate", "good"), [("0", True), ("0.01", True), ("1", True), ("2", False), ("1%", False)])
    def test_the_share_of_traced_requests(self, rate: str, good: bool) -> None:
        assert bool(refusals(WITH_DSN, environment={"SENTRY_TRACES_SAMPLE_RATE": rate})) is not good

    @pytest.mark.parametrize(
        ("outgoing", "dsn", "open_to_it"),
        [
            ([ANY_443], DSN, True),
            ([{"to": ["192.0.2.7"]}], DSN, True),  # the addresses behind a name are not known
            ([], DSN, False),
            ([{"to": ["any"], "ports": [5432]}], DSN, False),
            ([{"to": ["any"], "ports": ["400-500"]}], DSN, True),
            ([{"to": ["any"], "protocol": "udp"}], DSN, False),
            ([ANY_443], f"https://{KEY}@errors.example.net:9000/2", False),
            ([], f"http://{KEY}@127.0.0.1:8000/1", True),
            ([], f"http://{KEY}@localhost:8000/1", True),
            ([], f"https://{KEY}@www.example.org/1", True),  # an app of this host
            ([{"to": ["192.0.2.0/24"], "ports": [443]}], f"https://{KEY}@192.0.2.7/1", True),
            ([{"to": ["192.0.2.0/24"], "ports": [443]}], f"https://{KEY}@198.51.100.7/1", False),
        ],
    )
    def test_a_policy_that_shuts_it_out_is_refused(
        self, outgoing: list[dict[str, Any]], dsn: str, open_to_it: bool
    ) -> None:
        found = refusals({"SENTRY_DSN": dsn}, outgoing=outgoing, domains=["www.example.org"])
        assert bool(found) is not open_to_it
        assert all("flask_apps.shop.outgoing shuts out" in one and "ports: [" in one for one in found)
        assert KEY not in "".join(found)


class TestRelease:
    """What a release with a tracker has beyond one without."""

    def test_one_with_a_dsn_is_another_and_a_changed_one_yet_another(self, app: App) -> None:
        ids = []
        for secrets in ({}, WITH_DSN, {"SENTRY_DSN": DSN.replace("/2", "/3")}, {}):
            engine = app.engine(secrets)
            engine.secret_key.read(create=True)
            ids.append(engine.identity.determine())
        assert len(set(ids)) == 3
        assert ids[0] == ids[-1]
        assert KEY not in json.dumps(app.engine(WITH_DSN).identity.definition())

    def test_an_app_without_one_has_nothing_of_it(self, app: App) -> None:
        for secrets in ({}, {"SENTRY_DSN": ""}):
            engine = app.engine(secrets)
            engine.deploy()
            environment = read_env_file(app.at.release(engine.identity.id) / "env")
            assert "SENTRY_RELEASE" not in environment
            assert "error_tracking" not in engine.identity.inputs()
        assert not [command for command in app.system.commands if "sentry" in command]

    def test_its_processes_know_release_environment_and_the_names_of_secrets(self, app: App) -> None:
        result = app.engine({**WITH_DSN, "TOKEN": "abc"}).deploy()
        environment = read_env_file(app.at.release(result.release) / "env")
        assert environment["SENTRY_RELEASE"] == f"{app.name}@{result.release}"
        assert environment["SENTRY_ENVIRONMENT"] == "production"
        assert environment["GROUNDWORK_SECRETS"] == "SECRET_KEY SENTRY_DSN TOKEN"

    def test_what_the_user_says_wins(self, app: App) -> None:
        engine = app.engine(WITH_DSN, environment={"SENTRY_ENVIRONMENT": "staging", "SENTRY_RELEASE": "v1"})
        engine.secret_key.read(create=True)
        environment = app_environment(engine.context, engine.secret_key, "0123")
        assert (environment["SENTRY_ENVIRONMENT"], environment["SENTRY_RELEASE"]) == ("staging", "v1")

    def test_the_sdk_is_installed_last_and_shares_no_environment_without_it(self, app: App, code: Path) -> None:
        (code / "requirements.txt").write_text("flask\n")
        without, with_sdk = installer(app), installer(app, secrets=WITH_DSN)
        assert with_sdk.install(code, "commit", "a") != without.install(code, "commit", "a")
        installs = [command for command in app.system.commands if " install " in command]
        assert [command.endswith(f" {error_tracking.SDK}") for command in installs] == [False, True, False]

    def test_an_app_that_brings_the_sdk_keeps_its_own(self, app: App, code: Path) -> None:
        (code / "requirements.txt").write_text("flask\nsentry-sdk==1.45.1\n")
        found = installer(app, secrets=WITH_DSN)

        def bring() -> None:
            for package in app.at.environments.glob("*/lib/python3/site-packages"):
                (package / error_tracking.MODULE).mkdir(exist_ok=True)
                (package / error_tracking.MODULE / "__init__.py").touch()

        app.system.on["-r requirements.txt"] = bring
        found.install(code, "commit", "a")
        assert not [command for command in app.system.commands if error_tracking.SDK in command]

    def test_one_that_cannot_be_installed_is_refused_with_the_remedy(self, app: App, code: Path) -> None:
        (code / "requirements.txt").write_text("flask\n")
        app.system.fail = {error_tracking.SDK: "No matching distribution found for sentry-sdk"}
        with pytest.raises(ReleaseError) as refused:
            installer(app, secrets=WITH_DSN).install(code, "commit", "a")
        said = str(refused.value)
        assert "the SDK of the error tracker could not be installed; SENTRY_DSN asks for sentry-sdk" in said
        assert f"take SENTRY_DSN out of flask_app_secrets.{app.name}" in said
        assert KEY not in said
