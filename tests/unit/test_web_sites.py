"""The sites of a web server that was there first, read from its files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import web_sites
from ansible_collections.groundwork.flask.plugins.module_utils.web_sites import APACHE, NGINX, Server

MAIN = """
user www-data;
events { worker_connections 768; }
# server { listen 1; }
http {
    log_format main '$remote_addr {';
    include /etc/nginx/conf.d/*.conf;
    include sites-enabled/*;
}
"""
DEFAULT = "server { listen 80 default_server; listen [::]:80 default_server; server_name _; root /var/www/html; }"
SHOP = """
upstream shop { server 127.0.0.1:8000; }
server {
    listen 443 ssl;
    server_name shop.example.org "www.shop.example.org";
    location / { proxy_pass http://shop; if ($x) { return 404; } }
}
server { listen 8080; }
"""


class Host:
    """The files of a host, and what dpkg says that its packages ship."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.shipped = root, {}
        monkeypatch.setattr(web_sites, "shipped_files", lambda _packages: self.shipped)

    shipped: dict[str, str]

    def write(self, path: str, text: str, shipped: bool = False) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if shipped:
            self.shipped[path] = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def link(self, path: str, target: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)

    def sites(self, server: Server = NGINX) -> list[tuple[str, list[str], list[str]]]:
        return [
            (site["file"].removeprefix(str(self.root)), site["names"], site["listen"])
            for site in web_sites.others_sites(server, self.root)
        ]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def debian(host: Host) -> Host:
    """Debian's package as it is installed."""
    host.write("/etc/nginx/nginx.conf", MAIN, shipped=True)
    host.write("/etc/nginx/sites-available/default", DEFAULT, shipped=True)
    host.link("/etc/nginx/sites-enabled/default", "../sites-available/default")
    host.write("/var/www/html/index.nginx-debian.html", "<h1>Welcome to nginx!</h1>")
    host.write("/var/www/html/index.html", "<title>Apache2 Debian Default Page: It works</title>")
    return host


def test_a_host_without_the_server_has_none(host: Host) -> None:
    assert host.sites() == host.sites(APACHE) == []


def test_debians_package_untouched_has_none(debian: Host) -> None:
    assert debian.sites() == []


@pytest.mark.parametrize(
    "path", ["/etc/nginx/sites-enabled/shop", "/etc/nginx/conf.d/shop.conf", "/etc/nginx/nginx.conf"]
)
def test_sites_wherever_they_stand(debian: Host, path: str) -> None:
    debian.write(path, MAIN.replace("include", f"{SHOP}\ninclude", 1) if path.endswith("nginx.conf") else SHOP)
    assert debian.sites() == [
        (path, ["shop.example.org", "www.shop.example.org"], ["443"]),
        (path, [], ["8080"]),
    ]


def test_a_default_site_that_was_edited_is_a_site_of_others(debian: Host) -> None:
    debian.write("/etc/nginx/sites-available/default", DEFAULT.replace("_;", "mine.example.org;"))
    assert debian.sites() == [("/etc/nginx/sites-enabled/default", ["mine.example.org"], ["80", "[::]:80"])]


def test_pages_put_where_the_default_site_looks_are_a_site(debian: Host) -> None:
    debian.write("/var/www/html/index.html", "<h1>My bakery</h1>")
    debian.write("/var/www/html/cakes/index.html", "<h1>Cakes</h1>")
    assert debian.sites() == [("/var/www/html", [], ["/var/www/html/cakes", "/var/www/html/index.html"])]


def test_what_would_block_a_reader_is_not_read(debian: Host) -> None:
    fifo = debian.root / "var/www/html/index.fifo"
    fifo.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(fifo)
    assert web_sites.content(fifo) == b""


def test_includes_that_go_round_end(host: Host) -> None:
    host.write(
        "/etc/nginx/nginx.conf", "include /etc/nginx/*.conf; include nginx.conf; stream { server { listen 53; } }"
    )
    assert host.sites() == [("/etc/nginx/nginx.conf", [], ["53"])]


@pytest.mark.parametrize(
    "text", ["server {", "}}}", "server { listen", "server_name x;", "\x00\xff", "'", "include ;", "include [;"]
)
def test_what_is_no_configuration_is_no_error(host: Host, text: str) -> None:
    host.write("/etc/nginx/nginx.conf", text)
    assert host.sites() == []


APACHES = """
<VirtualHost *:80 [::]:8080>
    ServerName blog.example.org
    ServerAlias www.blog.example.org old.example.org
</VirtualHost>
# <VirtualHost *:81>
"""


def test_apaches_sites(host: Host) -> None:
    host.write("/etc/apache2/apache2.conf", "IncludeOptional sites-enabled/*.conf\n", shipped=True)
    host.write("/etc/apache2/sites-available/000-default.conf", "<VirtualHost *:80>\n</VirtualHost>\n", shipped=True)
    host.link("/etc/apache2/sites-enabled/000-default.conf", "../sites-available/000-default.conf")
    assert host.sites(APACHE) == []
    host.write("/etc/apache2/sites-enabled/blog.conf", APACHES)
    names = ["blog.example.org", "www.blog.example.org", "old.example.org"]
    assert host.sites(APACHE) == [("/etc/apache2/sites-enabled/blog.conf", names, ["*:80", "[::]:8080"])]
