# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which release a spec describes: its id, what the id is a hash of, and how it differs from another release."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any

from . import error_tracking
from .context import Context
from .python import PythonTools
from .secret_key import SecretKey
from .services import Services
from .source import Source


class Identity:
    """The release that a run is about.

    :ivar id: its id; "" until :meth:`determine` or :meth:`adopt` was called.
    :ivar commit: the exact code, as its source resolves it.
    """

    def __init__(self, context: Context, secret_key: SecretKey, python: PythonTools, source: Source | None) -> None:
        self.context, self.secret_key, self.python, self.source = context, secret_key, python, source
        self.at = context.at
        self.id = self.commit = ""

    def determine(self) -> str:
        """Find out the exact code and from it the id, a hash keyed with the SECRET_KEY, so no secret can be guessed."""
        self.commit = self.source.resolve() if self.source else ""
        text = json.dumps(self.inputs(), sort_keys=True, default=str)
        self.id = digest(text, self.secret_key.read())[:12]
        return self.id

    def adopt(self, release: str) -> None:
        """Take a release that is on the host."""
        self.id, self.commit = release, self.at.facts(release).get("commit", "")

    def inputs(self) -> dict[str, Any]:
        """Everything that defines the running processes."""
        return {
            **self.context.spec.definition(),
            **Services(self.context).inputs(),
            **error_tracking.inputs(self.context),
            "source": self.code(),
            "python": self.python.version(),
            "secrets": dict(self.context.secrets),
            "wheels": self.context.spec.wheels_tree,
        }

    def code(self) -> str:
        """The exact code, with the directory of it that has the app."""
        below = self.context.subdirectory
        return f"{self.commit}//{below}" if below else self.commit

    def definition(self) -> dict[str, Any]:
        """The inputs as people are shown them: secrets as keyed digests, which tell that one has changed."""
        inputs = self.inputs()
        key = self.secret_key.read()
        secrets = {**self.context.secrets, "SECRET_KEY": key}
        inputs["secrets"] = {name: f"secret, {digest(value, key)[:8]}" for name, value in secrets.items()}
        inputs["settings"] = {name: f"secret, {digest(text, key)[:8]}" for name, text in inputs["settings"].items()}
        inputs["source"] = f"{self.description()}, {self.commit[:12]}"
        if below := self.context.subdirectory:
            inputs["source"] += f", {below}"
        inputs["server"] = json.loads(inputs["files"].pop("server.json", "{}"))
        inputs["files"] = {name: digest(text)[:8] for name, text in inputs["files"].items()}
        shown: dict[str, Any] = json.loads(json.dumps(inputs, default=str))
        return shown

    def changes(self, live: str | None) -> list[tuple[str, str, str]]:
        """What differs from the live release: name, old value, new value, "" for none."""
        if not live:
            return []
        old = dict(flat(self.at.definition(live)))
        new = dict(flat(self.at.definition(self.id) if self.at.is_complete(self.id) else self.definition()))
        return [
            (name, old.get(name, ""), new.get(name, ""))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]

    def version(self) -> str:
        """What a person calls the code."""
        if not self.source:
            return str(self.at.facts(self.id).get("version", ""))
        return self.source.version(self.commit)

    def description(self) -> str:
        """Where the code comes from, and its version."""
        if not self.source:
            return str(self.at.facts(self.id).get("source", ""))
        source = self.context.spec.source
        return f"{source['git']} {self.version()}" if "git" in source else self.version()


def digest(text: str, key: str = "") -> str:
    """A hash of a text, keyed where the text may be a secret."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested maps as ``("environment.COLOUR", "red")``, in order."""
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from flat(value[key], f"{name}.{key}" if name else str(key))
    else:
        yield name, str(value)
