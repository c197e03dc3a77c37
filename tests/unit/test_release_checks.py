"""What keeps a release from going live, and what is warned of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import checks
from ansible_collections.groundwork.flask.plugins.module_utils.release.checks import FailedCheck
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import CHECKS
from ansible_collections.groundwork.flask.plugins.module_utils.release.unix_http import Response
from ansible_collections.groundwork.flask.tests.unit.release_app import GOOD

SAID: list[tuple[str, dict[str, Any], dict[str, Any], str, bool, str]] = [
    ("debug", {"debug": True}, {}, "debug", True, "the app is in debug mode"),
    ("a sample key", {"secret_key": "sample"}, {}, "secret_key", True, "stands in documentation, so anybody can forge"),
    ("a short key", {"secret_key": "short"}, {}, "secret_key", True, "fewer than 16 characters"),
    ("a poor key", {"secret_key": "poor"}, {}, "secret_key", True, "less than 8 different characters"),
    ("no key", {"secret_key": "missing"}, {}, "secret_key", False, 'app.config["SECRET_KEY"] = os.environ'),
    ("the wrong key signs", {"flask": "3.1.0"}, {"fallbacks": True}, "fallbacks", True, "(CVE-2025-47278): take 3.1.1"),
    ("the app's own fallbacks", {"flask": "3.1.0", "fallbacks": True}, {}, "fallbacks", True, "CVE-2025-47278"),
    ("an old Flask", {"flask": "3.0.3"}, {"fallbacks": True}, "fallbacks", False, "logs everybody out; Flask 3.1.1 wo"),
    ("an older Flask", {"flask": "2.3"}, {"fallbacks": True}, "fallbacks", False, "Flask 2.3 knows no SECRET_KEY_FALL"),
    ("a cookie", {"session_cookie_secure": False}, {}, "session_cookie", False, "SESSION_COOKIE_SECURE = True"),
    (
        "uploads",
        {"max_content_length": 16 * 2**20},
        {"body_limit": 2**20},
        "upload_limit",
        False,
        "uploads up to 16 MB (MAX_CONTENT_LENGTH), and the proxy 1 MB only: raise proxy.client_max_body_size",
    ),
    ("a message", {"server_error": "message"}, {}, "server_error", False, "visitors see the message of the exception"),
    ("a traceback", {"server_error": "traceback"}, {}, "server_error", True, "visitors see its traceback"),
    (
        "a handler",
        {"server_error": "KeyError: x"},
        {},
        "server_error",
        False,
        "handler of errors is broken: KeyError: x",
    ),
]


SILENT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("all is well", {}, {}),
    ("one insists on debug", {"debug": True}, {"debug": True}),
    ("former keys", {}, {"fallbacks": True}),
    ("Flask 3.1.0 without former keys", {"flask": "3.1.0"}, {}),
    ("Flask 3.0 without former keys", {"flask": "3.0.3"}, {}),
    ("Flask 3.1.1", {"flask": "3.1.1", "fallbacks": True}, {"fallbacks": True}),
    ("uploads within", {"max_content_length": 2**20}, {"body_limit": 2**20}),
    ("no limit of the proxy", {"max_content_length": 2**30}, {"body_limit": 0}),
]


def of_app(facts: dict[str, Any], call: dict[str, Any]) -> list[FailedCheck]:
    return list(checks.of_app({**GOOD, **facts}, **{"body_limit": 0, "fallbacks": False, "debug": False, **call}))


class TestOfApp:
    """What the app's settings say."""

    @pytest.mark.parametrize(
        ("facts", "call", "check", "error", "text"), [pytest.param(*row, id=name) for name, *row in SAID]
    )
    def test_found(self, facts: dict[str, Any], call: dict[str, Any], check: str, error: bool, text: str) -> None:
        (finding,) = of_app(facts, call)
        assert (finding.check, finding.error) == (check, error)
        assert text in finding.text

    @pytest.mark.parametrize(("facts", "call"), [pytest.param(*row, id=name) for name, *row in SILENT])
    def test_nothing_found(self, facts: dict[str, Any], call: dict[str, Any]) -> None:
        assert of_app(facts, call) == []

    def test_a_missing_key_needs_no_secure_cookie(self) -> None:
        assert len(of_app({"secret_key": "missing", "session_cookie_secure": False}, {})) == 1

    def test_of_an_app_of_another_kind_nothing_is_said(self) -> None:
        assert list(checks.of_app({}, 1, True, False)) == []


