# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a usable certificate for every configured name at /etc/ssl/groundwork/NAME/current.

A provider (see PROVIDERS) brings the certificate: it has a place of its own for the pair, says why a new one is due,
and obtains it. Whatever lies in that place is checked, copied to /etc/ssl/groundwork/NAME/FINGERPRINT/, and the symlink
`current` is turned to the copy by a rename. What a web server reads is therefore always a whole, matching pair,
whatever a provider is doing at that moment. A name whose provider has nothing yet gets a temporary self-signed pair.

Every command looks at what is on the host and does what is missing, so one that was killed is healed by the next.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import grp
import hashlib
import io
import ipaddress
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, ClassVar

PROGRAM = "/usr/local/lib/groundwork/certificate"
OPENSSL, CERTBOT, SYSTEMCTL = "/usr/bin/openssl", "/usr/bin/certbot", "/usr/bin/systemctl"
PYTHON = ("/usr/bin/python3", "-I")
# What is started gets this environment, and of this program's own only what HANDED_ON matches: how the network is
# reached, and what certbot's plugins for clouds read.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
HANDED_ON = re.compile(
    r"(?i:https?|no|all)_(?i:proxy)|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|AWS_\w+|GOOGLE_APPLICATION_CREDENTIALS|TZ"
)
CHECK_UNIT = "groundwork-certificate-check.service"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# Set for what this program starts: certbot's deploy hook must not wait for the lock that its own parent holds.
WITHIN_A_RUN = "GROUNDWORK_CERTIFICATE_RUN"

MINUTE, HOUR, DAY = 60, 3600, 86400
FIRST_PAUSE, LONGEST_PAUSE = 15 * MINUTE, 12 * HOUR
LOCK_WAIT = 5 * MINUTE
CERTBOT_WAIT = 30  # seconds for another certbot to finish
CERTBOT_TIMEOUT = 5 * MINUTE
INSTALL_TIMEOUT = 10 * MINUTE
RENEW_TIMEOUT = 25 * MINUTE
DEPLOY_TIMEOUT = 2 * MINUTE
AUTHORITY_TIMEOUT = 10
TRIAL_TIMEOUT, TRIAL_TIME = 5, 10  # seconds for a name's own port 80: to connect, and for the answer with its redirects
TRIAL_BYTES, TRIAL_REDIRECTS, TRIAL_ADDRESSES = 2**16, 5, 8
SERVED_TIMEOUT, RELOAD_WAIT = 5, 10  # seconds for a handshake, and for a reload to reach every new connection
NONCE_ATTEMPTS = 5  # certbot gives up when the second nonce in a row is refused
DAY_OF_FAILURES = 10  # by then attempts are half a day apart
SELF_SIGNED_LIFETIME = 365 * DAY
KEPT_PAIRS = 2  # the current one and the one before
# How much of what others say is kept: characters of a message, and of what is quoted in one; bytes of what a program
# prints or logs, of an authority's directory, and of a certificate with its chain.
MESSAGE_LIMIT, QUOTE_LIMIT = 4000, 500
OUTPUT_LIMIT, DIRECTORY_LIMIT, PEM_LIMIT = 2**18, 2**18, 2**20
OUTPUT_GRACE = 2  # seconds for what a program has left behind to close its output
RENEW_FRACTION, LATE_FRACTION = 1 / 3, 1 / 4

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"(\*\.)?({LABEL}\.)*(?=.*[a-z]){LABEL}")
CHALLENGE_PATH = ".well-known/acme-challenge"
TRIAL_FILE = "groundwork-trial"
TRIAL_TOKEN = re.compile(r"[0-9a-f]{32}")


class Refusal(Exception):
    """Something that cannot be done now; the text is for a person.

    :param remedy: what that person can do about it.
    :param not_before: POSIX time before which another attempt is useless.
    :param kind: the authority's type of error, if it was the authority.
    :param domains: those of the names that the authority refused.
    """

    def __init__(
        self, text: str, remedy: str = "", not_before: float = 0, kind: str = "", domains: Sequence[str] = ()
    ) -> None:
        super().__init__(f"{one_line(text)}. {remedy}" if remedy else one_line(text))
        self.not_before, self.kind, self.domains = not_before, kind, tuple(domains)

    def after(self, text: str) -> Refusal:
        """The same, with another text before its own."""
        return Refusal(f"{text}; {self}", "", self.not_before, self.kind, self.domains)


class Busy(Refusal):
    """Another run of this program is at work."""


# --- small things -----------------------------------------------------------------------------------------------------


