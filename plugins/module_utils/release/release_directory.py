# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of a release: fetches the code, installs the packages, writes the app's files."""

from __future__ import annotations

import grp
import json
import os
import shutil
from pathlib import Path

from ..common import trees
from ..common.clock import timestamp
from ..common.files import make_directory, make_parents, write
from . import build_command, history, job_units, large_files, process_units, setting_files, subdirectory
from .build import COMPILE, Builder
from .context import Context
from .environment import app_environment, env_file
from .errors import ReleaseError, megabytes, tail
from .identity import Identity
from .installer import Installer
from .secret_key import SecretKey
from .services import Services, installed_packages
from .switch import HASHED_NAME
from .units import ReleaseUnits

# What a first build is estimated to need, and what must stay free for everything else.
FIRST_BUILD, RESERVE = 200 * 2**20, 64 * 2**20

# Copies directories, a pair of paths each, and ends with the number of the one that cannot be copied; then compiles.
PUBLISH = """
python=$1 compile=$2 number=0
shift 2
while [ $# -gt 0 ]; do
    number=$((number + 1))
    mkdir -p -- "$2" && cp -RL -- "$1/." "$2/" && chmod -R u=rwX,go=rX -- "$2" || exit $number
    shift 2
done
"$python" -I -c "$compile" || :
"""