class TestOfImports:
    """A SECRET_KEY that each process makes for itself logs visitors out."""

    def test_two_keys(self) -> None:
        (finding,) = checks.of_imports({**GOOD, "own_key": "0" * 16}, {**GOOD, "own_key": "1" * 16})
        assert (finding.check, finding.error) == ("secret_key", True)
        assert "another SECRET_KEY each time it starts" in finding.text
        assert "read it from the environment" in finding.text

    @pytest.mark.parametrize("facts", [GOOD, {**GOOD, "own_key": "0" * 16}, {}])
    def test_one_key(self, facts: dict[str, Any]) -> None:
        assert list(checks.of_imports(facts, dict(facts))) == []


class TestOfEnvironment:
    """What reads like another variable's name and stays as it is."""

    @pytest.mark.parametrize(
        ("value", "named"),
        [
            ("$HOME/x", "$HOME"),
            ("${HOME}/x", "${HOME}"),
            ("postgresql://$DB_USER:${DB_PASSWORD}@db/shop", "$DB_USER, ${DB_PASSWORD}"),
            ("$DATA_DIRECTORY", "$DATA_DIRECTORY"),
            ("$PATH:/opt/bin", "$PATH"),
        ],
    )
    def test_warned_of(self, value: str, named: str) -> None:
        (finding,) = checks.of_environment({"COLOUR": "red", "STORE": value})
        assert (finding.check, finding.error) == ("environment", False)
        assert finding.text.startswith(f"environment.STORE: {named} stays as it is written")

    @pytest.mark.parametrize(
        "value",
        [
            "$DATA_DIR/x", "${DATA_DIR}", "$RELEASE_DIR", "$2b$12$abcDEF", "pa$word",
            "$argon2id$v=19$m=65536,t=3,p=4$MTIzNDU", "100$", "$", "$$", "a$1", "$(id)", "${", "${}", "$ HOME",
        ],
    )  # fmt: skip
    def test_not_warned_of(self, value: str) -> None:
        assert list(checks.of_environment({"STORE": value})) == []

    def test_a_long_value_is_shortened(self) -> None:
        (finding,) = checks.of_environment({"STORE": "$HOME" * 1000})
        assert len(finding.text) < 500


# What an app may say in the place of the probe.
LIES: list[tuple[str, Any]] = [
    ("flask", None),
    ("flask", 3.1),
    ("flask", ""),
    ("flask", "3"),
    ("flask", "3.1\x1b[2J"),
    ("flask", "3.1\n"),
    ("flask", "3.1x" + "y" * 40),
    ("flask", "\u0663.\u0661"),
    ("flask", "12345.1"),
    ("flask", ["3.1"]),
    ("debug", 0),
    ("debug", None),
    ("debug", "no"),
    ("secret_key", "excellent"),
    ("secret_key", None),
    ("secret_key", True),
    ("secret_key", ["good"]),
    ("own_key", None),
    ("own_key", "0123456789abcde"),
    ("own_key", "0123456789abcdeg"),
    ("own_key", "0123456789abcdef\n"),
    ("fallbacks", 1),
    ("fallbacks", []),
    ("session_cookie_secure", "True"),
    ("max_content_length", -1),
    ("max_content_length", float("nan")),
    ("max_content_length", float("inf")),
    ("max_content_length", "16"),
    ("max_content_length", True),
    ("max_content_length", 2**63),
    ("server_error", None),
    ("server_error", ["traceback"]),
    ("migration_heads", "rev1"),
    ("migration_heads", {"rev1": 1}),
    ("migration_heads", [1]),
    ("migration_heads", [True]),
    ("migration_heads", [None]),
    ("migration_heads", [["rev1"]]),
    ("migration_heads", [""]),
    ("migration_heads", ["rev1\n"]),
    ("migration_heads", ["rev 1"]),
    ("migration_heads", ["\x1b[2J"]),
    ("migration_heads", ["r" * 65]),
    ("migration_heads", ["rev1"] * 100),
]


