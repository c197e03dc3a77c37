# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that a user cannot choose, because they have a meaning already."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.groundwork.flask.plugins.plugin_utils.servers import words

# Names that the system has, or that software which a server often gets would take: what each is the name of. What a
# certain host has beyond them is found there, by `module_utils/common/ownership.py`.
TAKEN: Mapping[str, frozenset[str]] = {
    # The users and groups of Debian's and Ubuntu's base-passwd and of what their servers have; those of the software
    # that the roles install, and of databases; and the groups whose members are as good as root.
    "a system account": words(
        """
        root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody adm tty disk
        kmem dialout fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video sasl plugdev staff users
        nogroup input sgx kvm render messagebus sshd ssh systemd-journal systemd-network systemd-resolve
        systemd-timesync nginx certbot restic postgres redis mysql debian ubuntu admin polkitd uuidd syslog crontab
        netdev tss tcpdump dnsmasq dhcpcd landscape pollinate usbmux fwupd-refresh rdma clock ntpsec postfix postdrop
        mongodb memcache epmd rabbitmq docker lxd incus libvirt wheel wireshark
        """
    ),
    # Below /var/lib and /var/cache of a minimal Debian 12 and 13, of a server of Ubuntu and of a cloud's images, and of
    # the software that the roles install.
    "a directory of the system": words(
        """
        apt dbus dpkg logrotate misc pam private python sudo systemd ucf shells wtmpdb polkit-1 adduser debconf ldconfig
        man-db initramfs-tools grub os-prober sgml-base xml-core vim usbutils plymouth apparmor chrony ntp cloud snapd
        ubuntu-advantage update-notifier update-manager unattended-upgrades command-not-found packagekit swcatalog
        app-info emacsen-common dictionaries-common dhcp udisks2 upower fwupd motd-news fontconfig apache2
        letsencrypt nftables postgresql mariadb containerd containers
        """
    ),
    # Of a minimal Debian 12 and 13, and of an Ubuntu server, those with an instance: an app's units are NAME@RELEASE.
    "a unit of systemd": words(
        """
        autovt blockdev capsule console-getty container-getty e2scrub e2scrub_fail getty ifup lvm2-pvscan modprobe
        quotaon serial-getty user user-runtime-dir
        """
    ),
    # Programs of a minimal Debian that nobody would type for an app.
    "a program of the system": words(
        """
        at bash cat chmod chown cp cron curl dash env gpg halt init ip kill login ls mount mv perl pip poweroff ps
        python3 reboot rm runuser service sh shutdown su systemctl tar umount uv
        """
    ),
}
TAKEN_PREFIXES = ("systemd-", "groundwork")


def taken(name: str) -> str:
    """What a name is the name of already; empty for one that an app can have.

    ``host`` is the name of the host's own backup set.
    """
    if name == "host" or name.startswith(TAKEN_PREFIXES):
        return "a part of the system"
    return next((what for what, names in TAKEN.items() if name in names), "")


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

# What follows from `database` and from each purpose of `redis`.
OF_A_DATABASE = ("DATABASE_URL", "SQLALCHEMY_DATABASE_URI")
OF_REDIS: Mapping[str, tuple[str, ...]] = {
    "queue": ("REDIS_URL", "CELERY_BROKER_URL"),
    "cache": ("REDIS_URL", "CACHE_REDIS_URL"),
    "both": ("REDIS_URL", "CELERY_BROKER_URL", "CACHE_REDIS_URL"),
}


def service_variables(has_database: bool, purpose: str) -> dict[str, str]:
    """The variables that an app's database and Redis take, and what to do about each.

    :param purpose: that of its Redis; "" without one.
    """

    def remedies(names: tuple[str, ...], option: str) -> dict[str, str]:
        sentence = f"it follows from `{option}`: take it out here, or `{option}` out of flask_apps"
        return dict.fromkeys(names, sentence)

    database = remedies(OF_A_DATABASE, "database") if has_database else {}
    return {**database, **remedies(OF_REDIS.get(purpose, ()), "redis")}
