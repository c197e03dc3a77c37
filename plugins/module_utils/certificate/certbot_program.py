# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How certbot is run: which one, waiting for another that is at work, and what it logs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from .ca import explain
from .config import MINUTE, Host, Options
from .messages import Refusal
from .processes import OUTPUT_LIMIT, run
from .pypi import PypiCertbot

CERTBOT = "/usr/bin/certbot"
CERTBOT_WAIT = 30  # seconds for another certbot to finish
CERTBOT_TIMEOUT = 5 * MINUTE


class CertbotProgram:
    """The certbot of the distribution, or the one from PyPI."""

    def __init__(self, host: Host, options: Options) -> None:
        self.host, self.options = host, options
        self.pypi = PypiCertbot(host, options)

    @property
    def path(self) -> str:
        """The program that is run."""
        return str(self.pypi.program) if self.options.from_pypi else CERTBOT

    @property
    def shortcoming(self) -> Refusal | None:
        """Why the certbot that works is not the one that is asked for."""
        return self.pypi.installed if isinstance(self.pypi.installed, Refusal) else None

    def install(self) -> None:
        """Install it if it is to be from PyPI and is not there; Refusal if there is none."""
        if self.options.from_pypi:
            self.pypi.install()

    def attempt(self, *words: str, timeout: float = CERTBOT_TIMEOUT) -> Refusal | None:
        """Run certbot; None if it succeeded, else why not, in the CA's own words."""
        log_start = self.log_size()
        output, succeeded = self.launch([self.path, *words], timeout=timeout)
        return None if succeeded else explain(output, self.log_since(log_start), self.options.webroot)

    def launch(self, argv: Sequence[str], timeout: float = CERTBOT_TIMEOUT) -> tuple[str, bool]:
        """Run certbot, wait for another one that is at work; what it printed and whether it succeeded."""
        bundle = self.options.ca_bundle
        deadline = time.monotonic() + CERTBOT_WAIT
        while True:
            result = run(*argv, timeout=timeout, environment={"REQUESTS_CA_BUNDLE": bundle} if bundle else {})
            output = f"{result.stdout}\n{result.stderr}"
            busy = "Another instance of Certbot is already running" in output
            if not busy or time.monotonic() > deadline:
                return output, result.returncode == 0
            time.sleep(2)

    def log_size(self) -> int:
        """The bytes in certbot's log, 0 if there is none."""
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