class ReleaseDirectory:
    """Builds the directory of the release that a run is about."""

    def __init__(
        self, context: Context, identity: Identity, builder: Builder, installer: Installer, secret_key: SecretKey
    ) -> None:
        self.context, self.identity, self.builder, self.installer = context, identity, builder, installer
        self.secret_key, self.spec, self.at = secret_key, context.spec, context.at

    @property
    def path(self) -> Path:
        """The directory."""
        return self.at.release(self.identity.id)

    def is_built(self) -> bool:
        """Whether there is nothing to build: the release is there and good, or can only be there."""
        return self.at.is_good(self.identity.id) or not self.identity.source

    def fetch(self, live: str | None) -> None:
        """Put the code into a new directory that belongs to the app's user for the time of the build."""
        source = self.identity.source
        if self.is_built() or not source:
            return
        self.check_space(live)
        trees.remove(self.path)
        make_directory(self.at.releases, 0o711)
        make_directory(self.path, 0o711)
        for name in ("code", "public"):
            make_directory(self.path / name, 0o750)
            self.builder.give(self.path / name)
        status, output = source.fetch(self.path / "code")
        if status:
            description = self.identity.description()
            raise ReleaseError("fetch", f"the source {description} could not be fetched", tail(output))
        subdirectory.check(self.path / "code", self.context.subdirectory)
        if large_files.CHECK not in self.context.skip_checks:
            kind = next(kind for kind in ("git", "directory", "archive", "package") if kind in self.spec.source)
            large_files.check(self.path / "code", self.spec.name, kind)
        if not self.spec.build_command:  # which may make them
            self.check_directories()

    def check_directories(self) -> None:
        """Refuse options that name directories the release will not have, and settings files that the source has."""
        code = self.path / "code" / self.context.subdirectory
        for option, named in (
            ("working_directory", self.spec.working_directory),
            *(("python_path", directory) for directory in self.spec.python_path),
        ):
            if not setting_files.is_below(self.spec.settings, named):
                subdirectory.check(code, named, option)
        setting_files.check(self.path / "code", self.context.subdirectory, self.spec.settings)

    def check_space(self, live: str | None) -> None:
        """Refuse a build that would not fit before anything is written; the estimate is what the live release took."""
        last = self.at.facts(live).get("bytes", {}) if live else {}
        new_environment = 0 if last and self.same_environment(live) else last.get("environment", FIRST_BUILD)
        copies = 2 if "git" in self.spec.source else 1  # the objects of the commit are beside its files meanwhile
        need = int(1.2 * (copies * last.get("code", 0) + new_environment)) + RESERVE
        packed = Path(self.spec.archive)
        need += 4 * packed.stat().st_size if self.spec.archive and packed.exists() else 0
        disk = next(path for path in (self.at.home, *self.at.home.parents) if path.exists())
        free = shutil.disk_usage(disk).free
        if free < need:
            raise ReleaseError(
                "fetch",
                f"the disk is too full: this build is estimated to need {megabytes(need)} below {self.at.home}, and "
                f"{megabytes(free)} are free. Make room; to keep fewer releases helps too (release_keep: "
                f"{self.context.settings.keep})",
            )

    def same_environment(self, live: str | None) -> bool:
        """Whether the environment can be shared, as far as is known before the code is there."""
        if live and self.at.facts(live).get("own_environment"):
            return False  # other code, and what was changed may be the code
        before = self.at.definition(live) if live else {}
        after = self.identity.definition()
        return all(before.get(name) == after[name] for name in ("python", "requirements", "extras", "wheels"))

    def install(self, units: ReleaseUnits) -> None:
        """Give the release its environment, static files, settings; with ``release.json`` it is complete.

        :param units: the systemd units of the release.
        """
        if self.is_built():
            return
        code, public = self.path / "code", self.path / "public"
        venv = self.installer.install(code, self.identity.commit, self.identity.id)
        packages = installed_packages(venv)
        process_units.check_packages(self.spec.processes, packages)
        Services(self.context).check(venv)
        (self.path / "venv").symlink_to(Path("../../environments", venv.name))
        if self.spec.build_command:
            build_command.run(self.builder, code / self.context.subdirectory, venv)
        history.finish(self.builder, code)
        self.publish(code, venv)
        self.builder.take(code)
        self.check_directories()
        self.builder.take(public, files_only=True)
        os.chmod(public, 0o755)  # noqa: S103 - the proxy's user reads it
        self.write_files()
        facts = {
            "id": self.identity.id,
            "source": self.identity.description(),
            "version": self.identity.version(),
            "commit": self.identity.commit,
            "python": self.installer.python.version(),
            "built": timestamp(),
            "subdirectory": self.context.subdirectory,
            "units": units.record(),
            "deploy": self.spec.deploy,
            "health": dict(self.spec.health),
            **({"jobs": {name: dict(one) for name, one in self.spec.jobs.items()}} if self.spec.jobs else {}),
            "static": sorted(item.path for item in trees.walk(public) if HASHED_NAME.search(item.name)),
            "bytes": {"code": trees.size(self.path), "environment": trees.size(venv)},
            "own_environment": self.installer.own,
            "packages": packages,
        }
        write(self.path / "release.json", json.dumps(facts, indent=1) + "\n", 0o644)

    def publish(self, code: Path, venv: Path) -> None:
        """Copy the static files to where the proxy may read, and compile the code while it is the app's.

        As a step of the build, so that no link leads further than the build can read.
        """
        base = code / self.context.subdirectory
        if "package" in self.spec.source:
            base = venv / "lib" / f"python{self.installer.python.version()}" / "site-packages"
        pairs = [
            (str(base / path), str(self.path / "public" / url.strip("/"))) for url, path in self.spec.static.items()
        ]
        script = ("/bin/sh", "-c", PUBLISH, "publish", f"{venv}/bin/python", COMPILE)
        status, output = self.builder.execute("publish", *script, *(path for pair in pairs for path in pair), cwd=code)
        if status:
            path = [*self.spec.static.values(), ""][min(status, len(pairs) + 1) - 1]
            made = ", or made by build_command" if self.spec.build_command else ""
            message = f"proxy.static: {path!r} cannot be published; is it in the source{made}?"
            raise ReleaseError("install", message, tail(output))

    def write_files(self) -> None:
        """Write the files of settings, the server's, the environment and the definition."""
        group = grp.getgrnam(self.spec.name).gr_gid
        setting_files.write(self.path / "code", self.context.subdirectory, self.spec.settings, group)
        for name, text in self.spec.files.items():
            path = self.path / name
            make_parents(path)
            write(path, text, 0o750 if name == "start" else 0o640, gid=group)
        commands = {**process_units.command_files(self.spec.processes), **job_units.command_files(self.spec.jobs)}
        for name, text in commands.items():
            make_parents(self.path / name)
            write(self.path / name, text, 0o750, gid=group)
        environment = app_environment(self.context, self.secret_key, self.identity.id)
        write(self.path / "env", env_file(environment), 0o600)
        if direct := Services(self.context).database_variables(self.path / "venv"):
            write(self.path / "env.direct", env_file(direct), 0o600)
        write(self.path / "definition.json", json.dumps(self.identity.definition(), indent=1) + "\n", 0o600)
