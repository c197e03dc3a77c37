"""Requests that no server should take: those that Gunicorn's own tests must see refused, sent through the proxy.

They come from Gunicorn's source distribution, downloaded when the test runs. Which of them get through is told by the
app `witness`, which answers whatever reaches it.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import testing
from testinfra.host import Host
from visitor import Site
from wire import exchange, status

GUNICORN = "27.0.1"
SHA256 = "b1514965361c8b7e8107a80aa2a92636878df1ccfac6dd204a676426e04d9e3e"
SEEN = b'"script_name"'  # in each answer of the witness


@dataclass(frozen=True)
class Attempt:
    """What came of one malformed request. `answers`: how many; `passed`: how many of them the app gave."""

    name: str
    status: int
    answers: int
    passed: int

    def __str__(self) -> str:
        return f"{self.name}: status {self.status}, {self.answers} answers, {self.passed} by the app"


def parse(text: bytes) -> bytes:
    """Return what a file of Gunicorn's tests stands for, as its tests read it."""
    joined = text.replace(b"\n", b"").replace(b"\\r\\n", b"\r\n")
    plain = joined.replace(b"\\0", b"\0").replace(b"\\n", b"\n").replace(b"\\t", b"\t")
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda escape: bytes.fromhex(escape[1].decode()), plain)


@pytest.fixture(scope="module", autouse=True)
def nobody_else_asks(host: Host) -> Iterator[None]:
    """The watch asks for the sites too; here the requests that an app has seen are counted."""
    host.check_output("systemctl stop groundwork-watch.timer groundwork-watch.service")
    yield
    host.check_output("systemctl start groundwork-watch.timer")


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The requests by name."""
    directory = tmp_path_factory.mktemp("gunicorn")
    wanted = (f"gunicorn=={GUNICORN}", "--no-deps", "--no-binary=gunicorn")
    subprocess.run(
        (sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(directory), *wanted),
        check=True,
        timeout=600,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    (archive,) = Path(directory).glob("*.tar.gz")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256
    with tarfile.open(archive) as sdist:
        found = {
            Path(member.name).stem: parse(stream.read())
            for member in sdist
            if re.search(r"/tests/requests/invalid/[^/]+\.http$", member.name) and (stream := sdist.extractfile(member))
        }
    assert len(found) == 81
    return found


def told(host: Host) -> int:
    """Return how many requests the witness has seen."""
    host.check_output("journalctl --namespace=witness --sync")
    return int(
        host.check_output("journalctl --namespace=witness --output=cat --no-pager | grep -c '^witness:' || true")
    )


def attempt_all(site: Site, requests: dict[str, bytes]) -> list[Attempt]:
    def attempt(name: str) -> Attempt:
        answer = exchange(site, requests[name], silence=5)
        return Attempt(name, status(answer), len(re.findall(rb"HTTP/1\.[01] \d{3}", answer)), answer.count(SEEN))

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(attempt, requests))


def with_host(request: bytes, name: str) -> bytes:
    """Return the request for a site of the proxy, where it named another host or none."""
    line, end, rest = request.partition(b"\r\n")
    return line + end + b"Host: " + name.encode() + b"\r\n" + re.sub(rb"(?i)(?m)^host:.*\r\n", b"", rest)


def test_they_are_refused(
    host: Host, witness: Site, requests: dict[str, bytes], figure: Callable[[str, object], None]
) -> None:
    before = told(host)
    attempts = attempt_all(witness, requests)
    passed = [attempt for attempt in attempts if attempt.passed]
    figure("malformed requests refused", f"{len(attempts) - len(passed)} of {len(attempts)}")
    assert len(attempts) - len(passed) >= 75, "\n".join(map(str, passed))
    assert [str(attempt) for attempt in attempts if attempt.answers > 1 or attempt.passed > 1] == []
    assert testing.poll(lambda: told(host) - before >= len(passed))
    assert told(host) - before == len(passed), "the app has seen requests whose answer nobody got"


def test_none_is_two_requests_for_the_app(
    host: Host, witness: Site, requests: dict[str, bytes], figure: Callable[[str, object], None]
) -> None:
    """The same with the site's own name as Host, where the lack of one cannot be why they are refused.

    nginx mends some (what is no HTTP to Gunicorn but clear to nginx arrives clean), and may refuse what follows one.
    """
    before = told(host)
    attempts = attempt_all(witness, {name: with_host(request, witness.name) for name, request in requests.items()})
    passed = [attempt for attempt in attempts if attempt.passed]
    figure("malformed requests refused, with Host", f"{len(attempts) - len(passed)} of {len(attempts)}")
    assert [str(attempt) for attempt in attempts if attempt.passed > 1] == []
    assert testing.poll(lambda: told(host) - before >= len(passed))
    assert told(host) - before == len(passed), "the app has seen requests whose answer nobody got"
