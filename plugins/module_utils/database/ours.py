# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a PostgreSQL server is an app's: its role, known by a comment that only a superuser can set, and databases.

An app's database bears its name and belongs to its role. Scratch and kept ones have more behind a dot, which is in no
app's name.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import DatabaseError
from .superuser import Superuser, literal

COMMENT = "Flask app {app}"  # of a role, as the role service_user says it of an account


@dataclass(frozen=True)
class Found:
    """What has an app's name on a server.

    :ivar role: whether there is a role of this name.
    :ivar is_ours: whether that role was made for the app.
    :ivar is_mighty: whether it may do more than an app's, as a superuser may.
    :ivar owner: who has the database of this name; "" if there is none.
    """

    app: str
    role: bool = False
    is_ours: bool = False
    owner: str = ""
    locale: str = ""
    is_mighty: bool = False

    def refuse_if_foreign(self, where: str) -> None:
        """Refuse a role or a database of this name that was not made for the app.

        :param where: the server, as a message names it.
        """
        what = f"flask_apps.{self.app}.database"
        remedy = "choose another name for the app; or, if nobody needs it, remove it and run again"
        if self.is_mighty:
            raise DatabaseError(
                f"{what}: PostgreSQL {where} has a role {self.app} with rights on the whole server: {remedy}; or, if "
                f'it is the app\'s, take them away: ALTER ROLE "{self.app}" NOSUPERUSER NOCREATEROLE NOCREATEDB '
                "NOREPLICATION NOBYPASSRLS"
            )
        if self.role and not self.is_ours:
            closed = f'; REVOKE ALL ON DATABASE "{self.app}" FROM PUBLIC' if self.owner else ""
            raise DatabaseError(
                f"{what}: PostgreSQL {where} has a role {self.app} that was not made for this app: {remedy}; or, to "
                f"hand it over to the app, without a password by which others could be it: COMMENT ON ROLE "
                f'"{self.app}" IS \'{COMMENT.format(app=self.app)}\'; ALTER ROLE "{self.app}" PASSWORD NULL{closed}'
            )
        if self.owner and self.owner != self.app:
            raise DatabaseError(
                f"{what}: PostgreSQL {where} has a database {self.app} that belongs to {self.owner}: choose another "
                f"name for the app; or, if nobody needs it, remove it and run again; or, to hand it over to the app, "
                f"make {self.app} its owner"
            )


def look(server: Superuser, app: str) -> Found:
    """What has an app's name on a server.

    A role that has been made a superuser does not count as an app's.
    """
    role = server.one(
        "SELECT shobj_description(oid, 'pg_authid') AS comment, rolsuper OR rolcreaterole OR rolcreatedb OR "
        f"rolreplication OR rolbypassrls AS mighty FROM pg_roles WHERE rolname = {literal(app)}"
    )
    database = server.one(
        "SELECT pg_get_userbyid(datdba)::text AS owner, datcollate::text AS locale FROM pg_database "
        f"WHERE datname = {literal(app)}"
    )
    return Found(
        app,
        role=role is not None,
        is_ours=role is not None and role["comment"] == COMMENT.format(app=app) and not role["mighty"],
        owner=database["owner"] if database else "",
        locale=database["locale"] if database else "",
        is_mighty=role is not None and bool(role["mighty"]),
    )
