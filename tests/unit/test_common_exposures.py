"""Which exposure is stated for which unit, and what exceeds it."""

from __future__ import annotations

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import exposures

APPS = ("shop", "shop-worker")
FIGURES = {
    "certbot.service": "9.2 UNSAFE",
    "cron.service": "9.6 UNSAFE",
    "groundwork-backup.service": "1.6 OK",
    "groundwork-something.service": "0.2 SAFE",
    "nginx.service": "1.4 OK",
    "shop.redis.service": "0.3 SAFE",
    "shop@58d2e9433422.service": "1.3 OK",
    "shopping@x.service": "9.6 UNSAFE",
}
SHOWN = "".join(f"→ Overall exposure level for {unit}: {figure} 🙂\n" for unit, figure in FIGURES.items())


@pytest.mark.parametrize(
    ("unit", "highest"),
    [
        ("groundwork-backup.service", 1.5),
        ("groundwork-backup-drill.service", 1.5),
        ("groundwork-backup-drill-step-81-2.service", 9.2),
        ("groundwork-certificate.service", 1.5),
        ("groundwork-certificate-check.service", 1.5),
        ("groundwork-certificate-renew.service", 1.5),
        ("groundwork-certificate-step-9-1.service", 9.2),
        ("groundwork-certificate-renew-step-9-1.service", 9.2),
        ("groundwork-firewall.service", 1.5),
        ("groundwork-poolers@15-main.service", 1.0),
        ("groundwork-release@shop.service", 9.6),
        ("groundwork-firewall-revert.service", 9.6),
        ("groundwork-sshd-boot.service", 9.6),
        ("groundwork-first-boot.service", 9.6),
        ("shop@58d2e9433422.service", 1.2),
        ("shop.worker@58d2e9433422.service", 1.2),
        ("shop.worker.2@58d2e9433422.service", 1.2),
        ("shop.nightly.service", 1.2),
        ("shop-worker.redis-cache.service", 0.3),
        ("shop.pooler.service", 0.3),
    ],
)
def test_what_is_stated(unit: str, highest: float) -> None:
    found = exposures.stated(unit, APPS)
    assert found
    assert found.highest == highest
    assert found.reason.endswith(".")


@pytest.mark.parametrize(
    "unit", ["cron.service", "wiki@1.service", "postgresql@15-main.service", "groundwork-x.service"]
)
def test_what_is_not_stated(unit: str) -> None:
    assert exposures.stated(unit, APPS) is None


def test_what_exceeds_it_is_named() -> None:
    backup, unknown, app = exposures.problems(SHOWN, APPS)
    assert backup.startswith("groundwork-backup.service has an exposure of 1.6; at most 1.5 is stated: root reads")
    assert unknown.startswith("groundwork-something.service has an exposure of 0.2, and none is stated")
    assert app.startswith("shop@58d2e9433422.service has an exposure of 1.3; at most 1.2 is stated")
    assert exposures.problems("", APPS) == []
