"""The apps of this scenario from outside; what a part promises is in test_<part>.py."""

from __future__ import annotations

import services
from testinfra.host import Host
from visitor import Site


def test_the_shop_sells(shop: Site) -> None:
    assert shop.get("/healthz").status == 200
    assert services.order(shop).status == 303
    assert "ada@example.org" in shop.get("/orders").text


def test_the_stock_answers(stock: Site) -> None:
    assert stock.get("/healthz").status == 200


class TestPlainApp:
    """An app that asks for none of this gets none of it."""

    def test_it_has_no_variable_of_a_service(self, plain: Site) -> None:
        assert plain.get("/").json == {}

    def test_it_has_no_unit_but_its_own(self, host: Host) -> None:
        assert {name.partition("@")[0] for name in services.units(host, "plain")} == {"plain"}
        assert host.run("ls -d /etc/groundwork/services/plain /run/plain.* /var/lib/plain.*").stdout == ""
        assert host.run("ls /etc/systemd/system | grep '^plain[.]'").stdout == ""
