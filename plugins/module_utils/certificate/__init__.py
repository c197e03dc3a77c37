# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a usable certificate for every configured name at /etc/ssl/groundwork/NAME/current.

A provider (base.py) brings the certificate: it has a place of its own for the pair, says why a new one is due,
and obtains it. Whatever lies in that place is checked, copied to /etc/ssl/groundwork/NAME/FINGERPRINT/, and the symlink
`current` is turned to the copy by a rename (store.py). What a web server reads is therefore always a whole, matching
pair, whatever a provider is doing at that moment. A name whose provider has nothing yet gets a temporary self-signed
pair.

Every command looks at what is on the host and does what is missing, so one that was killed is healed by the next.
"""
