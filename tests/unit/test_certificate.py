"""The program of the role certificate: pauses, pairs, what is due, what an authority said, and what is served."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import importlib.util
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "roles" / "certificate" / "files" / "certificate.py"
DIRECTORY = "https://authority.test/directory"
WEBROOT = "/var/www/acme"
NOW = time.time()
MINUTE, HOUR, DAY = 60, 3600, 86400


def load_program() -> ModuleType:
    """The program as a module; its name must be known for dataclasses to find it."""
    spec = importlib.util.spec_from_file_location("groundwork_certificate", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


program: Any = load_program()


def make_pair(directory: Path, *domains: str, days: int = 90, key: str = "ec") -> Any:
    """A pair made by openssl, valid from now."""
    directory.mkdir(parents=True, exist_ok=True)
    kind = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"], "short": ["rsa:1024"]}[key]
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-nodes",
                "-newkey",
                *kind,
                "-days",
                str(days),
                "-subj",
                "/O=Test/CN=Issuer 1",
            ),
            *("-addext", "subjectAltName=" + ",".join(f"DNS:{domain}" for domain in domains)),
            *("-keyout", str(directory / "privkey.pem"), "-out", str(directory / "fullchain.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return program.Pair.within(directory)


class FakeHost:
    """A host below a directory, with a clock that can be moved, and a log of what was deployed."""

    def __init__(self, root: Path) -> None:
        self.host = program.Host(root)
        self.now = NOW
        self.deployed = root / "deployed"
        self.options(deploy_command=f"sh -c 'echo x >> {self.deployed}'")

    def options(self, **options: Any) -> None:
        given = {
            "email": "",
            "directory": DIRECTORY,
            "ca_bundle": "",
            "key_type": "ecdsa",
            "key_group": "no-such-group",
            "webroot": WEBROOT,
            "deploy_command": "",
            **options,
        }
        self.host.options.parent.mkdir(parents=True, exist_ok=True)
        self.host.options.write_text(json.dumps(given))

    def ask(self, name: str = "shop", *domains: str, provider: str = "self_signed", **more: str) -> None:
        """Configure a name."""
        self.host.requests.mkdir(parents=True, exist_ok=True)
        request = {"name": name, "domains": domains or ("shop.test",), "provider": provider, **more}
        (self.host.requests / f"{name}.json").write_text(json.dumps(request))

    def keeper(self) -> Any:
        return program.Keeper(self.host, lambda: self.now)

    def run(self, may_ask: Callable[..., bool] = program.always) -> Any:
        """What `issue`, `tend` and `prepare` have in common; returns the keeper afterwards."""
        keeper = self.keeper()
        for request in keeper.requests.values():
            keeper.bring(request, may_ask)
        return keeper

    def lineage(self, name: str = "shop", *domains: str, **settings: str) -> None:
        """A certificate as certbot leaves it."""
        make_pair(self.host.letsencrypt / "live" / name, *(domains or ("shop.test",)))
        record = {
            "fullchain": "here",
            "authenticator": "webroot",
            "server": DIRECTORY,
            "key_type": "ecdsa",
            "webroot_path": f"{WEBROOT},",
            "renew_hook": f"{program.PROGRAM} deploy {name}",
            **settings,
        }
        path = self.host.letsencrypt / "renewal" / f"{name}.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{key} = {value}" for key, value in record.items()]
        path.write_text("\n".join(["version = 2.1.0", "[renewalparams]", *lines, "[[webroot_map]]", "a = b"]) + "\n")


@pytest.fixture
def fake(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


# --- what others say --------------------------------------------------------------------------------------------------

HOSTILE = "\x1b[2J\x1b]0;x\x07one\ntwo\x9b\u202e.\r\x00"
SHOWN = r"\x1b[2J\x1b]0;x\x07one two\x9b\u202e. \x00"


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("plain. Text, äöü, 证书.", 100, "plain. Text, äöü, 证书."),
        (HOSTILE, 100, SHOWN),
        ("one\r\n\ttwo\u2028three\x85four", 100, "one two three four"),
        ("\ud800\ufeff\u200b", 100, r"\ud800\ufeff\u200b"),
        ("12345", 5, "12345"),
        ("123456", 5, "1234…"),
        ("\x1b" * 5, 10, r"\x1b\x1b\…"),
        (" " * 10**7 + "x", 5, "…"),
    ],
)
def test_what_a_stranger_says_is_shown_on_one_bounded_line(text: str, limit: int, shown: str) -> None:
    assert program.plain(text, limit) == shown


def test_no_terminal_obeys_what_a_ca_a_hook_or_a_certificate_says(
    fake: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in the journal nor in the report, for a program or for a person."""
    facts = program.Facts.parse(
        "notBefore=Jan  1 00:00:00 2026 GMT\nnotAfter=Jan  1 00:00:00 2126 GMT\nissuer=\n    O=\x1b[31mEvil\n    CN=x\n"
        "X509v3 Subject Alternative Name: \n    DNS:\x1b[2Jshop.test\n"
    )
    fake.ask()
    fake.run()
    keeper = fake.keeper()
    program.replace(keeper.store.current("shop"), facts=facts).save()
    fake.options(deploy_command="sh -c 'printf \"\\033[2J%010000d\" 7; exit 1'")
    state = program.State.load(keeper.state_path("shop"))
    state.error, state.deployed = HOSTILE, ""
    state.save(keeper.state_path("shop"))
    keeper = fake.keeper()
    keeper.deploy()
    program.show(keeper.report(), as_json=False)
    program.say(HOSTILE)
    program.say(str(program.explain(f"  Domain: shop.test\n  Type: dns\n  Detail: {HOSTILE}\n\n", "", WEBROOT)))
    shown = capsys.readouterr()
    for text in (shown.out + shown.err, json.dumps(keeper.report(), ensure_ascii=False)):
        assert not program.UNFIT.search(text.replace("\n", "")), repr(text)
        assert "[2J" in text
    assert len(json.dumps(keeper.report())) < 2 * program.MESSAGE_LIMIT


