"""What the tests of the certificate program share: a host below a directory, a CA, and a server that means harm."""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import config, order, reconcile
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.certbot import Acme
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.certbot_program import CertbotProgram
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.config import Paths
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.context import Context
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.reconcile import Reconciler
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.store import CertificateFiles
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

DIRECTORY = "https://ca.test/directory"
WEBROOT = on_host("acme_webroot")
NOW = time.time()
NO_ARGUMENTS = argparse.Namespace()
MINUTE, HOUR, DAY = 60, 3600, 86400


def make_certificate(directory: Path, *domains: str, days: int = 90, key: str = "ec") -> Any:
    """Make a certificate and key with openssl, valid from now."""
    directory.mkdir(parents=True, exist_ok=True)
    kind = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"], "short": ["rsa:1024"]}[key]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", *kind),
            *("-days", str(days), "-subj", "/O=Test/CN=Issuer 1"),
            *("-addext", "subjectAltName=" + ",".join(f"DNS:{domain}" for domain in domains)),
            *("-keyout", str(directory / "privkey.pem"), "-out", str(directory / "fullchain.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return CertificateFiles.within(directory)


class FakeHost:
    """A host below a directory, with a clock that can be moved, and a log of what was deployed."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
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
        self.paths.options.parent.mkdir(parents=True, exist_ok=True)
        self.paths.options.write_text(json.dumps(given))

    def ask(self, name: str = "shop", *domains: str, provider: str = "self_signed", **more: str) -> None:
        """Configure a name."""
        self.paths.requests.mkdir(parents=True, exist_ok=True)
        request = {"name": name, "domains": domains or ("shop.test",), "provider": provider, **more}
        (self.paths.requests / f"{name}.json").write_text(json.dumps(request))

    def reconciler(self) -> Any:
        return Reconciler(Context(self.paths, lambda: self.now))

    def run(self, may_order: Callable[..., bool] = reconcile.always) -> Any:
        """What `issue`, `reconcile` and `prepare` have in common; returns the reconciler afterwards."""
        reconciler = self.reconciler()
        for request in reconciler.context.requests.values():
            reconciler.reconcile(request, may_order)
        return reconciler

    def lineage(self, name: str = "shop", *domains: str, **settings: str) -> None:
        """A certificate as certbot leaves it."""
        make_certificate(self.paths.letsencrypt / "live" / name, *(domains or ("shop.test",)))
        record = {
            "fullchain": "here",
            "authenticator": "webroot",
            "server": DIRECTORY,
            "key_type": "ecdsa",
            "webroot_path": f"{WEBROOT},",
            "renew_hook": f"{config.PROGRAM} deploy {name}",
            **settings,
        }
        path = self.paths.letsencrypt / "renewal" / f"{name}.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{key} = {value}" for key, value in record.items()]
        path.write_text("\n".join(["version = 2.1.0", "[renewalparams]", *lines, "[[webroot_map]]", "a = b"]) + "\n")


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


class FakeCA:
    """Stands for the CA behind certbot: notes what is ordered, refuses a domain, and leaves a lineage."""

    def __init__(self, fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake = fake
        self.orders: list[list[str]] = []
        self.refused = ""
        self.unreached: dict[str, str] = {}
        self.nonces = 0
        self.words: list[str] = []
        monkeypatch.setattr(Acme, "ready", lambda _acme: None)
        monkeypatch.setattr(CertbotProgram, "launch", lambda _program, words, **_options: self.certbot(words))
        monkeypatch.setattr(order, "check_domains", self.check_domains)
        fake.options(webroot=str(fake.paths.root / "webroot"))

    def check_domains(self, domains: list[str], _token: str) -> dict[str, str]:
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
        self.fake.lineage("shop", *domains, webroot_path=str(self.fake.paths.root / "webroot"))
        return "", True