# C0 and C1 controls; what turns the direction of writing around or is not seen; line separators; surrogates.
UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def plain(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text as one line that a person can read, though a stranger wrote it.

    Control characters are shown as escapes, such as ``\\x1b``; what is beyond the limit is left out.
    """
    line = UNFIT.sub(lambda found: ascii(found[0])[1:-1], " ".join(text[: 4 * limit].split()))
    return line if len(line) <= limit and len(text) <= 4 * limit else f"{line[: limit - 1]}…"


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The same without the full stop at its end."""
    return plain(text, limit).rstrip(".")


def clock(moment: float) -> str:
    """A POSIX time as `2027-02-10T16:20:00Z`."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> float:
    """The POSIX time of what ``clock`` wrote; 0 for the empty text or one that is no time."""
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def date(at: float) -> str:
    """A POSIX time as `2027-02-10`."""
    return clock(at)[:10]


def to_the_journal() -> bool:
    """True when standard error is the journal, which takes a level in front of each line."""
    status = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


LEVELS = {"error": 3, "warning": 4, "notice": 5}


def say(text: str, level: str = "notice") -> None:
    """One line for the person who reads the journal or the terminal."""
    prefix = f"<{LEVELS[level]}>" if to_the_journal() else ""
    sys.stderr.write(f"{prefix}{one_line(text)}\n")
    sys.stderr.flush()


class Output(threading.Thread):
    """Reads what a program prints, and keeps the end of it: it may print more than there is memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.stream, self.kept = stream, bytearray()
        self.start()

    def run(self) -> None:
        while chunk := os.read(self.stream.fileno(), 2**16):
            self.kept += chunk
            del self.kept[:-OUTPUT_LIMIT]

    def text(self) -> str:
        """What it has printed; a process that it has left behind may hold the stream open for ever."""
        self.join(OUTPUT_GRACE)
        if not self.is_alive():
            self.stream.close()
        return bytes(self.kept).decode(errors="replace").replace("\r\n", "\n")


def run(
    *argv: str, timeout: float = 60, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command without a shell; its status is the caller's to judge. Refusal if it is absent or takes too long."""
    handed_on = {name: value for name, value in os.environ.items() if HANDED_ON.fullmatch(name)}
    try:
        process = subprocess.Popen(
            argv,
            env={**ENVIRONMENT, **handed_on, WITHIN_A_RUN: "1", **(environment or {})},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise Refusal(f"{argv[0]}: {error.strerror}", f"Install the package that has {argv[0]}.") from error
    assert process.stdout is not None
    assert process.stderr is not None
    printed, told = Output(process.stdout), Output(process.stderr)
    try:
        status = process.wait(timeout)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise Refusal(f"{argv[0]} did not finish within {timeout:.0f} s") from error
        raise
    return subprocess.CompletedProcess(argv, status, printed.text(), told.text())


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """TimeoutError when the block takes longer, whatever it waits for; for the main thread alone."""

    def end(*_arguments: object) -> None:
        raise TimeoutError(f"it takes more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file by a rename, readable by nobody else while it is written."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    temporary.rename(path)


def address_of(text: str) -> str:
    """The IP address that the text is, in its usual form; empty if it is none."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""


def alternative(domain: str) -> str:
    """The name as openssl takes it in subjectAltName."""
    return f"IP:{domain}" if address_of(domain) else f"DNS:{domain}"


def is_covered(domain: str, by: Sequence[str]) -> bool:
    """True when one of the names, of which some may be wildcards, is valid for the domain."""
    if address_of(domain):
        return domain in by
    parent = domain.partition(".")[2]
    return domain in by or f"*.{parent}" in by


def pause(failures: int) -> int:
    """Seconds to wait after so many failures in a row: 15 minutes for the first hour, then doubling up to 12 hours.

    Let's Encrypt allows 5 failed validations an hour for a name, and suspends an account's name after 1,152 in a row.
    """
    doublings = max(0, min(failures, 20) - 4)
    return min(LONGEST_PAUSE, FIRST_PAUSE << doublings)


@dataclass(frozen=True)
class Host:
    """Where things are on this host; another ``root`` is for tests."""

    root: Path = Path("/")

    @property
    def options(self) -> Path:
        return self.root / "etc/groundwork/certificate.json"

    @property
    def requests(self) -> Path:
        return self.root / "etc/groundwork/certificates"

    @property
    def served(self) -> Path:
        return self.root / "etc/ssl/groundwork"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/groundwork/certificates"

    @property
    def letsencrypt(self) -> Path:
        return self.root / "etc/letsencrypt"

    @property
    def certbot_log(self) -> Path:
        return self.root / "var/log/letsencrypt/letsencrypt.log"

    @property
    def certbot(self) -> Path:
        """certbot from PyPI: a symlink to the environment that is in use."""
        return self.root / "usr/local/lib/groundwork/certbot"

    @property
    def account_options(self) -> Path:
        """certbot's options with the credentials of an external account binding; there only if they are given."""
        return self.options.with_name("certificate-account.ini")

    @property
    def dns_credentials(self) -> Path:
        return self.options.with_name("certificate-dns.ini")

    @property
    def pinned(self) -> Path:
        """What certbot from PyPI is made of, as a requirements file with hashes; empty if the user chose a version."""
        return self.options.with_name("certificate-certbot.txt")

    @property
    def install_environment(self) -> Path:
        return self.options.with_name("certificate-install.json")

    @property
    def troubles(self) -> Path:
        """What was wrong the last time anybody looked."""
        return self.state / "troubles.json"

    @property
    def unseen(self) -> Path:
        """Is there while something is new that the check has not looked at."""
        return self.root / "run/groundwork/certificate.unseen"

    @property
    def lock(self) -> Path:
        return self.root / "run/groundwork/certificate/lock"


@contextlib.contextmanager
def locked(path: Path, wait: float) -> Iterator[None]:
    """Hold the lock, so that no two runs work at once; Busy when it is not free within ``wait`` seconds.

    Whoever can open a file can lock it for ever, so nobody else may: neither open it nor go into its directory.
    """
    path.parent.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w") as stream:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy(f"another run of this program has been at work for {wait:.0f} s") from None
                time.sleep(0.2)
        yield


# --- what is asked for ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """What holds for the host, from /etc/groundwork/certificate.json.

    :param check_address: HOST:PORT at which the served certificate is looked at; empty for nowhere.
    :param pinned: certbot is from PyPI, in an environment of its own, as the file of requirements pins it.
    :param requirements: what is installed there by the user's choice: plugins, or another version of certbot.
    :param dns_plugin: certbot's plugin for dns-01, without `dns-`; else the two hooks are its commands.
    """

    email: str
    directory: str
    ca_bundle: str
    key_type: str
    key_group: str
    webroot: str
    deploy_command: str
    check_address: str = ""
    pinned: bool = False
    requirements: tuple[str, ...] = ()
    dns_plugin: str = ""
    dns_propagation_seconds: int = 0
    dns_auth_hook: str = ""
    dns_cleanup_hook: str = ""

    @property
    def from_pypi(self) -> bool:
        return self.pinned or bool(self.requirements)

    @classmethod
    def load(cls, path: Path) -> Options:
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise Refusal(f"{path}: {error}", "Run the play again.") from error


@dataclass(frozen=True)
class Request:
    """One name: the domains it is for, the first being the canonical one, and who brings the certificate.

    :param fullchain: where the provider `files` has it from, for messages; and privkey.
    """

    name: str
    domains: tuple[str, ...]
    provider: str
    challenge: str = "http-01"
    profile: str = ""
    fullchain: str = ""
    privkey: str = ""

    @classmethod
    def load(cls, path: Path) -> Request:
        """Read a request; Refusal names the file and what is wrong with it."""
        try:
            given = json.loads(path.read_text())
            domains = (address_of(domain) or domain.lower() for domain in given["domains"])
            request = cls(**{**given, "domains": tuple(dict.fromkeys(domains))})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Refusal(f"{path}: {type(error).__name__}: {error}") from error
        if not NAME.fullmatch(request.name) or f"{request.name}.json" != path.name:
            raise Refusal(f"{path}: the name {request.name!r} is not usable, or not the file's")
        if request.provider not in PROVIDERS:
            raise Refusal(f"{path}: there is no provider {request.provider!r}; there are {', '.join(PROVIDERS)}")
        if not request.domains:
            raise Refusal(f"{path}: there is no domain", "Give at least one, the canonical one first.")
        if wrong := [
            domain
            for domain in request.domains
            if not address_of(domain) and (len(domain) > 253 or not DOMAIN.fullmatch(domain))
        ]:
            raise Refusal(f"{path}: {', '.join(wrong)}: no domain name", "Write letters beyond ASCII in the xn-- form.")
        return request


def load_requests(directory: Path) -> tuple[dict[str, Request], list[str]]:
    """All requests that can be read, by name, and what is wrong with the others."""
    requests, problems = {}, []
    for path in sorted(directory.glob("*.json")):
        try:
            requests[path.stem] = Request.load(path)
        except Refusal as refusal:
            problems.append(str(refusal))
    return requests, problems


@dataclass
class State:
    """What this program remembers of a name, in /var/lib/groundwork/certificates/NAME/state.json.

    :param failures: attempts that failed, one after the other.
    :param next_attempt: time of the next one, for the timer (a person's `issue` does not wait).
    :param error: why there is not the certificate that is asked for, or empty.
    :param deployed: fingerprint of the pair with which the deploy command last succeeded.
    :param deploy_error: what it said if it failed.
    :param left_out: domains that the certificate waits for, with the reason.
    :param seen: domains that the controller reached at this host; the host itself may not, behind a router.
    """

    failures: int = 0
    next_attempt: str = ""
    error: str = ""
    deployed: str = ""
    deploy_error: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read it; what cannot be read is as if it had never been."""
        try:
            given = json.loads(path.read_text())
            return cls(**{item.name: given[item.name] for item in fields(cls) if item.name in given})
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        """Write it if it differs from what is there."""
        if self != State.load(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(path, (json.dumps(asdict(self), indent=2) + "\n").encode(), 0o600)

    @property
    def outlook(self) -> str:
        """The error, and when there is another attempt."""
        return f"{self.error.rstrip('.')}." + (f" Next attempt at {self.next_attempt}." if self.next_attempt else "")

    def is_time(self, now: float) -> bool:
        return now >= moment(self.next_attempt)

    def failed(self, refusal: Refusal, now: float) -> None:
        """Note a failed attempt, and when the next one is to be."""
        self.failures += 1
        self.error = str(refusal)
        self.next_attempt = clock(max(now + pause(self.failures), refusal.not_before))

    def settled(self) -> None:
        """Note that nothing is left to ask for."""
        self.failures, self.next_attempt, self.error = 0, "", ""
        self.left_out, self.seen = {}, []


# --- pairs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, and its private key."""

    fullchain: Path
    privkey: Path

    @classmethod
    def within(cls, directory: Path) -> Pair:
        return cls(directory / "fullchain.pem", directory / "privkey.pem")

    @property
    def exists(self) -> bool:
        return self.fullchain.is_file() and self.privkey.is_file()

    @property
    def fingerprint(self) -> str:
        """Names the bytes to be served."""
        return hashlib.sha256(self.fullchain.read_bytes()).hexdigest()[:20]

    def check(self) -> None:
        """Refusal unless a web server can use it."""
        for path in (self.fullchain, self.privkey):
            if not path.is_file():
                raise Refusal(f"{path} does not exist")
            if path.stat().st_size > PEM_LIMIT:
                raise Refusal(f"{path} is too large for a certificate or key")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.fullchain, self.privkey, password=lambda: "")
        except ssl.SSLError as error:
            unreadable = f"cannot be read as PEM certificate and unencrypted key ({error})"
            reason = PAIR_ERRORS.get(error.reason or "", unreadable)
            raise Refusal(f"{self.fullchain} and {self.privkey}: {reason}") from error


PAIR_ERRORS = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "EE_KEY_TOO_SMALL": "the certificate's key is too short for any browser",
}


@dataclass(frozen=True)
class Facts:
    """What stands in a certificate; times are POSIX times."""

    issuer: str
    domains: tuple[str, ...]
    not_before: float
    not_after: float

    @property
    def lifetime(self) -> float:
        return self.not_after - self.not_before

    def has_less_than(self, fraction: float, now: float) -> bool:
        """True when less than this fraction of its lifetime is left."""
        return self.not_after - now < self.lifetime * fraction

    @classmethod
    def read(cls, fullchain: Path) -> Facts:
        """Ask openssl about the first certificate of the file."""
        shown = run(
            *(OPENSSL, "x509", "-noout", "-in", str(fullchain), "-dates", "-issuer"),
            *("-nameopt", "sep_multiline,sname,utf8", "-ext", "subjectAltName"),
        )
        if shown.returncode:
            raise Refusal(f"{fullchain} holds no certificate: {shown.stderr}")
        return cls.parse(shown.stdout)

    @classmethod
    def parse(cls, shown: str) -> Facts:
        """Read what `openssl x509` printed."""
        times = dict(re.findall(r"^(notBefore|notAfter)=(.+)$", shown, re.M))
        issuer = dict(re.findall(r"^\s+(O|CN)=(.+)$", shown, re.M))
        organization, common = issuer.get("O", ""), issuer.get("CN", "")
        return cls(
            issuer=f"{organization} ({common})" if organization and common else organization or common,
            domains=tuple(
                address_of(name) or name.lower() for name in re.findall(r"(?:DNS|IP Address):([^,\s]+)", shown)
            ),
            not_before=ssl.cert_time_to_seconds(times["notBefore"]),
            not_after=ssl.cert_time_to_seconds(times["notAfter"]),
        )


@dataclass(frozen=True)
class Served:
    """A pair in place below /etc/ssl/groundwork, with the provider that brought it."""

    directory: Path
    provider: str
    facts: Facts

    @property
    def pair(self) -> Pair:
        return Pair.within(self.directory)

    @property
    def fingerprint(self) -> str:
        return self.directory.name

    @classmethod
    def load(cls, directory: Path) -> Served | None:
        """What is in that directory if a web server can use it, else None."""
        try:
            given = json.loads((directory / "certificate.json").read_text())
            Pair.within(directory).check()
            return cls(
                directory,
                given["provider"],
                Facts(
                    given["issuer"], tuple(given["domains"]), moment(given["not_before"]), moment(given["not_after"])
                ),
            )
        except (Refusal, OSError, ValueError, TypeError, KeyError):
            return None

    def save(self) -> None:
        facts = self.facts
        text = {
            "provider": self.provider,
            "issuer": facts.issuer,
            "domains": facts.domains,
            "not_before": clock(facts.not_before),
            "not_after": clock(facts.not_after),
        }
        write(self.directory / "certificate.json", (json.dumps(text, indent=2) + "\n").encode())


class Store:
    """The pairs that are served, /etc/ssl/groundwork.

    :param group: the group that may read private keys; root if there is no such group.
    """

    def __init__(self, directory: Path, group: str) -> None:
        self.directory = directory
        try:
            self.gid = grp.getgrnam(group).gr_gid
        except KeyError:
            self.gid = 0

    def current(self, name: str) -> Served | None:
        """The pair that the name's stable path leads to, or None if there is none that can be used."""
        link = self.directory / name / "current"
        return Served.load(link.parent / os.readlink(link)) if link.is_symlink() else None

    def facts(self, name: str, pair: Pair) -> Facts:
        """What stands in a certificate; without a process if it is already in place."""
        served = Served.load(self.directory / name / pair.fingerprint)
        return served.facts if served else Facts.read(pair.fullchain)

    def install(self, name: str, pair: Pair, provider: str) -> bool:
        """Serve a copy of the pair; True if that changed anything. Refusal, and no change, if it does not match."""
        served = self.current(name)
        if served and (served.fingerprint, served.provider) == (pair.fingerprint, provider):
            return self.protect(served.pair)
        base = self.directory / name
        staging = base / ".new"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o755, parents=True)
        copy = Pair.within(staging)
        try:
            for source, target, mode in ((pair.fullchain, copy.fullchain, 0o644), (pair.privkey, copy.privkey, 0o600)):
                write(target, source.read_bytes(), mode)
            copy.check()
            self.protect(copy)
            Served(staging, provider, Facts.read(copy.fullchain)).save()
            target = base / copy.fingerprint
            if Served.load(target):
                os.replace(staging / "certificate.json", target / "certificate.json")
            else:
                shutil.rmtree(target, ignore_errors=True)
                staging.rename(target)
        except OSError as error:
            raise Refusal(f"{name}: {error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        self.turn(base, target)
        return True

    @staticmethod
    def turn(base: Path, target: Path) -> None:
        """Let `current` lead to the target, in one step, and remove what is older than the pair before it."""
        link = base / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        link.rename(base / "current")
        os.utime(target)
        pairs = [path for path in base.iterdir() if path.is_dir() and not path.is_symlink()]
        for path in sorted(pairs, key=os.path.getmtime)[:-KEPT_PAIRS]:
            shutil.rmtree(path)

    def protect(self, pair: Pair) -> bool:
        """Give the key its owner, group and mode; True if they were different."""
        status = pair.privkey.stat()
        if (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (os.getuid(), self.gid, 0o640):
            return False
        os.chown(pair.privkey, os.getuid(), self.gid)
        pair.privkey.chmod(0o640)
        return True

    def remove(self, name: str) -> bool:
        """Remove all pairs of the name; True if there were any."""
        found = (self.directory / name).is_dir()
        shutil.rmtree(self.directory / name, ignore_errors=True)
        return found


# --- providers --------------------------------------------------------------------------------------------------------


@dataclass
class Provider:
    """Who brings certificates. A provider keeps its pair in a place of its own and never touches what is served."""

    host: Host
    options: Options
    store: Store

    remedy_when_late = ""

    def pair(self, name: str) -> Pair:
        """The place where the provider keeps the name's pair."""
        raise NotImplementedError

    def objection(self, request: Request) -> str:
        """Why the provider can never bring what is asked for; empty if it can."""
        return ""

    def due(self, request: Request, now: float) -> str:
        """Why a new certificate is needed; empty if none is."""
        return ""

    def ready(self) -> None:
        """Refusal unless it can be asked at all."""

    def is_asked_over_http(self, request: Request) -> bool:
        """True when somebody else will look for an answer on port 80 of each domain."""
        return False

    def domains(self, name: str) -> tuple[str, ...]:
        """What the provider's pair is valid for; nothing if there is none."""
        pair = self.pair(name)
        return self.store.facts(name, pair).domains if pair.exists else ()

    def obtain(self, request: Request) -> None:
        """Put a new pair into the provider's place; Refusal if that fails."""

    def settle(self, request: Request, facts: Facts) -> None:
        """What remains to be done once the pair is in place."""

    def forget(self, name: str) -> bool:
        """Let go of a name that has another provider now, or is removed; True if there was anything."""
        return False

    def differences(self, request: Request) -> str:
        """How the names of the provider's certificate differ from those asked for."""
        has = set(self.store.facts(request.name, self.pair(request.name)).domains)
        wants = set(request.domains)
        changes = [f"+{domain}" for domain in sorted(wants - has)] + [f"-{domain}" for domain in sorted(has - wants)]
        return f"the names have changed ({' '.join(changes)})" if changes else ""


class Files(Provider):
    """The pair is the user's own, put beside the request by the play."""

    remedy_when_late = "Put a new pair in place of the two files and run the play."

    def pair(self, name: str) -> Pair:
        return Pair(self.host.requests / f"{name}.fullchain.pem", self.host.requests / f"{name}.privkey.pem")

    def objection(self, request: Request) -> str:
        """What is wrong with the pair, before it is served: its key, its chain, its dates, its names."""
        pair = self.pair(request.name)
        place = f"fullchain ({request.fullchain or pair.fullchain})"
        try:
            pair.check()
            check_chain(pair.fullchain)
            facts = Facts.read(pair.fullchain)
        except Refusal as refusal:
            return (
                str(refusal)
                .replace(str(pair.fullchain), place)
                .replace(str(pair.privkey), f"privkey ({request.privkey or pair.privkey})")
            )
        now = time.time()
        if not facts.not_before <= now < facts.not_after:
            when = (
                f"expired on {date(facts.not_after)}" if now > facts.not_before else f"begins {clock(facts.not_before)}"
            )
            return f"{place}: the certificate {when}: bring one that is valid now"
        if missing := [domain for domain in request.domains if not is_covered(domain, facts.domains)]:
            return (
                f"{place}: the certificate is for {', '.join(facts.domains) or 'no domain'} and not for "
                f"{', '.join(missing)}: bring one that is, or take them out of domains"
            )
        return ""


def blocks(fullchain: Path) -> list[str]:
    """The certificates of a PEM file."""
    return re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", fullchain.read_text(), re.S)


def check_chain(fullchain: Path) -> None:
    """Refusal unless each certificate is issued by the next one. A self-signed one may end the chain."""
    certificates = blocks(fullchain)
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / f"{number}.pem" for number, _block in enumerate(certificates, 1)]
        for path, block in zip(paths, certificates, strict=True):
            path.write_text(block)
        for path, issuer in pairwise(paths):
            if run(
                OPENSSL, "verify", "-partial_chain", "-no_check_time", "-trusted", *map(str, (issuer, path))
            ).returncode:
                raise Refusal(
                    f"{fullchain}: certificate {path.stem} of {len(paths)} is not issued by the one after it",
                    "Write the site's own certificate first, then its issuer's, then that one's.",
                )
        if len(paths) == 1:
            shown = run(OPENSSL, "x509", "-noout", "-subject_hash", "-issuer_hash", "-in", str(paths[0]))
            if len(set(shown.stdout.split())) > 1:
                raise Refusal(
                    f"{fullchain}: the intermediate certificate is missing",
                    "Append the certificate of its issuer, which came with it.",
                )


class SelfSigned(Provider):
    """A certificate that vouches for itself: for trials, inner networks, and until the real one is there."""

    remedy_when_late = f"`{PROGRAM} tend` renews it; its message says why it has not."
    key_options: ClassVar = {"ecdsa": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa": ("rsa:2048",)}

    def pair(self, name: str) -> Pair:
        return Pair.within(self.host.state / name / "self_signed")

    def due(self, request: Request, now: float) -> str:
        pair = self.pair(request.name)
        try:
            pair.check()
        except Refusal:
            return "there is none yet"
        if self.store.facts(request.name, pair).has_less_than(RENEW_FRACTION, now):
            return "less than a third of its lifetime is left"
        return self.differences(request)

    def obtain(self, request: Request) -> None:
        pair = self.pair(request.name)
        pair.privkey.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = Pair(pair.fullchain.with_suffix(".new"), pair.privkey.with_suffix(".new"))
        names = ",".join(map(alternative, request.domains))
        made = run(
            *(OPENSSL, "req", "-x509", "-nodes", "-newkey", *self.key_options[self.options.key_type]),
            *("-keyout", str(new.privkey), "-out", str(new.fullchain), "-days", str(SELF_SIGNED_LIFETIME // DAY)),
            *("-subj", f"/O=Self-signed/CN={request.domains[0][:64]}"),
            *("-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"),
            *("-addext", "extendedKeyUsage=serverAuth"),
        )
        if made.returncode:
            raise Refusal(f"openssl made no certificate: {made.stderr}")
        new.privkey.rename(pair.privkey)
        new.fullchain.rename(pair.fullchain)

    def forget(self, name: str) -> bool:
        found = self.pair(name).exists
        shutil.rmtree(self.host.state / name / "self_signed", ignore_errors=True)
        return found


class Acme(Provider):
    """An authority that speaks ACME, through certbot, which renews by its own timer and calls `deploy` when it has."""

    remedy_when_late = "`certbot renew --cert-name {name}` shows why it is not renewed."
    reached: Refusal | bool = False
    installed: Refusal | bool = False  # a Refusal beside a certbot that works: it is not the one that is asked for

    def pair(self, name: str) -> Pair:
        return Pair.within(self.host.letsencrypt / "live" / name)

    @property
    def program(self) -> str:
        return str(self.host.certbot / "bin/certbot") if self.options.from_pypi else CERTBOT

    def objection(self, request: Request) -> str:
        options, by_dns = self.options, request.challenge == "dns-01"
        wildcards = [domain for domain in request.domains if domain.startswith("*")]
        addresses = [domain for domain in request.domains if address_of(domain)]
        if wildcards and not by_dns:
            return (
                f"{', '.join(wildcards)}: an authority gives wildcards only for a DNS record: set challenge to dns-01"
            )
        if by_dns and not (options.dns_plugin or options.dns_auth_hook):
            return "the challenge dns-01 needs certificate_dns_plugin or certificate_dns_auth_hook"
        if addresses and (by_dns or request.profile != "shortlived"):
            return f"{', '.join(addresses)}: an IP address needs the profile shortlived and the challenge http-01"
        if request.profile and not options.from_pypi:
            return f"the profile {request.profile} needs a newer certbot: set certificate_certbot to pypi"
        return ""

    def ready(self) -> None:
        self.reach()
        self.install()

    def is_asked_over_http(self, request: Request) -> bool:
        return request.challenge == "http-01"

    def renewal(self, name: str) -> Path:
        """certbot's own record of the certificate."""
        return self.host.letsencrypt / "renewal" / f"{name}.conf"

    def hook(self, name: str) -> str:
        return f"{PROGRAM} deploy {name}"

    def settings(self, name: str) -> dict[str, str]:
        """What certbot's record says; the first of equal keys counts, for the last section is a map of domains."""
        try:
            lines = self.renewal(name).read_text().splitlines()
        except FileNotFoundError:
            return {}
        settings: dict[str, str] = {}
        for line in lines:
            key, equals, value = line.partition(" = ")
            if equals and not line.startswith("#"):
                settings.setdefault(key.strip(), value.strip().rstrip(","))
        return settings

    def changed_settings(self, request: Request) -> str:
        """How certbot's record differs from the options; certbot alone would go on with the old ones."""
        wanted = {"server": self.options.directory, "key_type": self.options.key_type, **self.challenge(request)[1]}
        has = self.settings(request.name)
        if request.profile or "preferred_profile" in has:
            wanted["preferred_profile"] = request.profile or "None"
        return ", ".join(
            f"{key} is {has.get(key)} instead of {value}" for key, value in wanted.items() if has.get(key) != value
        )

    def challenge(self, request: Request) -> tuple[list[str], dict[str, str]]:
        """certbot's words for how the authority is convinced, and how its record tells them."""
        options, plugin = self.options, self.options.dns_plugin
        if request.challenge == "http-01":
            return (
                ["--webroot", "--webroot-path", options.webroot],
                {"authenticator": "webroot", "webroot_path": options.webroot},
            )
        if not plugin:
            words = ["--manual", "--preferred-challenges", "dns", "--manual-auth-hook", options.dns_auth_hook]
            if options.dns_cleanup_hook:
                words += ["--manual-cleanup-hook", options.dns_cleanup_hook]
            return words, {"authenticator": "manual", "manual_auth_hook": options.dns_auth_hook}
        words = ["--authenticator", f"dns-{plugin}"]
        if self.host.dns_credentials.exists():
            words += [f"--dns-{plugin}-credentials", str(self.host.dns_credentials)]
        if options.dns_propagation_seconds:
            words += [f"--dns-{plugin}-propagation-seconds", str(options.dns_propagation_seconds)]
        return words, {"authenticator": f"dns-{plugin}"}

    def due(self, request: Request, now: float) -> str:
        pair = self.pair(request.name)
        if not (pair.exists and self.settings(request.name)):
            return "there is none yet"
        if self.store.facts(request.name, pair).has_less_than(LATE_FRACTION, now):
            return LATE
        return self.differences(request) or self.changed_settings(request)

    def obtain(self, request: Request) -> None:
        name, options = request.name, self.options
        self.ready()
        self.sweep(name)
        known = self.renewal(name).exists()
        if not known and (self.host.letsencrypt / "live" / name).exists():
            # certbot would order a certificate, spend the rate limit on it, and then fail to write it.
            raise Refusal(
                f"{self.host.letsencrypt}/live/{name} exists, but {self.renewal(name)} does not",
                "Move that directory, and the one of the same name in `archive`, away.",
            )
        again = known and bool(self.changed_settings(request))
        words = [
            *(self.program, "certonly", "--non-interactive", "--agree-tos", "--no-eff-email"),
            *(("--config", str(self.host.account_options)) if self.host.account_options.exists() else ()),
            *(("--email", options.email) if options.email else ("--register-unsafely-without-email",)),
            *("--server", options.directory, "--cert-name", name, "--key-type", options.key_type),
            *(*self.challenge(request)[0], "--deploy-hook", self.hook(name)),
            *(("--preferred-profile", request.profile) if request.profile else ()),
            *("--renew-with-new-domains", "--force-renewal" if again else "--keep-until-expiring"),
        ]
        for domain in request.domains:
            words += ["--ip-address" if address_of(domain) else "--domain", domain]
        for attempt in range(1, NONCE_ATTEMPTS + 1):
            log_start = self.log_size()
            output, succeeded = self.certbot(words)
            if succeeded:
                return
            refusal = explain(output, self.log_since(log_start), options.webroot)
            if isinstance(self.installed, Refusal):  # it may be the reason
                refusal = refusal.after(str(self.installed))
            if refusal.kind != "badNonce" or attempt == NONCE_ATTEMPTS:
                raise refusal

    def sweep(self, name: str) -> None:
        """Put aside what a certbot that was killed has left: it would call the next certificate NAME-0001, for ever."""
        record, places = self.renewal(name), [self.host.letsencrypt / part / name for part in ("live", "archive")]
        usable = self.pair(name).exists
        if (record.exists() and self.settings(name).get("fullchain") and usable) or not any(
            path.exists() for path in (record, *places)
        ):
            return
        if usable and not record.exists():
            return  # somebody's own: left to him
        aside = self.host.state / name / "unfinished"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700, parents=True)
        for path in (record, *places):
            if path.exists():
                shutil.move(path, aside / f"{path.parent.name}-{path.name}")
        say(f"{name}: what an unfinished run of certbot had left is now in {aside}", "warning")

    @property
    def environment_of_its_own(self) -> Path:
        """Where certbot from PyPI is to be: named by what is in it, and by the Python it was made with."""
        python = ".".join(map(str, sys.version_info[:3]))
        pinned = [self.host.pinned.read_text()] if self.options.pinned else []
        key = hashlib.sha256("\n".join([*pinned, *sorted(self.options.requirements), python]).encode()).hexdigest()[:12]
        return self.host.certbot.with_name(f"certbot-{key}")

    def install(self) -> None:
        """Have certbot from PyPI in an environment of its own, if it is to be from there.

        The link to it is turned when its certbot runs. Until then, and when that fails, the one before goes on; Refusal
        if there is none.
        """
        if not self.options.from_pypi or self.installed is True:
            return
        target, link = self.environment_of_its_own, self.host.certbot
        if link.is_symlink() and os.readlink(link) == target.name and Path(self.program).exists():
            return
        if self.installed is False:
            try:
                self.make(target)
            except Refusal as refusal:
                shutil.rmtree(target, ignore_errors=True)
                self.installed = refusal
                if Path(self.program).exists():
                    say(f"the certbot that was there before goes on: {refusal}", "warning")
        if isinstance(self.installed, Refusal):
            if Path(self.program).exists():
                return
            raise self.installed
        self.installed = True
        temporary = link.with_name(".certbot.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target.name)
        temporary.rename(link)
        for old in link.parent.glob("certbot-*"):
            if old != target:
                shutil.rmtree(old, ignore_errors=True)

    def make(self, target: Path) -> None:
        """Make the environment; Refusal if anything of it cannot be had.

        What is pinned is only taken with the right hash, and none of its code runs to install it. What the user has
        chosen is taken as the index gives it, unless it has hashes: pip then wants them of all that is not there yet.
        """
        pinned, chosen = self.host.pinned, self.options.requirements
        say("installing certbot from PyPI")
        shutil.rmtree(target, ignore_errors=True)
        given = json.loads(self.host.install_environment.read_text()) if self.host.install_environment.exists() else {}
        environment = {
            "PIP_CERT": CA_BUNDLE,
            "PIP_NO_INPUT": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            **given,
        }
        install = (f"{target}/bin/python3", "-I", "-m", "pip", "install", "--quiet", "--no-cache-dir")
        self.install_step("venv", (*PYTHON, "-m", "venv", str(target)), environment)
        if self.options.pinned:
            hashed = ("--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(pinned))
            self.install_step("pip", (*install, *hashed), environment)
        if chosen:
            say(f"not pinned by this collection, so taken as the index gives it: {', '.join(chosen)}", "warning")
            listed = target / "chosen.txt"
            listed.write_text("\n".join(chosen) + "\n")
            self.install_step("pip", (*install, "-r", str(listed)), environment)
        self.install_step("certbot", (f"{target}/bin/certbot", "--version"), environment)

    @staticmethod
    def install_step(name: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a step of the installation; Refusal with the reason if it fails."""
        done = run(*argv, timeout=INSTALL_TIMEOUT, environment=environment)
        if done.returncode:
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            reason = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "")
            tampered = "DO NOT MATCH THE HASHES" in reason
            raise Refusal(
                f"certbot could not be installed from PyPI: {name}: {one_line(reason, QUOTE_LIMIT)}",
                REMEDY_HASHES if tampered else REMEDY_INSTALL,
            )

    def renew(self) -> str:
        """Have certbot renew whatever is due; empty if all went well, else what went wrong."""
        log_start = self.log_size()
        try:
            self.install()
            words = [self.program, "-q", "renew", "--no-random-sleep-on-renew"]
            output, succeeded = self.certbot(words, timeout=RENEW_TIMEOUT)
        except Refusal as refusal:
            return str(refusal)
        problems = [] if succeeded else [str(explain(output, self.log_since(log_start), self.options.webroot))]
        problems += [str(self.installed)] if isinstance(self.installed, Refusal) else []
        return " ".join(problems)

    def certbot(self, words: Sequence[str], timeout: float = CERTBOT_TIMEOUT) -> tuple[str, bool]:
        """Run certbot, wait for another one that is at work; what it printed and whether it succeeded."""
        deadline = time.monotonic() + CERTBOT_WAIT
        while True:
            result = run(*words, timeout=timeout, environment=self.environment())
            output = f"{result.stdout}\n{result.stderr}"
            busy = "Another instance of Certbot is already running" in output
            if not busy or time.monotonic() > deadline:
                return output, result.returncode == 0
            time.sleep(2)

    def environment(self) -> dict[str, str]:
        return {"REQUESTS_CA_BUNDLE": self.options.ca_bundle} if self.options.ca_bundle else {}

    def reach(self) -> None:
        """Refusal unless the authority answers; asked once in a run, however many names wait."""
        if self.reached is False:
            try:
                ask_directory(self.options.directory, self.options.ca_bundle)
                self.reached = True
            except Refusal as refusal:
                self.reached = refusal
        if isinstance(self.reached, Refusal):
            raise self.reached

    def log_size(self) -> int:
        path = self.host.certbot_log
        return path.stat().st_size if path.exists() else 0

    def log_since(self, start: int) -> str:
        """What was logged since; the whole log if it was rotated in between."""
        try:
            with self.host.certbot_log.open("rb") as log:
                size = os.fstat(log.fileno()).st_size
                log.seek(max(start if size >= start else 0, size - OUTPUT_LIMIT))
                return log.read(OUTPUT_LIMIT).decode(errors="replace")
        except OSError:
            return ""

    def settle(self, request: Request, facts: Facts) -> None:
        """Let certbot renew when a third of the lifetime is left (half, below ten days), and call `deploy` then."""
        path = self.renewal(request.name)
        if not path.exists():
            return
        fraction = RENEW_FRACTION if facts.lifetime >= 10 * DAY else 1 / 2
        before = path.read_text()
        after = amended(before, f"{round(facts.lifetime * fraction / HOUR)} hours", self.hook(request.name))
        if after != before:
            write(path, after.encode(), path.stat().st_mode & 0o777)

    def forget(self, name: str) -> bool:
        """Delete certbot's certificate, unless it is not ours."""
        if self.settings(name).get("renew_hook") != self.hook(name):
            return False
        self.install()
        output, succeeded = self.certbot([self.program, "delete", "--non-interactive", "--cert-name", name])
        if not succeeded:
            raise Refusal(f"certbot did not delete {name}: {one_line(output, QUOTE_LIMIT)}")
        return True


PROVIDERS: dict[str, type[Provider]] = {"acme": Acme, "self_signed": SelfSigned, "files": Files}
TEMPORARY = "self_signed"


def ask_directory(url: str, ca_bundle: str) -> None:
    """Refusal, with the reason, unless an ACME authority answers at the URL."""
    import http.client  # here, because these three cost more time than an idle run of the timer takes in all
    import urllib.error
    import urllib.request

    not_found = f"the authority at {url} cannot be reached"
    try:
        context = ssl.create_default_context(cafile=ca_bundle or None)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certbot is not that strict either
        with (
            time_limit(2 * AUTHORITY_TIMEOUT),
            urllib.request.urlopen(url, timeout=AUTHORITY_TIMEOUT, context=context) as answer,
        ):
            directory = json.loads(answer.read(DIRECTORY_LIMIT))
        if not isinstance(directory, dict) or "newOrder" not in directory:
            raise ValueError
    except urllib.error.HTTPError as error:
        answer_text = f"the authority at {url} answers {error.code} {one_line(str(error.reason), QUOTE_LIMIT)}"
        raise Refusal(answer_text, REMEDIES["serverInternal"]) from error
    except urllib.error.URLError as error:
        untrusted = isinstance(error.reason, ssl.SSLCertVerificationError)
        remedy = REMEDY_UNTRUSTED if untrusted else REMEDY_UNREACHED
        raise Refusal(f"{not_found}: {one_line(str(error.reason), QUOTE_LIMIT)}", remedy) from error
    except ValueError as error:
        raise Refusal(f"{url} is not the directory of an ACME authority", "Correct the directory URL.") from error
    except FileNotFoundError as error:
        raise Refusal(f"the CA bundle {ca_bundle} does not exist on this host", REMEDY_UNTRUSTED) from error
    except OSError as error:
        raise Refusal(f"{not_found}: {error}", REMEDY_UNREACHED) from error
    except http.client.HTTPException as error:
        raise Refusal(f"{not_found}: no HTTP: {type(error).__name__}", REMEDY_UNREACHED) from error


def amended(record: str, window: str, hook: str) -> str:
    """certbot's record of a certificate, to be renewed this long before its end, with this deploy hook.

    Without the first, certbot 2 and 4.0 renew at 30 days whatever the lifetime is; the second is not stored by a run of
    certbot that had nothing to do.
    """
    section = "[renewalparams]"
    lines = [line for line in record.splitlines() if not line.startswith(("renew_before_expiry =", "renew_hook ="))]
    if section in lines:
        lines.insert(lines.index(section) + 1, f"renew_hook = {hook}")
    return "\n".join([f"renew_before_expiry = {window}", *lines]) + "\n"


LATE = "certbot has not renewed it, and less than a quarter of its lifetime is left"
REMEDY_INSTALL = (
    "Let this host reach the index, or name another one in /etc/pip.conf or certificate_install_environment; "
    "the next attempt installs it."
)
REMEDY_HASHES = (
    "The index gives something else than was published: find out why before you trust it, and name another index in "
    "/etc/pip.conf or certificate_install_environment."
)
REMEDY_NOT_SERVED = "Reload the server there; if its certificate is not from here, set certificate_check_address."
REMEDY_UNTRUSTED = "Give its root certificate in certificate_acme_ca_bundle."
REMEDY_UNREACHED = "Nothing needs to be done if it is down for a while; else correct the directory URL or the network."
# By the authority's type of error, RFC 8555 section 6.7.
REMEDIES = {
    "dns": "Let the name's A and AAAA records lead to this host, or take the name out.",
    "connection": "Let the name's A and AAAA records lead to this host, its port 80 open to all, or take the name out.",
    "other": (
        "Let the name's A and AAAA records lead to this host alone, whose web server serves the challenges, "
        "or take the name out."
    ),
    "unauthorized": "The name leads to another host, or this one does not serve {webroot}/.well-known/acme-challenge/.",
    "caa": "The name's CAA record does not allow this authority: add it there.",
    "rateLimited": "Wait; and try things out against the authority's staging directory.",
    "rejectedIdentifier": "This authority certifies no such name: take it out, or choose provider self_signed.",
    "accountDoesNotExist": "Remove its account below /etc/letsencrypt/accounts; the next attempt makes a new one.",
    "badNonce": "Nothing needs to be done: the authority is asked again later.",
    "serverInternal": "Nothing needs to be done: the authority has a fault, and is asked again later.",
}
PROBLEM = re.compile(
    r"Domain:\s*(?P<domain>\S+)\s+Type:\s*(?P<type>\S+)\s+Detail:\s*(?P<detail>.+?)(?=\n\s*Domain:|\n\s*\n|\Z)", re.S
)
ACME_ERROR = re.compile(r"urn:ietf:params:acme:error:(?P<type>\w+) :: (?P<detail>.+)")
RETRY_AFTER = re.compile(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")


def explain(output: str, log: str, webroot: str) -> Refusal:
    """Why certbot failed, in the authority's own words.

    certbot 2.1 prints only `AttributeError: can't set attribute` for a refused order; the truth is in its log.
    """
    remedy = "See /var/log/letsencrypt/letsencrypt.log."
    if problems := list(PROBLEM.finditer(output)):
        told = [{name: one_line(what, QUOTE_LIMIT) for name, what in one.groupdict().items()} for one in problems]
        text = "; ".join("{domain}: {detail} ({type})".format(**one) for one in told)
        kind = problems[0]["type"]
    elif error := ACME_ERROR.search(log) or ACME_ERROR.search(output):
        kind, text = error["type"], f"{one_line(error['detail'], QUOTE_LIMIT)} ({error['type']})"
    else:
        frame = ("Saving debug", "Ask for")
        lines = [line for line in output.splitlines() if line.strip() and not line.startswith(frame)]
        kind, text = "", f"certbot failed: {one_line(lines[-1], QUOTE_LIMIT) if lines else 'without a word'}"
    until = RETRY_AFTER.search(text)
    return Refusal(
        text,
        REMEDIES.get(kind, remedy).format(webroot=webroot),
        moment(f"{until[1]}T{until[2]}Z") if until else 0,
        kind,
        [problem["domain"].lower() for problem in problems],
    )


# --- whether a name leads here ----------------------------------------------------------------------------------------


@dataclass
class Trial:
    """A file that whoever follows a name over plain HTTP finds, if the name leads to this host."""

    webroot: Path

    @property
    def path(self) -> Path:
        return self.webroot / CHALLENGE_PATH / TRIAL_FILE

    def token(self) -> str:
        """What stands in the file, which is made if there is none that this program has written."""
        if not TRIAL_TOKEN.fullmatch(found := self.read()):
            found = secrets.token_hex(16)
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write(self.path, found.encode())
        return found

    def read(self) -> str:
        """The beginning of the file; empty for anything else than a file."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        with open(descriptor, "rb") as stream:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return stream.read(64).decode(errors="replace") if is_file else ""

    def end(self) -> None:
        self.path.unlink(missing_ok=True)


def try_names(domains: Sequence[str], token: str, port: int = 80) -> dict[str, str]:
    """Why each of the names does not lead to the host with the token; empty for one that does."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=20) as pool:
        return dict(zip(domains, pool.map(lambda domain: try_name(domain, token, port), domains), strict=True))


def try_name(domain: str, token: str, port: int = 80) -> str:
    """Why the name does not lead to the host with the token; empty if it does.

    Every address counts, for the authority takes which it likes, IPv6 first; but not one of a kind that this machine
    does not have.
    """
    try:
        found = socket.getaddrinfo(domain, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"it has no address ({error.strerror or error}). {REMEDIES['dns']}"
    wrong, closed, right = {}, {}, []
    for address in list(dict.fromkeys(str(entry[4][0]) for entry in found))[:TRIAL_ADDRESSES]:
        try:
            answer = ask_for_token(domain, address, port)
        except OSError as error:
            if error.errno not in (errno.ENETUNREACH, errno.EADDRNOTAVAIL):
                closed[address] = error.strerror or str(error)
            continue
        if answer == token:
            right.append(address)
        else:
            wrong[address] = answer
    if wrong:
        answers = " and ".join(f"{address} ({what})" for address, what in wrong.items())
        record = "its AAAA record leads to another server: " if right and all(":" in one for one in wrong) else ""
        return f"{record}another server answers at {answers}. {REMEDIES['other']}"
    if right:
        return ""
    reasons = (
        " and ".join(f"{address} ({reason})" for address, reason in closed.items()) or "an address of another kind"
    )
    return f"port {port} does not answer at {reasons}. {REMEDIES['connection']}"


class Incoming(io.RawIOBase):
    """What comes through a socket, as a file: until a moment and up to so many bytes, however slowly they come."""

    def __init__(self, connection: socket.socket, deadline: float, limit: int) -> None:
        self.connection, self.deadline, self.limit = connection, deadline, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.connection.settimeout(left(self.deadline))
        count = self.connection.recv_into(memoryview(buffer)[: self.limit]) if self.limit else 0
        self.limit -= count
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return io.BufferedReader(self)


def left(deadline: float) -> float:
    """The seconds until then; TimeoutError if there are none."""
    if (seconds := deadline - time.monotonic()) <= 0:
        raise TimeoutError("timed out")
    return seconds


def ask_for_token(domain: str, address: str, port: int) -> str:
    """What the server at the address answers for the name: the token, or a few words; OSError if it does not.

    A redirect is followed, as an authority does, whatever the certificate there is.
    """
    import http.client
    from urllib.parse import urljoin, urlsplit

    deadline = time.monotonic() + TRIAL_TIME
    name = f"[{domain}]" if ":" in domain else domain
    url, at = f"http://{name}/{CHALLENGE_PATH}/{TRIAL_FILE}", ""
    try:
        status, location, body = get(url, address, port, deadline)
        for _redirect in range(TRIAL_REDIRECTS):
            if not (300 <= status < 400 and location.endswith(f"/{CHALLENGE_PATH}/{TRIAL_FILE}")):
                break
            url = urljoin(url, location)
            parts, at = urlsplit(url), f" at {one_line(url, 200)}"
            if parts.scheme not in ("http", "https") or not parts.hostname:
                break
            try:
                target = parts.port or {"http": 80, "https": 443}[parts.scheme]
                status, location, body = get(url, parts.hostname, target, deadline)
            except OSError as error:
                return f"{error.strerror or error}{at}"
        return one_line(body, 64) if status == 200 else f"status {status}{at}"
    except (http.client.HTTPException, ValueError) as error:
        return f"no HTTP: {type(error).__name__}{at}"


def get(url: str, address: str, port: int, deadline: float) -> tuple[int, str, str]:
    """The status, where it leads to, and the beginning of what a server answers for a URL."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((address, port), min(TRIAL_TIMEOUT, left(deadline))))
        if parts.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection.settimeout(left(deadline))
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname=parts.hostname))
        path, host = parts._replace(scheme="", netloc="", fragment="").geturl(), parts.netloc.rpartition("@")[2]
        lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", "Accept: */*", "", "")
        connection.settimeout(left(deadline))
        connection.sendall("\r\n".join(lines).encode("ascii"))
        incoming: Any = Incoming(connection, deadline, TRIAL_BYTES)
        answer = http.client.HTTPResponse(incoming, method="GET")
        answer.begin()
        return answer.status, answer.getheader("Location") or "", answer.read(64).decode(errors="replace")


# --- what is served ---------------------------------------------------------------------------------------------------


def served_problem(domain: str, address: str, fullchain: Path) -> str:
    """How what a visitor of the name gets differs from the file; empty if it does not, or nobody serves the name.

    A name is not served when nobody listens at the address, or he refuses the handshake.
    """
    host, _colon, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    name = None if address_of(domain) else domain.replace("*", "groundwork-check", 1)
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), SERVED_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            served = secured.getpeercert(binary_form=True) or b""
    except OSError:
        return ""
    return "" if served == ssl.PEM_cert_to_DER_cert(blocks(fullchain)[0]) else f"{address} serves another certificate"


# --- the work ---------------------------------------------------------------------------------------------------------

MayAsk = Callable[[State, float], bool]


def never(_state: State, _now: float) -> bool:
    return False


def always(_state: State, _now: float) -> bool:
    return True


@dataclass
class Keeper:
    """Brings every name to what is asked for, as far as it can be done now.

    :param changed: names of which anything was changed.
    :param seen: why the controller did not reach this host under a domain; empty if it did.
    :param to_try: domains that somebody will look for on port 80.
    """

    host: Host = field(default_factory=Host)
    now: Callable[[], float] = time.time
    changed: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    to_try: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.options = Options.load(self.host.options)
        self.requests, self.problems = load_requests(self.host.requests)
        self.store = Store(self.host.served, self.options.key_group)
        self.trial = Trial(Path(self.options.webroot))
        self.providers = {name: kind(self.host, self.options, self.store) for name, kind in PROVIDERS.items()}

    def state_path(self, name: str) -> Path:
        return self.host.state / name / "state.json"

    def bring(self, request: Request, may_ask: MayAsk) -> None:
        """Obtain what is due if it may be asked for, and serve the best pair there is. Never raises Refusal."""
        name, now = request.name, self.now()
        provider = self.providers[request.provider]
        state = State.load(self.state_path(name))
        before = state.error
        try:
            due = provider.due(request, now)
            if not due:
                state.settled()
            elif may_ask(state, now):
                self.obtain(provider, request, due, state)
            elif provider.is_asked_over_http(request):
                self.to_try += self.untried(provider, request, due)
            if provider.pair(name).exists or request.provider == "files":
                self.install(request, request.provider)
                served = self.store.current(name)
                if served and served.provider == request.provider:
                    provider.settle(request, served.facts)
                    self.let_go(request)
            else:
                self.tide_over(request)
        except Refusal as refusal:
            state.error = str(refusal)
            if state.error != before:
                say(f"{name}: {state.error}", "error")
        state.save(self.state_path(name))

    def obtain(self, provider: Provider, request: Request, due: str, state: State) -> None:
        """Ask the provider for a new pair; what it says if it refuses is kept."""
        say(f"{request.name}: asking for a certificate ({request.provider}), because {due}")
        try:
            provider.ready()
            left_out = self.left_out(provider, request, due, state) if provider.is_asked_over_http(request) else {}
            refusal = self.order(provider, request, left_out)
            if left_out:
                untold = "; ".join(f"{domain}: {why}" for domain, why in left_out.items())
                refusal = refusal.after(untold) if refusal else Refusal(untold)
            if refusal:
                raise refusal
            state.settled()
        except Refusal as refusal:
            state.failed(refusal, self.now())
            seen = [f"{domain}: {self.seen[domain]}" for domain in refusal.domains if self.seen.get(domain)]
            if seen:
                state.error = one_line(f"{state.error.rstrip('.')}. Seen from the controller: {'; '.join(seen)}")
            verb = "left out of the certificate" if provider.domains(request.name) else "no new certificate"
            say(f"{request.name}: {verb}: {state.outlook}", "warning")

    def order(self, provider: Provider, request: Request, left_out: dict[str, str]) -> Refusal | None:
        """Obtain a certificate for what is not left out, unless there is one; why that failed, or failed at first.

        The first certificate is worth a second order: what the authority refuses in the first is left out of it.
        """
        subset = replace(request, domains=tuple(domain for domain in request.domains if domain not in left_out))
        if not subset.domains or not provider.due(subset, self.now()):
            return None
        try:
            provider.obtain(subset)
        except Refusal as refusal:
            rest = tuple(domain for domain in subset.domains if domain not in refusal.domains)
            if rest and len(rest) < len(subset.domains) and not provider.domains(request.name):
                provider.obtain(replace(request, domains=rest))
            return refusal
        return None

    @staticmethod
    def untried(provider: Provider, request: Request, due: str) -> list[str]:
        """The domains of which it is not known whether the authority would reach this host under them."""
        certified = () if due == LATE else provider.domains(request.name)
        return [domain for domain in request.domains if domain not in certified]

    def left_out(self, provider: Provider, request: Request, due: str, state: State) -> dict[str, str]:
        """Domains not to ask for now, and why: neither the controller nor this host reaches this host under them.

        One such domain would fail the whole order, and count against the authority's limits. What is certified already
        stays in, as long as its certificate is good. After a day of failures this host's own view counts no more:
        behind some routers it can never reach itself by its name.
        """
        domains = self.untried(provider, request, due)
        if not domains or state.failures >= DAY_OF_FAILURES:
            state.left_out = {}
            return {}
        found = try_names(domains, self.trial.token())
        state.seen = [
            domain for domain in domains if (not self.seen[domain] if domain in self.seen else domain in state.seen)
        ]
        state.left_out = {}
        for domain in domains:
            if found[domain] and domain in state.seen:
                say(f"{domain}: reached from the controller, not from this host: a router that does not send it back?")
            elif found[domain]:
                outside = self.seen.get(domain)
                beside = f" Seen from the controller: {outside}" if outside and outside != found[domain] else ""
                state.left_out[domain] = found[domain] + beside
        return state.left_out

    def install(self, request: Request, provider: str) -> None:
        """Serve the provider's pair."""
        name = request.name
        if self.store.install(name, self.providers[provider].pair(name), provider):
            self.changed.append(name)
            if served := self.store.current(name):
                facts = served.facts
                kind = "temporary certificate" if provider != request.provider else "certificate"
                say(f"{name}: the {kind} of {facts.issuer}, valid until {date(facts.not_after)}, is in place")

    def tide_over(self, request: Request) -> None:
        """A temporary self-signed pair, unless a better one is in place from before."""
        served = self.store.current(request.name)
        if served and served.provider != TEMPORARY:
            return
        temporary = self.providers[TEMPORARY]
        if temporary.due(request, self.now()):
            temporary.obtain(request)
        self.install(request, TEMPORARY)

    def let_go(self, request: Request) -> None:
        """Now that the right provider's pair is served, the others need not keep theirs."""
        for name, provider in self.providers.items():
            if name != request.provider and provider.forget(request.name):
                self.changed.append(request.name)

    def deploy(self) -> None:
        """Run the deploy command, once, if any name has a pair with which it has not succeeded yet."""
        waiting = {}
        for name in self.requests:
            state, served = State.load(self.state_path(name)), self.store.current(name)
            if served and state.deployed != served.fingerprint:
                waiting[name] = (state, served)
        if not waiting:
            return
        error = self.run_deploy_command()
        for name, (state, served) in waiting.items():
            state.deploy_error = error
            if not error:
                state.deployed = served.fingerprint
                self.changed.append(name)
            state.save(self.state_path(name))
        command, names = self.options.deploy_command, ", ".join(waiting)
        if error:
            say(f"{names}: {error}", "error")
        elif command:
            say(f"{names}: now in use (`{command}`)")

    def run_deploy_command(self) -> str:
        """Run it; empty if it succeeded, else what went wrong."""
        command = self.options.deploy_command
        if not command:
            return ""
        try:
            result = run(*shlex.split(command), timeout=DEPLOY_TIMEOUT)
        except (Refusal, ValueError) as error:
            return f"`{command}` failed, so the old certificate may still be in use: {error}"
        said = one_line(result.stderr + result.stdout, QUOTE_LIMIT) or f"exit status {result.returncode}"
        return f"`{command}` failed, so the old certificate may still be in use: {said}" if result.returncode else ""

    def not_served(self, request: Request) -> str:
        """Which of the names are served with another certificate than the one in place; empty if none is."""
        served, address = self.store.current(request.name), self.options.check_address
        if served is None or not address:
            return ""
        problems: dict[str, str] = {}
        for domain in served.facts.domains:
            if problem := served_problem(domain, address, served.pair.fullchain):
                problems[domain] = problem
        if not problems:
            return ""
        reason = next(iter(problems.values()))
        return f"{reason} for {', '.join(problems)} than {served.pair.fullchain}. {REMEDY_NOT_SERVED}"

    def troubles(self) -> list[str]:
        """What a person must know of: nothing that heals by itself in time."""
        found = list(self.problems)
        for name, request in self.requests.items():
            state = State.load(self.state_path(name))
            found += [f"{name}: {problem}" for problem in (state.deploy_error, self.late(request)) if problem]
        return found

    def have_checked(self) -> None:
        """Let the unit that raises the alert look, if there is anything new to see: a pair, a trouble, or its end."""
        troubles, path = self.troubles(), self.host.troubles
        before = path.read_text() if path.exists() else "[]"
        after = json.dumps(troubles, indent=2)
        if json.loads(before) != troubles:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(path, after.encode(), 0o600)
        elif not self.changed:
            return
        self.host.unseen.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.host.unseen.touch()
        if self.host.root == Path("/"):
            run(SYSTEMCTL, "start", "--no-block", CHECK_UNIT)

    def late(self, request: Request) -> str:
        """What is to be said of a certificate that should have been renewed by now; empty if all is well."""
        served = self.store.current(request.name)
        if served is None:
            return "there is no usable certificate"
        if not served.facts.has_less_than(LATE_FRACTION, self.now()):
            return ""
        end = served.facts.not_after
        remedy = self.providers[request.provider].remedy_when_late.format(name=request.name)
        verb = "expired" if end < self.now() else "has less than a quarter of its lifetime left and expires"
        return f"the certificate {verb} on {date(end)}. {remedy}"

    def describe(self, request: Request) -> dict[str, Any]:
        """The name's entry in the report."""
        state, served = State.load(self.state_path(request.name)), self.store.current(request.name)
        problems = []
        if state.error:
            problems.append(state.outlook)
        elif served and (missing := [name for name in request.domains if not is_covered(name, served.facts.domains)]):
            problems.append(f"The certificate is not valid for {', '.join(missing)}.")
        problems += [state.deploy_error] if state.deploy_error else []
        problems += [late] if (late := self.late(request)) else []
        return {
            "provider": request.provider,
            "issuer": plain(served.facts.issuer, 200) if served else "",
            "until": date(served.facts.not_after) if served else "",
            "temporary": served is not None and served.provider == TEMPORARY != request.provider,
            "error": plain(" ".join(problems)),
            "domains": [plain(domain, 255) for domain in (served.facts.domains if served else ())],
        }

    def report(self) -> dict[str, Any]:
        return {
            "changed": sorted(set(self.changed)),
            "names": {name: self.describe(request) for name, request in self.requests.items()},
            "problems": self.problems,
            **({"trial": {"domains": self.to_try, "token": self.trial.token()}} if self.to_try else {}),
        }

    def select(self, names: Sequence[str]) -> list[Request]:
        """The requests of these names; Refusal for one that is not configured."""
        if unknown := [name for name in names if name not in self.requests]:
            raise Refusal(f"{', '.join(unknown)}: not configured in {self.host.requests}")
        return [self.requests[name] for name in names]


# --- commands ---------------------------------------------------------------------------------------------------------


def prepare(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Give every name a usable pair, asking nobody."""
    for request in keeper.requests.values():
        keeper.bring(request, never)
    show(keeper.report(), arguments.json)
    return 0


def issue(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Ask for whatever is due now, and put it to use."""
    requests = keeper.select(list(keeper.requests) if arguments.all else arguments.name)
    keeper.seen = {domain: one_line(why, QUOTE_LIMIT) for domain, why in json.loads(arguments.seen or "{}").items()}
    for request in requests:
        keeper.bring(request, always)
    keeper.trial.end()
    keeper.deploy()
    keeper.have_checked()
    report = keeper.report()
    show(report, arguments.json)
    # With --json the reader judges the report; a person's shell gets a status.
    return int(not arguments.json and any(report["names"][request.name]["error"] for request in requests))


def tend(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """What the timer does: ask for what is due if its pause is over, put to use what nobody has, look at the dates."""
    del arguments
    for request in keeper.requests.values():
        keeper.bring(request, State.is_time)
    keeper.trial.end()
    keeper.deploy()
    keeper.have_checked()
    troubles = keeper.troubles()
    for trouble in troubles:
        say(trouble, "error")
    return int(bool(troubles))


def renew(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """What the timer of certbot from PyPI does: have certbot renew what is due, and put it to use."""
    del arguments
    acme = keeper.providers["acme"]
    assert isinstance(acme, Acme)
    if problem := acme.renew():
        say(problem, "error")
    for request in keeper.requests.values():
        keeper.bring(request, never)
    keeper.trial.end()
    keeper.deploy()
    keeper.have_checked()
    return int(bool(problem))


def verify(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Say what needs a person: dates, reloads that failed, and names served with another certificate than their own."""
    keeper.host.unseen.unlink(missing_ok=True)
    deadline = time.monotonic() + RELOAD_WAIT
    requests = list(keeper.requests.values())
    while True:
        unserved = [f"{request.name}: {why}" for request in requests if (why := keeper.not_served(request))]
        if not unserved or time.monotonic() > deadline:
            break
        time.sleep(1)
    found = keeper.troubles() + unserved
    if keeper.host.unseen.exists():  # another look was asked for meanwhile, and systemd does not start what runs
        return verify(Keeper(keeper.host, keeper.now), arguments)
    for trouble in found:
        say(trouble, "error")
    return int(bool(found))


def deploy(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """What certbot calls after a renewal."""
    for request in keeper.select(arguments.name):
        keeper.bring(request, never)
    keeper.deploy()
    keeper.have_checked()
    return int(any(State.load(keeper.state_path(name)).deploy_error for name in arguments.name))


def status(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Say how things are; nothing is changed."""
    show(keeper.report(), arguments.json)
    return 0


def remove(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Take names off the host: nothing of them is renewed any more, nothing of them is left."""
    for name in arguments.name:
        if not NAME.fullmatch(name):
            raise Refusal(f"{name!r} is not a name")
        if name in keeper.requests:
            raise Refusal(f"{name} is still configured", f"Remove {keeper.host.requests}/{name}.json first.")
        forgotten = [provider.forget(name) for provider in keeper.providers.values()]
        removed = keeper.store.remove(name)
        shutil.rmtree(keeper.host.state / name, ignore_errors=True)
        if removed or any(forgotten):
            keeper.changed.append(name)
            say(f"{name}: removed")
    show(keeper.report(), arguments.json)
    return 0


def check(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Say what is wrong with the configuration; nothing is changed."""
    del arguments
    problems = list(keeper.problems)
    for name, request in keeper.requests.items():
        if objection := keeper.providers[request.provider].objection(request):
            problems.append(f"{name}: {objection}")
    for problem in problems:
        say(problem, "error")
    return int(bool(problems))


def show(report: dict[str, Any], as_json: bool) -> None:
    """Print the report, for a program or for a person."""
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return
    for name, entry in report["names"].items():
        kind = "temporary, " if entry["temporary"] else ""
        issuer, until, domains = entry["issuer"] or "none", entry["until"] or "-", " ".join(entry["domains"])
        sys.stdout.write(f"{name}: {kind}{issuer}, until {until}, {domains}\n")
        if entry["error"]:
            sys.stdout.write(f"  {entry['error']}\n")
    for problem in report["problems"]:
        sys.stdout.write(f"{problem}\n")


@dataclass(frozen=True)
class Command:
    """A command of this program.

    :param names: how many names it takes, in argparse's notation.
    :param wait: seconds it waits for another run to end; None for a command that only looks.
    """

    function: Callable[[Keeper, argparse.Namespace], int]
    names: str = ""
    json: bool = False
    all: bool = False
    wait: float | None = LOCK_WAIT


COMMANDS = {
    "prepare": Command(prepare, json=True),
    "issue": Command(issue, names="*", json=True, all=True),
    "tend": Command(tend, wait=0),
    "deploy": Command(deploy, names="+"),
    "renew": Command(renew),
    "verify": Command(verify, wait=None),
    "status": Command(status, json=True, wait=None),
    "remove": Command(remove, names="+", json=True),
    "check": Command(check, wait=None),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="certificate", description=(__doc__ or "").partition("\n")[0])
    commands = top.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.function.__doc__, description=command.function.__doc__)
        if command.names:
            one.add_argument("name", nargs=command.names)
        if command.all:
            one.add_argument("--all", action="store_true", help="every configured name")
            one.add_argument("--seen", metavar="JSON", help="what `try` said elsewhere")
        if command.json:
            one.add_argument("--json", action="store_true", help="for a program to read")
    trial = commands.add_parser("try", help=show_trial.__doc__, description=show_trial.__doc__)
    trial.add_argument("--token", required=True)
    trial.add_argument("domain", nargs="+")
    return top


def show_trial(token: str, domains: Sequence[str]) -> int:
    """Print, as JSON, why each domain does not lead to the host that has the token; empty if it does. Runs anywhere."""
    sys.stdout.write(json.dumps(try_names(domains, token), indent=2) + "\n")
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; the status is 0 if all is well, 1 if not, 2 if it could not be tried."""
    arguments = parser().parse_args(words)
    if arguments.command == "try":
        return show_trial(arguments.token, arguments.domain)
    command = COMMANDS[arguments.command]
    if arguments.command == "deploy" and os.environ.get(WITHIN_A_RUN):
        return 0  # the run that started certbot puts the pair in place itself
    os.umask(0o022)
    host = Host()
    try:
        if command.wait is None:
            return command.function(Keeper(host), arguments)
        with locked(host.lock, command.wait):
            return command.function(Keeper(host), arguments)
    except Refusal as refusal:
        if isinstance(refusal, Busy) and command.function is tend:
            return 0  # that run sees to the same; the timer comes again
        say(str(refusal), "error")
        return 2


if __name__ == "__main__":
    sys.exit(main())
