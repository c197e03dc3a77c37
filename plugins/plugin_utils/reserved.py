# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that a user cannot choose, because they have a meaning already."""

from __future__ import annotations

from ansible_collections.groundwork.flask.plugins.plugin_utils.servers import words

# The users and groups of Debian's base-passwd, those of the software that the roles install, and the name of the host's
# own backup set.
TAKEN_NAMES = words(
    """
    root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody adm tty disk
    kmem dialout fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video sasl plugdev staff users
    nogroup input sgx kvm render messagebus sshd ssh systemd-journal systemd-network systemd-resolve
    systemd-timesync nginx certbot restic postgres redis mysql debian ubuntu admin polkitd uuidd syslog crontab
    netdev host
    """
)

# Of these, what may stand in `environment`: which app the `flask` command is for, where wsgi_app is a wrapper.
OPEN_VARIABLES = ("FLASK_APP",)
# What the collection itself puts into an app's environment, and what to use instead.
RESERVED_VARIABLES = {
    "FLASK_APP": "it follows from wsgi_app, and another one, which is no secret, belongs into environment",
    "WSGI_APP": "it follows from wsgi_app",
    "FLASK_DEBUG": "set `debug: true` if you insist",
    "FLASK_ENV": "Flask 2.3 removed it; set `debug: true` if you mean that",
    "SECRET_KEY": "put it into flask_app_secrets, or leave it out: one is generated on the host",
    "SECRET_KEY_FALLBACKS": "a changed SECRET_KEY is followed for a while by itself (release_fallback_days)",
    "DATA_DIR": "it is the app's data directory, /var/lib/<app>",
    "RELEASE": "it is the release's id",
    "RELEASE_DIR": "it is the directory of the release's code",
}