class TestRead:
    """What comes from the app is data: each of it is as a probe would have it, or the release is refused."""

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"flask": "3.1.0"},
            {"flask": "2.3"},
            {"flask": "3.2.0.dev0"},
            {"flask": "3.1rc1"},
            {"flask": "3.1.3+local.1"},
            {"max_content_length": 0},
            {"max_content_length": 2**40},
            {"max_content_length": 16e6},
            {"migration_heads": []},
            {"migration_heads": ["ae1027a6acf", "rev_2.b-c"]},
            {"server_error": "traceback"},
        ],
        ids=str,
    )
    def test_what_a_probe_says(self, change: dict[str, Any]) -> None:
        facts = {**GOOD, **change}
        assert checks.read(json.dumps(facts)) == facts
        assert checks.read(f"{json.dumps(facts)}\nsaid at the end\n") == facts
        list(checks.of_app(facts, 1, True, False))

    @pytest.mark.parametrize(("name", "value"), LIES, ids=[f"{row[0]}: {row[1]!r}"[:40] for row in LIES])
    def test_what_no_probe_says(self, name: str, value: Any) -> None:
        with pytest.raises(ReleaseError, match=f"the app's import reports an impossible {name}: ") as error:
            checks.read(json.dumps({**GOOD, name: value}))
        assert error.value.step == "import"
        assert len(str(error.value)) < 300
        assert "\x1b" not in str(error.value)

    @pytest.mark.parametrize(
        "answer",
        [
            "",
            "nonsense",
            "{",
            "[]",
            "null",
            "7",
            '"text"',
            json.dumps([GOOD]),
            json.dumps({**GOOD, "more": 1}),
            json.dumps({name: value for name, value in GOOD.items() if name != "migration_heads"}),
            json.dumps({"debug": False}),
            "9" * 5000,
            "[" * 500_000,
            '{"flask":' * 500_000,
        ],
        ids=lambda answer: answer[:20] or "nothing",
    )
    def test_what_is_no_answer(self, answer: str) -> None:
        with pytest.raises(ReleaseError, match="the result of the app's import cannot be read"):
            checks.read(answer)

    @pytest.mark.parametrize("depth", [10, 300, 900, 1_500, 5_000, 100_000])
    def test_deep_ones(self, depth: int) -> None:
        """Of any depth: what reads it, and what shows it, have limits of their own."""
        deep = "[" * depth + "]" * depth
        with pytest.raises(ReleaseError, match="the app's import"):
            checks.read(json.dumps(GOOD).replace('"migration_heads": null', f'"migration_heads": {deep}'))

    def test_of_an_app_of_another_kind(self) -> None:
        assert checks.read("{}") == {}

    def test_what_a_handler_says_is_one_printable_line(self) -> None:
        said = json.dumps({**GOOD, "server_error": "KeyError:\n\x1b[2J" + "x" * 1000})
        error = checks.read(said)["server_error"]
        assert error.startswith("KeyError: \\x1b[2Jxxx")
        assert len(error) == 200


HOME = "https://shop.example.org"


TRACEBACK = "Traceback (most recent call last):\n"


