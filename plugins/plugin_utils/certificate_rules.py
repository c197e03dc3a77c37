# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a certificate needs: which names a CA certifies by which challenge and profile, and what the host needs for it.

The model asks :func:`name_problems` of ``flask_apps``, the role ``certificate`` asks :func:`problems` of its own
variables, which a playbook without ``flask_apps`` sets by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils.sites import address_of

PROVIDERS = ("acme", "self_signed", "files")
CHALLENGES = ("http-01", "dns-01")
PROFILES = ("classic", "tlsserver", "shortlived")  # Let's Encrypt's
# The options of a certificate that belong to one provider.
PROVIDER_OF = {"fullchain": "files", "privkey": "files", "challenge": "acme", "profile": "acme"}
DIRECTORY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def name_problems(
    domains: Sequence[str], provider: str, challenge: str, profile: str, written: str
) -> Iterator[tuple[str, str]]:
    """Wildcards and IP addresses that no CA certifies by this challenge and profile, each with what to do.

    :param challenge: "" for the default, ``http-01``.
    :param written: how the user writes an option of the certificate, with ``{}`` for it.
    """
    if provider != "acme":
        return
    for domain in domains:
        if domain.startswith("*.") and challenge != "dns-01":
            yield (
                domain,
                "is a wildcard, which a CA certifies by a DNS record alone: write "
                f"`{written.format('challenge: dns-01')}` and set certificate_dns_plugin or certificate_dns_auth_hook, "
                "or bring a certificate of your own with provider files",
            )
        elif address_of(domain) and challenge == "dns-01":
            yield domain, "is an IP address, which has no DNS record: write `challenge: http-01`"
        elif address_of(domain) and profile != "shortlived":
            yield (
                domain,
                "is an IP address, which a CA certifies for six days alone: write "
                f"`{written.format('profile: shortlived')}` and set certificate_certbot to pypi, or use provider "
                "self_signed or files",
            )


def problems(names: Sequence[Mapping[str, Any]], absent: Sequence[str], variables: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the input of the role ``certificate``, a sentence each.

    :param names: as ``certificate_names``.
    :param absent: as ``certificate_absent``.
    :param variables: the role's other variables by their names, less ``certificate_``, and ``known_plugins``: the
        DNS plugins that the distributions package (``distribution``) and that certbot's project releases (``certbot``).
    """
    named = [str(one.get("name", "")) for one in names] + [str(name) for name in absent]
    for name in dict.fromkeys(named):
        if not DIRECTORY_NAME.fullmatch(name):
            yield (
                f"certificate_names: {name} names a directory: use letters, digits, dots, dashes and underscores, at "
                "most 63, the first a letter or digit"
            )
        if named.count(name) > 1:
            yield (
                f"certificate_names: {name} stands twice in certificate_names and certificate_absent: keep it in one "
                "place"
            )
    for one in names:
        yield from request_problems(one, variables)
    yield from ca_problems(variables)
    yield from plugin_problems(variables)


def request_problems(one: Mapping[str, Any], variables: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one of the names."""
    where = f"certificate_names.{one.get('name')}"
    provider, challenge, profile = (str(one.get(key) or "") for key in ("provider", "challenge", "profile"))
    provider = provider or "acme"
    if provider == "files" and not (one.get("fullchain") and one.get("privkey")):
        yield f"{where}: provider files needs fullchain and privkey: give both, as paths on the controller"
    domains = [str(domain) for domain in one.get("domains") or []]
    for domain, sentence in name_problems(domains, provider, challenge, profile, "{}"):
        yield f"{where}.domains: {domain!r} {sentence}"
    if provider == "acme" and profile and variables.get("certbot") != "pypi":
        yield (
            f"{where}.profile: {profile} needs a newer certbot than the distribution's: set certificate_certbot to pypi"
        )
    if provider == "acme" and challenge == "dns-01" and not writes_dns(variables):
        yield (
            f"{where}.challenge: dns-01 needs a way to write DNS records: set certificate_dns_plugin or "
            "certificate_dns_auth_hook"
        )


def writes_dns(variables: Mapping[str, Any]) -> bool:
    """Whether the host has a way to write DNS records."""
    return bool(variables.get("dns_plugin") or variables.get("dns_auth_hook"))


def ca_problems(variables: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with how the CA is addressed."""
    directory = variables.get("acme_directory")
    if variables.get("acme_staging") and directory != variables.get("production"):
        yield (
            f"certificate_acme_staging: true is Let's Encrypt's staging, and certificate_acme_directory is {directory}"
            ": take one of the two"
        )
    if bool(variables.get("acme_eab_kid")) != bool(variables.get("acme_eab_hmac_key")):
        yield (
            "certificate_acme_eab_kid: the CA issues it together with certificate_acme_eab_hmac_key: set both or "
            "neither"
        )


def plugin_problems(variables: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with how DNS records are written."""
    plugin, known = variables.get("dns_plugin"), variables.get("known_plugins") or {}
    if not plugin:
        return
    if variables.get("dns_auth_hook"):
        yield (
            f"certificate_dns_plugin: {plugin} and certificate_dns_auth_hook are two ways to write DNS records: take "
            "one of the two"
        )
    if variables.get("certbot") == "distribution" and plugin not in known.get("distribution", ()):
        yield (
            f"certificate_dns_plugin: {plugin} is in no distribution: set certificate_certbot to pypi, or use "
            "certificate_dns_auth_hook"
        )
    if (
        variables.get("certbot") == "pypi"
        and plugin not in known.get("certbot", ())
        and not variables.get("certbot_plugins")
    ):
        yield (
            f"certificate_dns_plugin: {plugin} is no plugin of certbot's own project: name its package in "
            "certificate_certbot_plugins"
        )
