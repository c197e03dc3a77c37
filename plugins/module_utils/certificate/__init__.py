# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a usable certificate for every configured name at /etc/ssl/groundwork/NAME/current.

A provider (base.py) obtains the certificate and keeps it with its key in a directory of its own; it also says why a new
one is due. The program checks what the provider has, copies it to /etc/ssl/groundwork/NAME/FINGERPRINT/, and replaces
the symlink `current` by a rename (store.py). A web server therefore always reads a certificate with the key that
belongs to it, whatever a provider is doing at that moment. A name whose provider has nothing yet gets a temporary
self-signed certificate.

Each command compares the host with the configuration and does what is missing, so it also repairs what a killed run
left.
"""