ANSWERS: list[tuple[str, Response, Response, list[tuple[str, bool]]]] = [
    ("well", Response(200), Response(404), []),
    ("a page for all", Response(200), Response(200), []),
    ("not for everybody", Response(401, "who are you?"), Response(401), [("health_path", False)]),
    ("not for this host", Response(403, "forbidden"), Response(404), [("health_path", False)]),
    ("no such health path", Response(404, "not here"), Response(404), [("health_path", False)]),
    ("a bad request", Response(400, "Bad Request"), Response(404), [("health_path", False)]),
    ("a login", Response(302, "", f"{HOME}/login"), Response(404), []),
    ("a relative login", Response(302, "", "/login"), Response(404), []),
    ("another path", Response(301, "", f"{HOME}/healthz/"), Response(404), []),
    ("a query", Response(301, "", f"{HOME}/healthz?lang=en"), Response(404), []),
    ("another name", Response(301, "", "http://www.example.org/healthz"), Response(404), []),
    ("to itself", Response(301, "", f"{HOME}/healthz"), Response(404), [("https", True)]),
    ("to itself, relative", Response(302, "", "/healthz"), Response(404), [("health_path", False)]),
    ("to nowhere", Response(302), Response(404), []),
    ("to http", Response(302, "", "http://shop.example.org/login"), Response(404), [("https", False)]),
    ("no such page breaks", Response(200), Response(500, "oops"), [("not_found", False)]),
    ("no such page tells", Response(200), Response(404, f"<pre>{TRACEBACK}"), [("not_found", True)]),
    ("the debugger", Response(200), Response(500, "<title>// Werkzeug Debugger</title>"), [("not_found", True)]),
    (
        "both",
        Response(308, "", f"{HOME}/healthz"),
        Response(503),
        [("https", True), ("not_found", False)],
    ),
]


@pytest.mark.parametrize(("home", "lost", "found"), [pytest.param(*row, id=name) for name, *row in ANSWERS])
def test_of_answers(home: Response, lost: Response, found: list[tuple[str, bool]]) -> None:
    asked: list[str] = []

    def ask(path: str) -> Response:
        asked.append(path)
        return home if path == "/healthz" else lost

    findings = list(checks.of_answers(ask, "shop.example.org", "/healthz"))
    assert [(finding.check, finding.error) for finding in findings] == found
    assert asked[0] == "/healthz"
    assert asked[1].startswith("/groundwork-")


def test_an_answer_that_tells_nothing_of_health_is_shown() -> None:
    body = "<h1>Invalid host</h1>\n\x1b[2J" + "x" * 1000
    (finding,) = checks.of_answers(lambda _path: Response(403, body), "shop.example.org", "/healthz")
    assert "/healthz is answered with 403" in finding.text
    assert "The answer begins: Invalid host \\x1b[2Jxxx" in finding.text
    assert len(finding.text) < 400


class TestJudge:
    """What stops a release, what warns, what is switched off."""

    FINDINGS = (FailedCheck("debug", "it is in debug mode", True), FailedCheck("https", "it redirects"))

    def test_errors_and_warnings(self) -> None:
        assert checks.judge(self.FINDINGS, ()) == (
            ["it is in debug mode (or, to switch this check off: `skip_checks: [debug]`)"],
            ["it redirects (or, to switch this check off: `skip_checks: [https]`)"],
        )

    @pytest.mark.parametrize(
        ("skipped", "counts"), [(["debug"], (0, 1)), (["https"], (1, 0)), (["debug", "https"], (0, 0))]
    )
    def test_switched_off(self, skipped: list[str], counts: tuple[int, int]) -> None:
        errors, warnings = checks.judge(iter(self.FINDINGS), skipped)
        assert (len(errors), len(warnings)) == counts

    def test_every_name_can_be_given_in_flask_apps(self) -> None:
        names = {row[3] for row in SAID} | {check for row in ANSWERS for check, _error in row[3]}
        names |= {"stable", "environment", "git_lfs", "prepared_statements"}
        assert names == set(CHECKS)
