# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an app may say in its option ``sandbox``: the directives of its unit that it may set otherwise."""

from __future__ import annotations

# Directives of the unit's sandbox that some apps must loosen, with what makes an app need it. This is the one place
# that names them; the unit's template takes them by these names.
SANDBOX = {
    "MemoryDenyWriteExecute": "cffi callbacks, JIT compilers, Node.js as a subprocess",
    "RestrictNamespaces": "programs with a sandbox of their own, such as Chromium",
    "RestrictSUIDSGID": "chmod with the setgid bit",
    "RestrictAddressFamilies": "AF_NETLINK for interface lists",
    "ProtectProc": "seeing other processes",
    "ProtectHome": "reading below /home",
    "PrivateTmp": "sharing /tmp with others",
    "PrivateDevices": "devices such as a camera",
    "SystemCallFilter": "os.nice, sched_setaffinity, os.chown",
    "NoExecPaths": "running programs it downloaded",
    "ReadWritePaths": "writing outside its data directory",
    "BindReadOnlyPaths": "reading below /opt, /mnt or another app's directory",
    "IPAddressDeny": "tightening: no connections, with IPAddressAllow for the exceptions",
    "IPAddressAllow": "the exceptions from IPAddressDeny",
    "UMask": "files that the group may read",
    "MemoryMax": "more or less memory than 60% of the host's",
    "LimitAS": "tightening: the address space of each process, on hosts where MemoryMax cannot be had",
    "TasksMax": "more threads and processes than 512",
    "LimitNOFILE": "more open files",
}