def test_what_is_started_gets_a_fixed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the one who calls has in his."""
    for name in os.environ:
        monkeypatch.delenv(name)
    for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "BASH_ENV", "HOME"):
        monkeypatch.setenv(name, "/srv/shop")
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/root/aws")
    lines = program.run("/usr/bin/env", environment={"PIP_CERT": "/a"}).stdout.splitlines()
    assert dict(line.split("=", 1) for line in lines) == {
        **program.ENVIRONMENT,
        program.WITHIN_A_RUN: "1",
        "https_proxy": "http://proxy.test:3128",
        "AWS_CONFIG_FILE": "/root/aws",
        "PIP_CERT": "/a",
    }
    assert program.run("/usr/bin/pwd").stdout == "/\n"


def test_of_what_a_program_prints_the_end_is_kept() -> None:
    done = program.run("/bin/sh", "-c", "head -c 3000000 /dev/zero; printf end; printf told >&2")
    assert (len(done.stdout), done.stdout[-3:], done.stderr) == (program.OUTPUT_LIMIT, "end", "told")


def test_what_a_program_leaves_behind_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that starts something that goes on, with the hook's output open."""
    monkeypatch.setattr(program, "OUTPUT_GRACE", 0.2)
    pid = tmp_path / "pid"
    began = time.monotonic()
    done = program.run("/bin/sh", "-c", f"sleep 60 & echo $! > {pid}; echo done")
    assert (done.returncode, done.stdout) == (0, "done\n")
    subprocess.run(["/bin/kill", pid.read_text().strip()], check=True)
    with pytest.raises(program.Refusal, match=r"/bin/sh did not finish within 0 s"):
        program.run("/bin/sh", "-c", f"sleep 60 & echo $! > {pid}; wait", timeout=0.3)
    assert time.monotonic() - began < 20
    for _turn in range(50):
        if not Path(f"/proc/{pid.read_text().strip()}").exists():
            break
        time.sleep(0.1)
    else:
        pytest.fail("what it had started is still there")


# --- pauses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        (0, 15 * MINUTE),
        (4, 15 * MINUTE),
        (5, 30 * MINUTE),
        (6, HOUR),
        (9, 8 * HOUR),
        (10, 12 * HOUR),
        (1000, 12 * HOUR),
    ],
)
def test_pauses_grow_to_twelve_hours(failures: int, seconds: int) -> None:
    assert program.pause(failures) == seconds


def test_pauses_stay_within_the_limit_of_five_validations_an_hour() -> None:
    attempts = [0.0]
    for failures in range(1, 40):
        attempts.append(attempts[-1] + program.pause(failures))
    for start in attempts:
        assert len([at for at in attempts if start <= at < start + HOUR]) <= 5


def test_a_failure_sets_the_next_attempt_and_a_success_clears_it() -> None:
    state = program.State()
    state.failed(program.Refusal("no"), NOW)
    assert not state.is_time(NOW + 14 * MINUTE)
    assert state.is_time(NOW + 16 * MINUTE)
    state.settled()
    assert state.is_time(NOW)


def test_the_authority_s_own_date_counts_if_it_is_later() -> None:
    state = program.State()
    state.failed(program.Refusal("too many", not_before=NOW + DAY), NOW)
    assert not state.is_time(NOW + DAY - MINUTE)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"failures": 1, "of": "later times"}'])
def test_a_state_that_cannot_be_read_stops_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert program.State.load(tmp_path / "state.json").error == ""


# --- pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_a_matching_pair_is_usable(tmp_path: Path, key: str) -> None:
    make_pair(tmp_path, "a.test", key=key).check()


def encrypt(directory: Path) -> None:
    key = directory / "privkey.pem"
    words = ["openssl", "pkey", "-in", str(key), "-aes128", "-passout", "pass:secret", "-out", str(directory / "new")]
    subprocess.run(words, check=True, capture_output=True)
    (directory / "new").rename(key)


def take_another_key(directory: Path) -> None:
    make_pair(directory / "other", "a.test").privkey.rename(directory / "privkey.pem")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (take_another_key, "the key does not belong to the certificate"),
        (encrypt, "unencrypted key"),
        (lambda directory: (directory / "fullchain.pem").write_text("hello"), "cannot be read as PEM"),
        (lambda directory: (directory / "privkey.pem").unlink(), "does not exist"),
        (lambda directory: make_pair(directory, "a.test", key="short"), "too short"),
    ],
)
def test_a_pair_no_web_server_could_use_is_refused(
    tmp_path: Path, harm: Callable[[Path], object], message: str
) -> None:
    pair = make_pair(tmp_path, "a.test")
    harm(tmp_path)
    with pytest.raises(program.Refusal, match=message):
        pair.check()


def test_facts_are_read_from_the_certificate(tmp_path: Path) -> None:
    facts = program.Facts.read(make_pair(tmp_path, "a.test", "B.test", days=90).fullchain)
    assert facts.issuer == "Test (Issuer 1)"
    assert facts.domains == ("a.test", "b.test")
    assert round(facts.lifetime / DAY) == 90
    assert not facts.has_less_than(1 / 4, NOW + 67 * DAY)
    assert facts.has_less_than(1 / 4, NOW + 68 * DAY)


def test_facts_of_a_certificate_without_a_subject() -> None:
    shown = (
        "notBefore=Nov 23 16:06:18 2026 GMT\nnotAfter=Feb 21 16:06:17 2027 GMT\n"
        "issuer=\n    C=US\n    O=Let's Encrypt\n    CN=E7\n"
        "X509v3 Subject Alternative Name: critical\n    DNS:a.test, DNS:*.b.test\n"
    )
    facts = program.Facts.parse(shown)
    assert (facts.issuer, facts.domains) == ("Let's Encrypt (E7)", ("a.test", "*.b.test"))
    assert program.clock(facts.not_after) == "2027-02-21T16:06:17Z"


@pytest.mark.parametrize(
    ("domain", "by", "covered"),
    [
        ("a.test", ["a.test"], True),
        ("a.test", ["*.test"], True),
        ("a.b.test", ["*.test"], False),
        ("b.test", ["*.b.test"], False),
        ("*.b.test", ["*.b.test"], True),
    ],
)
def test_wildcards_are_valid_for_one_label(domain: str, by: list[str], covered: bool) -> None:
    assert program.is_covered(domain, by) is covered


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provider": "acem"}, "there is no provider 'acem'; there are acme, self_signed, files"),
        ({"domains": []}, "there is no domain"),
        ({"domains": ["a.test", "192.0.2.256"]}, "192.0.2.256: no domain name"),
        ({"domains": ["bücher.test"]}, "Write letters beyond ASCII in the xn-- form"),
        ({"domains": ["https://a.test"]}, "no domain name"),
        ({"name": "../shop"}, "not usable"),
        ({"name": "other"}, "not the file's"),
        ({"domains": None}, "TypeError"),
    ],
)
def test_a_request_that_cannot_work_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "shop.json"
    path.write_text(json.dumps({"name": "shop", "domains": ["shop.test"], "provider": "acme", **changes}))
    with pytest.raises(program.Refusal, match=message):
        program.Request.load(path)


def test_a_broken_request_stops_no_other(fake: FakeHost) -> None:
    fake.ask("shop")
    (fake.host.requests / "wiki.json").write_text("{")
    keeper = fake.run()
    assert list(keeper.requests) == ["shop"]
    assert "wiki.json" in keeper.problems[0]
    assert program.check(keeper, None) == 1


def test_wildcards_are_refused_for_acme_alone(fake: FakeHost) -> None:
    fake.ask("shop", "*.shop.test", provider="acme")
    fake.ask("wiki", "*.wiki.test")
    assert program.check(fake.keeper(), None) == 1
    fake.ask("shop", "shop.test", provider="acme")
    assert program.check(fake.keeper(), None) == 0


