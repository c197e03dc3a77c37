"""What differs between the providers, to a visitor and to who runs them. The tests are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Provider:
    """A proxy, as a test meets it.

    :param directory: where its configuration lies.
    :param logs: where access.log and error.log lie.
    :param server: what the header Server says.
    :param request_id: a regular expression for the number on an error page.
    :param no_handshake: what a visitor's TLS says of a name that no site has.
    :param repeats: a GET whose connection died with a killed server is tried again on a fresh one.
    :param statuses: where the proxy's own errors have another number than what the test says.
    :param broken: a line that no site can have, and what the proxy says of it.
    :param wrong_key: what the proxy says of a key that does not fit its certificate.
    :param extra: a site for extra.example.org on port 80 that answers 204, for conf.d.
    :param closed: lines of a site that let nobody in and answer all by themselves.
    """

    name: str
    unit: str
    pid_file: str
    directory: str
    logs: str
    server: str
    request_id: str
    no_handshake: str
    repeats: bool
    broken: tuple[str, str]
    wrong_key: str
    extra: str
    closed: str
    statuses: Mapping[str, int] = field(default_factory=dict)

    def status(self, path: str, status: int) -> int:
        """The number of the proxy's own error at this path."""
        return self.statuses.get(path, status)


NGINX = Provider(
    name="nginx",
    unit="nginx.service",
    pid_file="/run/nginx/nginx.pid",
    directory="/etc/nginx",
    logs="/var/log/nginx",
    server="nginx",
    request_id=r"\w{32}",
    no_handshake=r"(?i)unrecognized.name",
    repeats=True,
    broken=("no_such_directive on;", 'unknown directive "no_such_directive" in /etc/nginx/groundwork/sites/shop.conf:'),
    wrong_key="key values mismatch",
    extra="server { listen 80; server_name extra.example.org; return 204; }",
    closed='auth_basic shop; auth_basic_user_file /etc/nginx/none; deny all; if ($uri) { return 200 "own"; }',
)

APACHE = Provider(
    name="apache",
    unit="apache2.service",
    pid_file="/run/apache2/apache2.pid",
    directory="/etc/apache2",
    logs="/var/log/apache2",
    server="Apache",
    request_id=r"[\w@-]{27}",
    no_handshake=r"(?i)handshake.failure",
    repeats=False,
    broken=("NoSuchDirective on", "Invalid command 'NoSuchDirective'"),
    wrong_key="do not match",
    extra=(
        "<VirtualHost *:80>\nServerName extra.example.org\nRewriteEngine on\nRewriteRule ^ - [R=204,L]\n</VirtualHost>"
    ),
    closed=(
        '<Location "/">\nAuthType Basic\nAuthName shop\nAuthUserFile /etc/apache2/none\nRequire valid-user\n'
        "</Location>\nRewriteRule ^ - [R=403,L]"
    ),
    statuses={"/slow": 502, "stopped": 503},
)

PROVIDERS = {provider.name: provider for provider in (NGINX, APACHE)}
