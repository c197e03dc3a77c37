# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail: to a server by SMTP, or to the host's own ``sendmail``."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from typing import Any

from ..common.on_host import on_host
from .message import Message
from .sending import SendError

SECONDS = 10  # for each step; the whole attempt has a limit of its own
SENDMAIL = "/usr/sbin/sendmail"


def mail(options: Mapping[str, Any], message: Message) -> str:
    """Send a mail."""
    composed = compose(options, message)
    smtp = options.get("smtp")
    return by_smtp(smtp, options["to"], composed) if smtp else by_sendmail(options["to"], composed)


def compose(options: Mapping[str, Any], message: Message) -> EmailMessage:
    """The mail. Its subject is one line, so that no text of an app becomes a header."""
    composed = EmailMessage(SMTP.clone(cte_type="7bit"))
    composed["Subject"] = message.subject
    composed["From"] = options["from"]
    composed["To"] = ", ".join(options["to"])
    composed["Date"] = formatdate(localtime=True)
    domain = str(options["from"]).partition("@")[2].rstrip(">") or socket.gethostname()
    composed["Message-ID"] = make_msgid("groundwork", domain)
    composed["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answer
    composed.set_content(message.text)
    return composed


def by_smtp(smtp: Mapping[str, Any], to: list[str], composed: EmailMessage) -> str:
    """Send it to a server.

    :returns: the recipients that it does not take, when it takes another one.
    """
    try:
        with _connected(smtp) as server:
            if smtp.get("user"):
                server.login(str(smtp["user"]), str(smtp["password"]))
            refused = server.send_message(composed, to_addrs=list(to))
    except smtplib.SMTPAuthenticationError as error:
        raise SendError(f"{_said(error)} Check its user and password.", refused=True) from None
    except smtplib.SMTPRecipientsRefused as error:
        raise _none_taken(error) from None
    except smtplib.SMTPResponseException as error:
        raise SendError(_said(error), refused=500 <= error.smtp_code < 600) from None
    except smtplib.SMTPNotSupportedError as error:
        raise SendError(f"{error} Check `tls` and `user` of its smtp.", refused=True) from None
    except ssl.SSLCertVerificationError as error:
        raise SendError(
            f"Its certificate is not trusted ({error.verify_message}). "
            "A private CA belongs into /usr/local/share/ca-certificates, then run update-ca-certificates."
        ) from None
    except ssl.SSLError as error:
        raise SendError(f"No TLS with it ({error.reason}). Check `port` and `tls` of its smtp.") from None
    except socket.gaierror:
        raise SendError("The name of its server has no address. Check `host` of its smtp and the host's DNS.") from None
    except TimeoutError:
        raise SendError("It did not answer in time.") from None
    except (OSError, smtplib.SMTPException) as error:
        what = getattr(error, "strerror", None) or type(error).__name__
        raise SendError(f"No connection ({what}). Check that it runs, and that this host may reach it.") from None
    return f"It does not take mail for {', '.join(refused)}. Check `to`." if refused else ""


def _connected(smtp: Mapping[str, Any]) -> smtplib.SMTP:
    """A connection, encrypted as asked for. The name that it gives is not looked up: that may take long."""
    host, port, tls = str(smtp["host"]), int(smtp["port"]), smtp["tls"]
    context, own = ssl.create_default_context(cafile=on_host("ca_bundle")), socket.gethostname()
    if tls == "implicit":
        return smtplib.SMTP_SSL(host, port, own, timeout=SECONDS, context=context)
    server = smtplib.SMTP(host, port, own, timeout=SECONDS)
    if tls == "starttls":
        server.starttls(context=context)
    return server


def _said(error: smtplib.SMTPResponseException) -> str:
    said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
    return f"It answers {error.smtp_code} {said[:200]}."


def _none_taken(error: smtplib.SMTPRecipientsRefused) -> SendError:
    code, said = next(iter(error.recipients.values()), (550, b""))
    names = ", ".join(error.recipients)
    return SendError(
        f"It does not take mail for {names}: {code} {said.decode(errors='replace')[:200]}. Check `to` and `from`.",
        refused=500 <= code < 600,
    )


def by_sendmail(to: list[str], composed: EmailMessage) -> str:
    """Hand it to the host's mail system."""
    from .send_command import ACCOUNT, run

    script = f'test -x {SENDMAIL} || exit 127; printf %s "$ALERT_MAIL" | {SENDMAIL} -i -- "$@"'
    text = composed.as_bytes(policy=composed.policy.clone(linesep="\n")).decode("ascii")
    missing = f"There is no {SENDMAIL}: install a mail system, such as msmtp-mta, or give the receiver `smtp`."
    # What it has started goes on: exim delivers in a process of its own.
    run(
        ["/bin/sh", "-c", script, "sendmail", *to],
        {"ALERT_MAIL": text},
        missing,
        [("User", ACCOUNT), ("KillMode", "process")],
    )
    return ""
