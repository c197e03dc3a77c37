# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look from outside says of the certificate that a site is served with."""

from __future__ import annotations

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils import wire
from ansible_collections.groundwork.flask.plugins.plugin_utils.outside import Said, Site
from ansible_collections.groundwork.flask.plugins.plugin_utils.wire import Certificate

# A certificate is renewed when a third of its lifetime is left; a fifth says that this has failed for a while.
LATE = 1 / 5
STATUS = f"{on_host('programs')}/certificate status"


def judge_certificate(site: Site, found: Certificate | None, private_ca: bool) -> Said:
    """What is to be said of the certificate that is served for the canonical name.

    :param private_ca: whether a CA of one's own issues it.
    """
    domain = site.domains[0]
    if not found:
        return Said("problem", f"{domain}: the certificate cannot be read.", "Replace it.")
    days = found.days_left()
    until = f"until {found.ends:%Y-%m-%d} ({days:.0f} days)"
    if days < 0:
        text = f"{domain}: the certificate of {found.issuer} expired {-days:.0f} days ago. Browsers refuse it."
        return Said("problem", text, renewal(site.certificate))
    if found.code in wire.WRONG_NAME:
        text = f"{domain}: the certificate of {found.issuer} is for other names. Browsers refuse it."
        return Said("problem", text, renewal(site.certificate))
    if found.is_temporary:
        return self_signed(site, found, until)
    if found.code:
        return untrusted(site, found, until, private_ca)
    if "(STAGING)" in found.issuer:
        remedy = "Take `certificate_acme_staging` out of the inventory and run site.yml."
        return Said("warning", f"{domain}: issued for tests, by {found.issuer}.", remedy)
    if days < found.lifetime * LATE:
        text = f"{domain}: the certificate of {found.issuer} is valid {until} and should have been renewed."
        return Said("warning", text, renewal(site.certificate))
    return Said("ok", f"{domain}: issued by {found.issuer}, valid {until}.")


def self_signed(site: Site, found: Certificate, until: str) -> Said:
    """A certificate that the host has made itself."""
    domain = site.domains[0]
    if site.certificate == "self_signed":
        text = f"{domain}: self-signed, as the inventory says, valid {until}."
        return Said("ok", text)
    return Said(
        "warning",
        f"{domain}: a temporary self-signed certificate, which no browser trusts ({found.reason}).",
        f"The host asks the CA every five minutes; `{STATUS}` there says why it has none yet.",
    )


def untrusted(site: Site, found: Certificate, until: str, private_ca: bool) -> Said:
    """A certificate of a CA that this machine does not know."""
    text = f"{site.domains[0]}: issued by {found.issuer}, valid {until}; this machine does not trust it"
    if private_ca:
        remedy = "Give the CA's certificate to have it checked: -e verify_ca_bundle=ca.pem."
        return Said("unchecked", f"{text}: a CA of your own.", remedy)
    remedy = "If the CA is your own, give its certificate: -e verify_ca_bundle=ca.pem."
    if found.code in wire.NO_ISSUER:
        remedy = f"The chain may lack an intermediate certificate: `fullchain` has to have it. {remedy}"
    return Said("problem", f"{text} ({found.reason}).", remedy)


def renewal(provider: str) -> str:
    """What to do about a certificate that is not good."""
    if provider == "files":
        return "Put the new certificate and key where the inventory's `fullchain` and `privkey` lead, and run site.yml."
    return f"See why it was not renewed: `{STATUS}` on the host."