# --- what an authority said -------------------------------------------------------------------------------------------

CHALLENGES = """
Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  Domain: www.shop.test
  Type:   dns
  Detail: DNS problem: NXDOMAIN looking up A for www.shop.test
  - check that a DNS record exists

  Domain: shop.test
  Type:   unauthorized
  Detail: 192.0.2.1: Invalid response: 404

Hint: The Certificate Authority failed to download the temporary challenge files.
Some challenges have failed.
"""
BOOKWORM = (
    "An unexpected error occurred:\nAttributeError: can't set attribute\nAsk for help or search for solutions at x.\n"
)
LIMIT = (
    "acme.messages.Error: urn:ietf:params:acme:error:rateLimited :: There were too many requests of a given type :: "
    'too many failed authorizations (5) for "shop.test" in the last 1h, retry after 2027-02-10 16:20:00 UTC: see x\n'
)


def test_problems_are_told_by_domain_with_the_remedy() -> None:
    text = str(program.explain(CHALLENGES, "", WEBROOT))
    assert text.startswith("www.shop.test: DNS problem: NXDOMAIN looking up A for www.shop.test - check")
    assert "shop.test: 192.0.2.1: Invalid response: 404 (unauthorized)" in text
    assert text.endswith(program.REMEDIES["dns"])
    assert "Hint" not in text


def test_the_truth_behind_an_attribute_error_is_taken_from_the_log() -> None:
    refusal = program.explain(BOOKWORM, f"2026 DEBUG: Traceback\n{LIMIT}", WEBROOT)
    assert "too many failed authorizations (5)" in str(refusal)
    assert "AttributeError" not in str(refusal)
    assert program.clock(refusal.not_before) == "2027-02-10T16:20:00Z"


def test_an_unknown_failure_is_quoted() -> None:
    text = str(program.explain("Saving debug log to x\nsome plugin failed\nAsk for help at x\n", "", WEBROOT))
    assert text == "certbot failed: some plugin failed. See /var/log/letsencrypt/letsencrypt.log."


@pytest.mark.parametrize("rotated", [False, True])
def test_only_the_log_of_this_run_is_read(fake: FakeHost, rotated: bool) -> None:
    log = fake.host.certbot_log
    log.parent.mkdir(parents=True)
    log.write_text("a long line of an earlier run\n")
    acme = fake.keeper().providers["acme"]
    start = acme.log_size()
    log.write_text("of this run\n" if rotated else log.read_text() + "of this run\n")
    assert acme.log_since(start) == "of this run\n"


def test_an_authority_that_does_not_answer_is_asked_once_in_a_run(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ask_directory = [], program.ask_directory

    def counted(*arguments: str) -> None:
        asked.append(arguments)
        ask_directory(*arguments)

    monkeypatch.setattr(program, "ask_directory", counted)
    fake.options(directory="https://127.0.0.1:1/directory")
    fake.ask("shop", provider="acme")
    fake.ask("wiki", "wiki.test", provider="acme")
    names = fake.run().report()["names"]
    assert len(asked) == 1
    assert set(names) == {"shop", "wiki"}
    for entry in names.values():
        assert entry["temporary"]
        assert "https://127.0.0.1:1/directory cannot be reached" in entry["error"]
        assert "refused" in entry["error"]


# --- whether a name leads here ----------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    """A server that knows the token under the name here.test, and redirects under moved.test."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = str(self.headers["Host"]).partition(":")[0]
            self.send_response({"moved.test": 302, "here.test": 200, "parked.test": 200}.get(host, 404))
            if host == "moved.test":
                self.send_header("Location", f"http://localhost:{self.connection.getsockname()[1]}{self.path}")
            self.end_headers()
            self.wfile.write({"here.test": b"token", "parked.test": b"Buy me!"}.get(host, b""))

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(
    ("domain", "addresses", "words"),
    [
        ("here.test", ["127.0.0.1"], ""),
        ("parked.test", ["127.0.0.1"], "another server answers at 127.0.0.1 (Buy me!)"),
        ("unknown.test", ["127.0.0.1"], "another server answers at 127.0.0.1 (status 404)"),
        ("moved.test", ["127.0.0.1"], "another server answers at 127.0.0.1 (status 404 at http://localhost"),
        ("here.test", ["127.0.0.9"], "does not answer at 127.0.0.9 (Connection refused)"),
        ("here.test", ["127.0.0.1", "127.0.0.9"], ""),
        ("here.test", [], "it has no address"),
    ],
)
def test_what_a_name_leads_to_is_told(
    port: int, monkeypatch: pytest.MonkeyPatch, domain: str, addresses: list[str], words: str
) -> None:
    resolve = program.socket.getaddrinfo

    def resolved(name: str, *arguments: Any, **options: Any) -> Any:
        if domain != name:
            return resolve(name, *arguments, **options)
        if not addresses:
            raise OSError(-2, "Name or service not known")
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(program.socket, "getaddrinfo", resolved)
    said = program.try_names([domain], "token", port)[domain]
    assert words in said
    assert bool(said) is bool(words)


class Hostile:
    """A server that sends one answer to everybody, and goes on with more of it as long as anybody listens."""

    def __init__(self, answer: bytes, more: bytes = b"", pause: float = 0) -> None:
        self.answer, self.more, self.pause = answer, more, pause
        self.sent = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                connection.recv(4096)
                connection.sendall(self.answer)
                while self.more and self.sent < 50 * 2**20:
                    connection.sendall(self.more)
                    self.sent += len(self.more)
                    time.sleep(self.pause)

    def __enter__(self) -> Hostile:
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_arguments: object) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.mark.parametrize(
    ("answer", "more", "pause", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n\x1b[2J\nhello", b"", 0, r"answers at 127.0.0.1 (\x1b[2J hello)"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 2**16, 0, f"({'x' * 64})"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000, 0, "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05, "does not answer at 127.0.0.1 (timed out)"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.05, "does not answer at 127.0.0.1 (timed out)"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0, "no HTTP"),
    ],
)
def test_a_hostile_web_server_is_heard_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, more: bytes, pause: float, words: str
) -> None:
    monkeypatch.setattr(program, "TRIAL_TIME", 1)
    began = time.monotonic()
    with Hostile(answer, more, pause) as server:
        found = [(2, 1, 6, "", ("127.0.0.1", server.port))]
        monkeypatch.setattr(program.socket, "getaddrinfo", lambda *_arguments, **_options: found)
        said = program.try_names(["evil.test"], "token", server.port)["evil.test"]
    assert words in said
    assert time.monotonic() - began < 5
    assert server.sent < 10 * 2**20


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_a_redirect_leads_to_no_file_of_this_host(tmp_path: Path, scheme: str) -> None:
    """Where the token lies, so that any name would seem to lead here."""
    trial = program.Trial(tmp_path)
    token = trial.token()
    location = (
        f"{scheme}://{trial.path}" if scheme != "data" else f"data:,/{program.CHALLENGE_PATH}/{program.TRIAL_FILE}"
    )
    with Hostile(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode()) as server:
        said = program.ask_for_token("evil.test", "127.0.0.1", server.port)
    assert said == f"status 302 at {location}"
    assert said != token


