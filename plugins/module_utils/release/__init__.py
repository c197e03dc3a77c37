# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release engine: builds a release, checks it beside the old one, makes it live by one symlink, rolls back.

A release is everything that defines the running processes: code, packages, Python, environment, server configuration.
Its id is a hash of these, so the same inputs make the same release and change nothing. On the host it is a directory::

    /srv/<app>/releases/<id>/   code/ entry/         root's, readable by the app
                                venv                 the environment below, shared by releases with the same packages
                                public/<url>/        the static files, readable by all
                                env                  the environment variables, root's alone
                                start                what the unit executes
                                app.sock             made by systemd
                                definition.json      what the id is a hash of, secrets as keyed digests, root's alone
                                release.json         there once the build is complete
    /srv/<app>/environments/<key>/   virtual environments, named by a hash of what is in them; never changed once built
    /srv/<app>/current          the live release

The engine may be killed at any point. Nothing but the symlink says what is live, a release without ``release.json`` is
incomplete, and so is an environment without ``complete``; units of a release that is not live are stopped. Every run
begins by removing and stopping these.

The package needs nothing but the standard library. The role ``release`` puts it on the host too, where it is the
command that bears the app's name (``command.py``).
"""
