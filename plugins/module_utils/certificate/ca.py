# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ACME server: whether it answers, and what its errors mean."""

from __future__ import annotations

import json
import re
import ssl

from ..common import clock
from ..common.programs import time_limit
from .messages import QUOTE_LIMIT, CertificateError, one_line

CA_TIMEOUT = 10  # seconds for one read; twice as much for the whole answer
DIRECTORY_LIMIT = 2**18  # bytes of a CA's directory
REMEDY_UNTRUSTED = "Give its root certificate in certificate_acme_ca_bundle."
REMEDY_UNREACHED = "Nothing needs to be done if it is down for a while; else correct the directory URL or the network."
# By the CA's error type, RFC 8555 section 6.7.
REMEDIES = {
    "dns": "Point the name's A and AAAA records at this host, or remove the name.",
    "connection": "Point the name's A and AAAA records at this host and open its port 80 to all, or remove the name.",
    "other": (
        "Point the name's A and AAAA records at this host alone, and let its web server serve the challenges, "
        "or remove the name."
    ),
    "unauthorized": "The name leads to another host, or this one does not serve {webroot}/.well-known/acme-challenge/.",
    "caa": "The name's CAA record does not allow this CA: add it there.",
    "rateLimited": "Wait, and use the CA's staging directory for tests.",
    "rejectedIdentifier": "This CA issues no certificate for such a name: remove it, or choose provider self_signed.",
    "accountDoesNotExist": "Remove its account below /etc/letsencrypt/accounts; the next attempt makes a new one.",
    "badNonce": "Nothing needs to be done: it is tried again later.",
    "serverInternal": "Nothing needs to be done: the CA has a fault, and it is tried again later.",
}
PROBLEM = re.compile(
    r"Domain:\s*(?P<domain>\S+)\s+Type:\s*(?P<type>\S+)\s+Detail:\s*(?P<detail>.+?)(?=\n\s*Domain:|\n\s*\n|\Z)", re.S
)
ACME_ERROR = re.compile(r"urn:ietf:params:acme:error:(?P<type>\w+) :: (?P<detail>.+)")
RETRY_AFTER = re.compile(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")


def ask_directory(url: str, ca_bundle: str) -> None:
    """Check that a CA answers at the URL of its ACME directory.

    :raises CertificateError: it does not, with the reason.
    """
    import http.client  # here, because these three take longer to import than an idle run of the timer takes
    import urllib.error
    import urllib.request

    not_found = f"the CA at {url} cannot be reached"
    try:
        context = ssl.create_default_context(cafile=ca_bundle or None)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certbot is not that strict either
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        with (
            time_limit(2 * CA_TIMEOUT),
            opener.open(url, timeout=CA_TIMEOUT) as answer,
        ):
            directory = json.loads(answer.read(DIRECTORY_LIMIT))
        if not isinstance(directory, dict) or "newOrder" not in directory:
            raise ValueError
    except urllib.error.HTTPError as error:
        answer_text = f"the CA at {url} answers {error.code} {one_line(str(error.reason), QUOTE_LIMIT)}"
        raise CertificateError(answer_text, REMEDIES["serverInternal"]) from error
    except urllib.error.URLError as error:
        untrusted = isinstance(error.reason, ssl.SSLCertVerificationError)
        remedy = REMEDY_UNTRUSTED if untrusted else REMEDY_UNREACHED
        raise CertificateError(f"{not_found}: {one_line(str(error.reason), QUOTE_LIMIT)}", remedy) from error
    except ValueError as error:
        raise CertificateError(f"{url} is not the ACME directory of a CA", "Correct the directory URL.") from error
    except FileNotFoundError as error:
        raise CertificateError(f"the CA bundle {ca_bundle} does not exist on this host", REMEDY_UNTRUSTED) from error
    except OSError as error:
        raise CertificateError(f"{not_found}: {error}", REMEDY_UNREACHED) from error
    except http.client.HTTPException as error:
        raise CertificateError(f"{not_found}: no HTTP: {type(error).__name__}", REMEDY_UNREACHED) from error


def explain(output: str, log: str, webroot: str) -> CertificateError:
    """Return why certbot failed, in the CA's own words.

    For a refused order certbot 2.1 prints only ``AttributeError: can't set attribute``; the CA's error is in its log.

    :param log: what certbot logged in this run.
    :param webroot: for the remedy.
    """
    remedy = "See /var/log/letsencrypt/letsencrypt.log."
    if problems := list(PROBLEM.finditer(output)):
        quoted = [{name: one_line(what, QUOTE_LIMIT) for name, what in one.groupdict().items()} for one in problems]
        text = "; ".join("{domain}: {detail} ({type})".format(**one) for one in quoted)
        kind = problems[0]["type"]
    elif error := ACME_ERROR.search(log) or ACME_ERROR.search(output):
        kind, text = error["type"], f"{one_line(error['detail'], QUOTE_LIMIT)} ({error['type']})"
    else:
        frame = ("Saving debug", "Ask for")
        lines = [line for line in output.splitlines() if line.strip() and not line.startswith(frame)]
        kind, text = "", f"certbot failed: {one_line(lines[-1], QUOTE_LIMIT) if lines else 'without a message'}"
    until = RETRY_AFTER.search(text)
    return CertificateError(
        text,
        REMEDIES.get(kind, remedy).format(webroot=webroot),
        clock.parse(f"{until[1]}T{until[2]}Z") if until else 0,
        kind,
        [problem["domain"].lower() for problem in problems],
    )