def test_redirects_end(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/{program.CHALLENGE_PATH}/{program.TRIAL_FILE}"
    with Hostile(f"HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n".encode()) as server:
        connect = program.socket.create_connection
        monkeypatch.setattr(
            program.socket, "create_connection", lambda _address, timeout: connect(("127.0.0.1", server.port), timeout)
        )
        said = program.ask_for_token("evil.test", "127.0.0.1", 80)
    assert said == f"status 302 at http://evil.test{path}"


@pytest.mark.parametrize("planted", ["link", "fifo", "text"])
def test_the_token_is_one_of_this_program(tmp_path: Path, planted: str) -> None:
    """Whoever could write to the webroot would have root read a file of its choice to the controller, or wait."""
    trial = program.Trial(tmp_path)
    trial.path.parent.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("root:$y$j9T$secret")
    if planted == "link":
        trial.path.symlink_to(secret)
    elif planted == "fifo":
        os.mkfifo(trial.path)
    else:
        trial.path.write_text(secret.read_text())
    token = trial.token()
    assert program.TRIAL_TOKEN.fullmatch(token)
    assert trial.path.read_text() == token
    assert trial.token() == token
    assert secret.read_text() == "root:$y$j9T$secret"


@pytest.mark.parametrize(
    ("answer", "more", "pause", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n{", b" " * 2**16, 0, "is not the directory of an ACME authority"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", b"", 0, "is not the directory of an ACME authority"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05, "cannot be reached: it takes more than 1 s"),
        (b"HTTP/1.1 200 OK\r\n\r\n{", b" ", 0.05, "cannot be reached: it takes more than 1 s"),
        (b"HTTP/1.1 503 \x1b[2J\x9b\r\n\r\n", b"", 0, r"answers 503 \x1b[2J\x9b. "),
        (b"\x1b[2J\r\n\r\n", b"", 0, "cannot be reached"),
    ],
)
def test_a_hostile_authority_is_heard_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, more: bytes, pause: float, words: str
) -> None:
    monkeypatch.setattr(program, "AUTHORITY_TIMEOUT", 0.5)
    began = time.monotonic()
    with Hostile(answer, more, pause) as server, pytest.raises(program.Refusal) as refused:
        program.ask_directory(f"http://127.0.0.1:{server.port}/directory", "")
    assert words in str(refused.value)
    assert not program.UNFIT.search(str(refused.value))
    assert time.monotonic() - began < 5
    assert server.sent < 10 * 2**20


def test_an_aaaa_record_that_leads_elsewhere_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(10, 1, 6, "", ("2001:db8::1", 80, 0, 0)), (2, 1, 6, "", ("192.0.2.1", 80))]
    monkeypatch.setattr(program.socket, "getaddrinfo", lambda *_arguments, **_options: found)
    answers = {"2001:db8::1": "status 404", "192.0.2.1": "token"}
    monkeypatch.setattr(program, "ask_for_token", lambda _domain, address, _port: answers[address])
    said = program.try_name("here.test", "token")
    assert said.startswith(
        "its AAAA record leads to another server: another server answers at 2001:db8::1 (status 404)"
    )


class Authority:
    """Stands for the authority behind certbot: notes what is ordered, refuses a domain, and leaves a lineage."""

    def __init__(self, fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake = fake
        self.orders: list[list[str]] = []
        self.refused = ""
        self.unreached: dict[str, str] = {}
        self.nonces = 0
        self.words: list[str] = []
        monkeypatch.setattr(program.Acme, "ready", lambda _acme: None)
        monkeypatch.setattr(program.Acme, "certbot", lambda _acme, words, **_options: self.certbot(words))
        monkeypatch.setattr(program, "try_names", self.try_names)
        fake.options(webroot=str(fake.host.root / "webroot"))

    def try_names(self, domains: list[str], _token: str) -> dict[str, str]:
        return {domain: self.unreached.get(domain, "") for domain in domains}

    def certbot(self, words: list[str]) -> tuple[str, bool]:
        if self.nonces:
            self.nonces -= 1
            return "acme.messages.Error: urn:ietf:params:acme:error:badNonce :: invalid anti-replay nonce", False
        self.words = words
        domains = [word for word, before in zip(words[1:], words, strict=False) if before == "--domain"]
        self.orders.append(domains)
        if self.refused in domains:
            return f"\n  Domain: {self.refused}\n  Type:   caa\n  Detail: not by CAA\n\n", False
        self.fake.lineage("shop", *domains, webroot_path=str(self.fake.host.root / "webroot"))
        return "", True


@pytest.fixture
def authority(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Authority:
    return Authority(fake, monkeypatch)


def test_names_that_lead_here_are_certified_without_the_others_and_no_order_is_repeated(
    fake: FakeHost, authority: Authority
) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    authority.unreached = {"www.shop.test": "it has no address"}
    for _turn in range(3):
        keeper = fake.run()
    entry = keeper.report()["names"]["shop"]
    assert authority.orders == [["shop.test"]]
    assert not entry["temporary"]
    assert entry["error"].startswith("www.shop.test: it has no address. Next attempt at ")
    authority.unreached = {}
    assert fake.run().report()["names"]["shop"]["error"] == ""
    assert authority.orders == [["shop.test"], ["shop.test", "www.shop.test"]]


def test_pauses_go_on_growing_while_a_name_is_left_out(fake: FakeHost, authority: Authority) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    authority.unreached = {"www.shop.test": "it has no address"}
    for failures in range(1, 6):
        keeper = fake.run()
        assert program.State.load(keeper.state_path("shop")).failures == failures


def test_a_certified_name_is_given_up_only_when_its_certificate_ends(fake: FakeHost, authority: Authority) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    fake.run()
    fake.ask("shop", "shop.test", "www.shop.test", "new.test", provider="acme")
    authority.unreached = {"www.shop.test": "gone", "new.test": "gone"}
    fake.run()
    assert authority.orders == [["shop.test", "www.shop.test"]]
    authority.unreached = {"www.shop.test": "gone"}
    fake.run()
    assert authority.orders[1:] == [["shop.test", "www.shop.test", "new.test"]]
    fake.now = NOW + 70 * DAY
    fake.run()
    assert authority.orders[2:] == [["shop.test", "new.test"]]


def test_the_controller_s_word_counts_where_a_host_cannot_reach_itself(fake: FakeHost, authority: Authority) -> None:
    fake.ask(provider="acme")
    authority.unreached = {"shop.test": "port 80 does not answer"}
    fake.run()
    assert authority.orders == []
    keeper = fake.keeper()
    keeper.seen = {"shop.test": ""}
    authority.refused = "shop.test"
    keeper.bring(keeper.requests["shop"], program.always)
    authority.refused = ""
    fake.run()  # the timer, which has no controller
    assert authority.orders == [["shop.test"], ["shop.test"]]


def test_after_a_day_the_authority_is_asked_whatever_the_host_sees(fake: FakeHost, authority: Authority) -> None:
    fake.ask(provider="acme")
    authority.unreached = {"shop.test": "port 80 does not answer"}
    for _turn in range(program.DAY_OF_FAILURES):
        fake.run()
    assert authority.orders == []
    fake.run()
    assert authority.orders == [["shop.test"]]


def test_what_the_authority_refuses_does_not_keep_the_others_from_their_first(
    fake: FakeHost, authority: Authority
) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", "late.test", provider="acme")
    authority.refused = "www.shop.test"
    authority.unreached = {"late.test": "it has no address"}
    entry = fake.run().report()["names"]["shop"]
    assert authority.orders == [["shop.test", "www.shop.test"], ["shop.test"]]
    assert (entry["temporary"], entry["domains"]) == (False, ["shop.test"])
    assert entry["error"].startswith("late.test: it has no address; www.shop.test: not by CAA (caa). ")


def test_refused_nonces_are_tried_again(fake: FakeHost, authority: Authority) -> None:
    fake.ask(provider="acme")
    authority.nonces = program.NONCE_ATTEMPTS - 1
    assert fake.run().report()["names"]["shop"]["error"] == ""
    assert authority.orders == [["shop.test"]]


def test_what_a_killed_certbot_left_is_put_aside(fake: FakeHost, authority: Authority) -> None:
    for part in ("live", "archive"):
        (fake.host.letsencrypt / part / "shop").mkdir(parents=True)
    record = fake.host.letsencrypt / "renewal" / "shop.conf"
    record.parent.mkdir(parents=True)
    record.write_text("")
    fake.ask(provider="acme")
    assert not fake.run().report()["names"]["shop"]["temporary"]
    assert authority.orders == [["shop.test"]]
    aside = {path.name for path in (fake.host.state / "shop" / "unfinished").iterdir()}
    assert aside == {"live-shop", "archive-shop", "renewal-shop.conf"}


def test_the_credentials_of_an_account_are_told_in_a_file_and_the_profile_in_words(
    fake: FakeHost, authority: Authority
) -> None:
    fake.host.account_options.write_text("eab-kid = 1\neab-hmac-key = secret\n")
    fake.ask("shop", "shop.test", "2001:DB8::0:1", provider="acme", profile="shortlived")
    fake.run()
    words = " ".join(authority.words)
    assert f"--config {fake.host.account_options}" in words
    assert "secret" not in words
    assert "--preferred-profile shortlived" in words
    assert words.endswith("--domain shop.test --ip-address 2001:db8::1")


class Index:
    """Stands for pip and the index behind it: notes what is run, and fails where it is told to."""

    def __init__(self, fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake = fake
        self.calls: list[tuple[str, ...]] = []
        self.failing = ""
        self.answer = "Looking\nERROR: no such version\n"
        self.link = fake.host.certbot
        self.link.parent.mkdir(parents=True)
        monkeypatch.setattr(program, "run", self.run)

    def run(self, *argv: str, environment: dict[str, str], **_options: Any) -> Any:
        self.calls.append(argv)
        if "venv" in argv:
            (Path(argv[-1]) / "bin").mkdir(parents=True)
            (Path(argv[-1]) / "bin/certbot").touch()
        if "pip" in argv:
            assert environment["PIP_CERT"] == program.CA_BUNDLE
        failed = bool(self.failing) and self.failing in argv
        return subprocess.CompletedProcess(argv, int(failed), "", self.answer if failed else "")

    def acme(self, pinned: str = "", *requirements: str) -> Any:
        """The provider of another run of the program, with these options."""
        self.calls.clear()
        self.fake.host.pinned.write_text(pinned)
        self.fake.options(pinned=bool(pinned), requirements=requirements)
        return self.fake.keeper().providers["acme"]

    def names(self) -> set[str]:
        """What there is of it on the host."""
        return {path.name for path in self.link.parent.iterdir()}


@pytest.fixture
def index(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Index:
    return Index(fake, monkeypatch)


def test_certbot_from_pypi_is_installed_as_it_is_pinned(index: Index) -> None:
    index.acme("certbot==5.8.0 --hash=sha256:0").install()
    new = str(index.link.resolve())
    hashed = ("--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(index.fake.host.pinned))
    assert index.calls == [
        ("/usr/bin/python3", "-I", "-m", "venv", new),
        (f"{new}/bin/python3", "-I", "-m", "pip", "install", "--quiet", "--no-cache-dir", *hashed),
        (f"{new}/bin/certbot", "--version"),
    ]
    acme = index.acme("certbot==5.8.0 --hash=sha256:0")
    acme.install()
    assert index.calls == [], "what is there is not installed again"
    assert acme.program == f"{index.link}/bin/certbot"


def test_what_the_user_chose_is_installed_beside_what_is_pinned_and_told(
    index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    index.acme("certbot==5.8.0 --hash=sha256:0", "certbot-dns-mine==1").install()
    pinned, chosen = (argv for argv in index.calls if "pip" in argv)
    assert "--require-hashes" in pinned
    assert Path(chosen[-1]).read_text() == "certbot-dns-mine==1\n"
    assert (
        "not pinned by this collection, so taken as the index gives it: certbot-dns-mine==1" in capsys.readouterr().err
    )

    index.acme("", "certbot==5.0.0").install()
    (chosen,) = (argv for argv in index.calls if "pip" in argv)
    assert "--require-hashes" not in chosen
    assert Path(chosen[-1]).read_text() == "certbot==5.0.0\n"


def test_another_certbot_takes_the_place_of_the_one_before_once_it_runs(index: Index) -> None:
    index.acme("certbot==5.8.0 --hash=sha256:0").install()
    first = index.link.resolve()

    # The index is down, or gives something else: the one before goes on.
    index.failing = "pip"
    acme = index.acme("certbot==5.9.0 --hash=sha256:1")
    for _name in ("shop", "wiki"):
        acme.install()
    assert len([argv for argv in index.calls if "pip" in argv]) == 1, "it is tried once in a run"
    assert (index.link.resolve(), index.names()) == (first, {index.link.name, first.name})
    assert acme.renew().startswith("certbot could not be installed from PyPI: pip: ERROR: no such version. ")
    assert index.calls[-1][:3] == (f"{index.link}/bin/certbot", "-q", "renew")

    # A run was killed while it installed.
    index.failing = ""
    acme = index.acme("certbot==5.9.0 --hash=sha256:1")
    (acme.environment_of_its_own / "half").mkdir(parents=True)
    acme.install()
    assert index.names() == {index.link.name, index.link.resolve().name}
    assert index.link.resolve() != first
    assert not (index.link / "half").exists()
    assert acme.renew() == ""


def test_without_any_certbot_it_is_told_why(index: Index) -> None:
    index.failing, index.answer = (
        "pip",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If\n",
    )
    acme = index.acme("certbot==5.8.0 --hash=sha256:0")
    for _name in ("shop", "wiki"):
        with pytest.raises(program.Refusal, match=r"FILE\. If\. The index gives something else than was published: "):
            acme.install()
    assert len([argv for argv in index.calls if "pip" in argv]) == 1, "it is tried once in a run"
    assert index.names() == set()


def make_wheel(directory: Path, says: str) -> str:
    """Something on the index under certbot's name; returns its hash."""
    directory.mkdir(exist_ok=True)
    wheel, about = directory / "certbot-5.8.0-py3-none-any.whl", "certbot-5.8.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("certbot.py", f"def main():\n    print({says!r})\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: certbot\nVersion: 5.8.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{about}/entry_points.txt", "[console_scripts]\ncertbot = certbot:main\n")
        archive.writestr(f"{about}/RECORD", "")
    return f"--hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


def test_a_wheel_that_is_not_the_pinned_one_is_not_installed(
    fake: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real pip, and an index that gives another wheel under the same name and version."""
    monkeypatch.setattr(program, "PYTHON", (sys.executable, "-I"))
    fake.host.certbot.parent.mkdir(parents=True)
    here = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index"), "PIP_CONFIG_FILE": os.devnull}
    fake.host.install_environment.write_text(json.dumps(here))
    fake.options(pinned=True)
    true = make_wheel(tmp_path / "index", "true")
    fake.host.pinned.write_text(f"certbot==5.8.0 {true}\n")
    make_wheel(tmp_path / "index", "false")
    with pytest.raises(program.Refusal, match="DO NOT MATCH THE HASHES"):
        fake.keeper().providers["acme"].install()
    assert not fake.host.certbot.is_symlink()

    true = make_wheel(tmp_path / "index", "true")
    fake.host.pinned.write_text(f"certbot==5.8.0 {true}\n")
    acme = fake.keeper().providers["acme"]
    acme.install()
    assert program.run(acme.program).stdout == "true\n"


@pytest.mark.parametrize(
    ("options", "request_options", "domains", "words"),
    [
        ({}, {}, ["*.shop.test"], "only for a DNS record: set challenge to dns-01"),
        ({}, {"challenge": "dns-01"}, ["shop.test"], "needs certificate_dns_plugin or certificate_dns_auth_hook"),
        ({}, {}, ["192.0.2.1"], "an IP address needs the profile shortlived and the challenge http-01"),
        ({}, {"profile": "tlsserver"}, ["shop.test"], "needs a newer certbot: set certificate_certbot to pypi"),
        ({"requirements": ["certbot==5.8.0"]}, {"profile": "shortlived"}, ["192.0.2.1"], ""),
        ({"dns_plugin": "ovh"}, {"challenge": "dns-01"}, ["shop.test", "*.shop.test"], ""),
    ],
)
def test_what_certbot_could_never_bring_is_refused(
    fake: FakeHost, options: dict[str, Any], request_options: dict[str, str], domains: list[str], words: str
) -> None:
    fake.options(**options)
    fake.ask("shop", *domains, provider="acme", **request_options)
    keeper = fake.keeper()
    objection = keeper.providers["acme"].objection(keeper.requests["shop"])
    assert words in objection
    assert bool(objection) is bool(words)


@pytest.mark.parametrize(
    ("options", "request_options", "words"),
    [
        ({}, {}, ["--webroot"]),
        (
            {"dns_auth_hook": "add", "dns_cleanup_hook": "del"},
            {"challenge": "dns-01"},
            ["--manual-cleanup-hook", "del"],
        ),
        (
            {"dns_plugin": "ovh", "dns_propagation_seconds": 30},
            {"challenge": "dns-01"},
            ["--authenticator", "dns-ovh", "--dns-ovh-propagation-seconds", "30"],
        ),
    ],
)
def test_certbot_is_told_how_the_authority_is_convinced(
    fake: FakeHost, options: dict[str, Any], request_options: dict[str, str], words: list[str]
) -> None:
    fake.options(**options)
    fake.ask("shop", "shop.test", "*.shop.test", provider="acme", **request_options)
    keeper = fake.keeper()
    told = " ".join(keeper.providers["acme"].challenge(keeper.requests["shop"])[0])
    assert " ".join(words) in told


# --- what is due ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "due"),
    [
        ({}, ""),
        (
            {"server": "https://staging.test/directory"},
            f"server is https://staging.test/directory instead of {DIRECTORY}",
        ),
        ({"key_type": "rsa"}, "key_type is rsa instead of ecdsa"),
        ({"webroot_path": "/srv/old,"}, "webroot_path is /srv/old instead of /var/www/acme"),
        ({"renew_hook": "/bin/false"}, ""),
    ],
)
def test_certbot_s_record_is_compared_with_the_options(fake: FakeHost, settings: dict[str, str], due: str) -> None:
    fake.ask(provider="acme")
    fake.lineage(**settings)
    keeper = fake.keeper()
    assert keeper.providers["acme"].due(keeper.requests["shop"], NOW) == due


@pytest.mark.parametrize(
    ("domains", "due"),
    [
        (["www.shop.test", "SHOP.test"], ""),
        (["shop.test"], "the names have changed (-www.shop.test)"),
        (["shop.test", "www.shop.test", "new.test"], "the names have changed (+new.test)"),
    ],
)
def test_names_are_compared_as_a_set(fake: FakeHost, domains: list[str], due: str) -> None:
    fake.ask("shop", *domains, provider="acme")
    fake.lineage("shop", "shop.test", "www.shop.test")
    keeper = fake.keeper()
    assert keeper.providers["acme"].due(keeper.requests["shop"], NOW) == due


@pytest.mark.parametrize(("days", "is_due"), [(60, False), (67, False), (68, True), (100, True)])
def test_a_certificate_that_certbot_neglects_is_due(fake: FakeHost, days: int, is_due: bool) -> None:
    fake.ask(provider="acme")
    fake.lineage()
    keeper = fake.keeper()
    assert bool(keeper.providers["acme"].due(keeper.requests["shop"], NOW + days * DAY)) is is_due


def test_a_live_directory_without_a_record_is_refused_before_an_order_is_spent(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    make_pair(fake.host.letsencrypt / "live" / "shop", "shop.test")
    keeper = fake.keeper()
    keeper.providers["acme"].reached = True
    with pytest.raises(program.Refusal, match=r"live/shop exists, but .*renewal/shop.conf does not.*Move"):
        keeper.providers["acme"].obtain(keeper.requests["shop"])


# --- what is served ---------------------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing_and_deploys_nothing(fake: FakeHost) -> None:
    fake.ask()
    first = fake.run()
    first.deploy()
    assert first.report()["changed"] == ["shop"]
    second = fake.run()
    second.deploy()
    assert second.report()["changed"] == []
    assert fake.deployed.read_text() == "x\n"


def test_a_deploy_command_that_failed_runs_again(fake: FakeHost) -> None:
    fake.ask()
    fake.options(deploy_command="sh -c 'echo it is broken; exit 1'")
    keeper = fake.run()
    keeper.deploy()
    assert "it is broken" in keeper.report()["names"]["shop"]["error"]
    fake.options(deploy_command=f"touch {fake.deployed}")
    keeper = fake.run()
    keeper.deploy()
    assert fake.deployed.exists()
    assert keeper.report()["names"]["shop"]["error"] == ""


def test_the_key_is_readable_by_nobody_else(fake: FakeHost) -> None:
    fake.ask()
    served = fake.run().store.current("shop")
    assert served.pair.privkey.stat().st_mode & 0o777 == 0o640
    served.pair.privkey.chmod(0o644)
    assert fake.run().changed == ["shop"]
    assert served.pair.privkey.stat().st_mode & 0o777 == 0o640


def test_a_temporary_pair_gives_way_to_the_real_one(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    keeper = fake.run(program.never)
    assert keeper.report()["names"]["shop"]["temporary"]
    assert keeper.report()["names"]["shop"]["issuer"] == "Self-signed (shop.test)"
    fake.lineage()
    keeper = fake.run(program.never)
    entry = keeper.report()["names"]["shop"]
    assert (entry["temporary"], entry["issuer"], entry["error"]) == (False, "Test (Issuer 1)", "")
    assert not (fake.host.state / "shop" / "self_signed").exists()


def test_what_certbot_renewed_is_served_though_nobody_said_so(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    fake.lineage()
    before = fake.run(program.never).store.current("shop")
    fake.lineage()
    after = fake.run(program.State.is_time).store.current("shop")
    assert before.fingerprint != after.fingerprint
    assert after.pair.fullchain.read_bytes() == (fake.host.letsencrypt / "live/shop/fullchain.pem").read_bytes()


def test_two_pairs_are_kept(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    seen = []
    for _turn in range(4):
        fake.lineage()
        seen.append(fake.run(program.never).store.current("shop").fingerprint)
    assert {path.name for path in (fake.host.served / "shop").iterdir()} == {"current", *seen[-2:]}


def test_a_pair_that_does_not_match_replaces_nothing(fake: FakeHost) -> None:
    fake.ask(provider="files")
    pair = fake.keeper().providers["files"].pair("shop")
    for suffix, other in (("good", None), ("bad", "privkey")):
        new = make_pair(fake.host.root / suffix, "shop.test")
        new.fullchain.rename(pair.fullchain)
        if other is None:
            new.privkey.rename(pair.privkey)
            before = fake.run().store.current("shop")
    keeper = fake.run()
    assert keeper.store.current("shop") == before
    assert keeper.changed == []
    assert "the key does not belong to the certificate" in keeper.report()["names"]["shop"]["error"]
    assert program.check(keeper, None) == 1


def issue(directory: Path, name: str, issuer: Path | None = None, *extensions: str, days: int = 90) -> Path:
    """A certificate with its key beside it, issued by another or by itself."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.pem"
    by = ["-CA", str(issuer), "-CAkey", str(issuer.with_suffix(".key"))] if issuer else []
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *by),
            *("-days", str(days), "-subj", f"/CN={name}", "-keyout", str(path.with_suffix(".key")), "-out", str(path)),
            *(word for extension in extensions for word in ("-addext", extension)),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.mark.parametrize(
    ("chain", "domains", "message"),
    [
        ("leaf intermediate", ["a.test"], ""),
        ("leaf intermediate root", ["a.test", "www.a.test"], ""),
        ("leaf", ["a.test"], "the intermediate certificate is missing. Append the certificate of its issuer"),
        ("leaf root", ["a.test"], "certificate 1 of 2 is not issued by the one after it. Write the site's own"),
        ("leaf root intermediate", ["a.test"], "certificate 1 of 3 is not issued by the one after it"),
        ("intermediate leaf", ["a.test"], "the key does not belong to the certificate"),
        ("leaf intermediate", ["a.test", "b.test"], "is for a.test, *.a.test and not for b.test: bring one that is"),
        ("leaf intermediate", ["x.y.a.test"], "and not for x.y.a.test"),
    ],
)
def test_the_chain_and_the_names_of_a_pair_of_one_s_own_are_looked_at(
    fake: FakeHost, chain: str, domains: list[str], message: str
) -> None:
    work = fake.host.root / "authority"
    root = issue(work, "root")
    intermediate = issue(work, "intermediate", root)
    leaf = issue(work, "leaf", intermediate, "subjectAltName=DNS:a.test,DNS:*.a.test", "basicConstraints=CA:FALSE")
    fake.ask("shop", *domains, provider="files", fullchain="files/shop.pem", privkey="files/shop.key")
    pair = fake.keeper().providers["files"].pair("shop")
    pair.fullchain.write_text("".join((work / f"{name}.pem").read_text() for name in chain.split()))
    leaf.with_suffix(".key").rename(pair.privkey)
    keeper = fake.keeper()
    objection = keeper.providers["files"].objection(keeper.requests["shop"])
    assert message in objection
    assert bool(objection) is bool(message)
    if message:
        assert "fullchain (files/shop.pem)" in objection


@pytest.mark.parametrize(("shift", "words"), [(91 * DAY, "expired on"), (-DAY, "begins")])
def test_a_pair_that_is_not_valid_now_is_refused(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, shift: int, words: str
) -> None:
    fake.ask(provider="files")
    pair = fake.keeper().providers["files"].pair("shop")
    new = make_pair(fake.host.root / "own", "shop.test")
    new.fullchain.rename(pair.fullchain)
    new.privkey.rename(pair.privkey)
    keeper = fake.keeper()
    files = keeper.providers["files"]
    assert files.objection(keeper.requests["shop"]) == ""
    monkeypatch.setattr(program.time, "time", lambda: NOW + shift)
    assert words in files.objection(keeper.requests["shop"])


def test_a_real_certificate_is_not_replaced_by_a_temporary_one(fake: FakeHost) -> None:
    """Another provider is chosen and its authority is down: what is there from before stays."""
    fake.ask(provider="files")
    pair = fake.keeper().providers["files"].pair("shop")
    new = make_pair(fake.host.root / "own", "shop.test")
    new.fullchain.rename(pair.fullchain)
    new.privkey.rename(pair.privkey)
    before = fake.run().store.current("shop")
    fake.options(directory="https://127.0.0.1:1/directory")
    fake.ask(provider="acme")
    keeper = fake.run()
    assert keeper.store.current("shop") == before
    assert "cannot be reached" in keeper.report()["names"]["shop"]["error"]


def test_a_self_signed_one_is_renewed_before_its_end(fake: FakeHost) -> None:
    fake.ask()
    before = fake.run().store.current("shop")
    fake.now = NOW + 243 * DAY
    assert fake.run().store.current("shop") == before
    fake.now = NOW + 244 * DAY
    keeper = fake.run()
    assert keeper.store.current("shop") != before


def test_a_damaged_pair_is_replaced(fake: FakeHost) -> None:
    fake.ask()
    served = fake.run().store.current("shop")
    served.pair.privkey.write_text("")
    keeper = fake.run()
    assert keeper.changed == ["shop"]
    keeper.store.current("shop").pair.check()


def test_the_timer_waits_for_the_end_of_the_pause_and_a_person_does_not(fake: FakeHost) -> None:
    fake.options(directory="https://127.0.0.1:1/directory")
    fake.ask(provider="acme")
    failures = []
    for now, may_ask in (
        (NOW, program.State.is_time),
        (NOW + MINUTE, program.State.is_time),
        (NOW + 2 * MINUTE, program.always),
        (NOW + 16 * MINUTE, program.State.is_time),
        (NOW + 18 * MINUTE, program.State.is_time),
    ):
        fake.now = now
        keeper = fake.run(may_ask)
        failures.append(program.State.load(keeper.state_path("shop")).failures)
    assert failures == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("days", "words"), [(60, ""), (68, "less than a quarter of its lifetime left"), (91, "expired on")]
)
def test_a_certificate_near_its_end_is_told(fake: FakeHost, days: int, words: str) -> None:
    fake.ask(provider="acme")
    fake.lineage()
    keeper = fake.run(program.never)
    fake.now = NOW + days * DAY
    late = keeper.late(keeper.requests["shop"])
    assert words in late
    assert bool(late) is bool(words)
    assert program.tend(keeper, None) == int(bool(words))


# --- what is served over the wire -------------------------------------------------------------------------------------


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with one certificate, for whatever name: its address, and the certificate."""
    pair = make_pair(tmp_path / "served", "shop.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.fullchain, pair.privkey)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", pair.fullchain
        server.shutdown()


def test_the_served_certificate_is_compared_with_the_file(tls_server: tuple[str, Path], tmp_path: Path) -> None:
    address, served = tls_server
    assert program.served_problem("shop.test", address, served) == ""
    assert program.served_problem("*.shop.test", address, served) == ""
    other = make_pair(tmp_path / "other", "shop.test").fullchain
    assert program.served_problem("shop.test", address, other) == f"{address} serves another certificate"


def test_where_nobody_serves_there_is_no_problem(tmp_path: Path) -> None:
    assert program.served_problem("shop.test", "127.0.0.1:1", make_pair(tmp_path, "shop.test").fullchain) == ""


def test_the_check_fails_for_what_is_served_and_names_the_file(
    fake: FakeHost, tls_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "RELOAD_WAIT", 0)
    fake.options(check_address=tls_server[0])
    fake.ask()
    keeper = fake.run()
    assert program.verify(keeper, None) == 1
    path = keeper.store.current("shop").pair.fullchain
    assert (
        f"shop: {tls_server[0]} serves another certificate for shop.test than {path}. Reload" in capsys.readouterr().err
    )
    fake.options(check_address="")
    assert program.verify(fake.keeper(), None) == 0


def test_the_check_looks_again_when_something_has_changed_meanwhile(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.ask()
    looks = []

    def not_served(keeper: Any, request: Any) -> str:
        looks.append(request.name)
        if len(looks) > 1:
            return "served is another one"
        fake.host.unseen.parent.mkdir(parents=True, exist_ok=True)
        fake.host.unseen.touch()
        return ""

    monkeypatch.setattr(program.Keeper, "not_served", not_served)
    monkeypatch.setattr(program, "RELOAD_WAIT", 0)
    assert program.verify(fake.run(), None) == 1
    assert looks == ["shop", "shop"]


# --- certbot's record -------------------------------------------------------------------------------------------------


def test_certbot_is_told_to_renew_by_a_fraction_of_the_lifetime(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    fake.lineage(renew_hook="/bin/false")
    fake.run(program.never)
    record = (fake.host.letsencrypt / "renewal/shop.conf").read_text().splitlines()
    assert record[0] == "renew_before_expiry = 720 hours"
    assert record[record.index("[renewalparams]") + 1] == f"renew_hook = {program.PROGRAM} deploy shop"
    assert not [line for line in record if "/bin/false" in line]
    assert fake.run(program.never).changed == []


def test_amending_a_record_twice_changes_nothing_more() -> None:
    record = "# renew_before_expiry = 30 days\nversion = 2.1.0\n[renewalparams]\naccount = x\n[[webroot_map]]\na = b\n"
    once = program.amended(record, "720 hours", "hook")
    assert program.amended(once, "720 hours", "hook") == once
    assert "# renew_before_expiry = 30 days\n" in once


# --- taking names off -------------------------------------------------------------------------------------------------


def test_a_removed_name_leaves_nothing(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def certbot(_provider: object, words: list[str]) -> tuple[str, bool]:
        calls.append(words)
        return "", True

    monkeypatch.setattr(program.Acme, "certbot", certbot)
    fake.ask(provider="acme")
    fake.lineage()
    fake.run()
    arguments = program.parser().parse_args(["remove", "shop", "--json"])
    with pytest.raises(program.Refusal, match="still configured"):
        program.remove(fake.keeper(), arguments)
    (fake.host.requests / "shop.json").unlink()
    keeper = fake.keeper()
    assert program.remove(keeper, arguments) == 0
    assert keeper.changed == ["shop"]
    assert calls == [["/usr/bin/certbot", "delete", "--non-interactive", "--cert-name", "shop"]]
    assert not (fake.host.served / "shop").exists()
    assert not (fake.host.state / "shop").exists()


def test_a_certificate_that_certbot_has_for_somebody_else_is_left_alone(fake: FakeHost) -> None:
    fake.lineage(renew_hook="systemctl reload postfix")
    assert fake.keeper().providers["acme"].forget("shop") is False


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_deploy_hook_of_a_run_s_own_certbot_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(program.WITHIN_A_RUN, "1")
    assert program.main(["deploy", "shop"]) == 0


def test_nobody_else_can_open_the_lock(fake: FakeHost) -> None:
    """Whoever can open a file can lock it, for ever."""
    with program.locked(fake.host.lock, 0):
        assert fake.host.lock.stat().st_mode & 0o777 == 0o600
        assert fake.host.lock.parent.stat().st_mode & 0o777 == 0o700


def test_a_second_run_at_the_same_time_waits_and_gives_up(tmp_path: Path) -> None:
    with program.locked(tmp_path / "lock", 0):  # noqa: SIM117
        with pytest.raises(program.Refusal, match="another run"), program.locked(tmp_path / "lock", 0.3):
            pass


def test_the_timer_that_meets_another_run_has_not_failed(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "Host", lambda: fake.host)
    with program.locked(fake.host.lock, 0):
        assert program.main(["tend"]) == 0


def test_the_report_for_a_person(fake: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    fake.ask("shop", "shop.test", "www.shop.test")
    program.show(fake.run().report(), as_json=False)
    assert capsys.readouterr().out.startswith("shop: Self-signed (shop.test), until 20")
