"""The smallest flask_apps, and what the model says of one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import model

SUM = "sha256:" + "ab" * 32


SMALLEST: dict[str, Any] = {
    "source": {"git": "https://example.org/shop.git", "version": "v1.2"},
    "wsgi_app": "shop:create_app()",
    "domains": ["shop.example.org"],
}


def app(**options: Any) -> dict[str, Any]:
    """flask_apps with one app, the smallest one plus these options."""
    return {"shop": {**SMALLEST, **options}}


def problems(apps: Any, secrets: Any = None, deploy_keys: Any = None) -> list[str]:
    with pytest.raises(model.ModelError) as refusal:
        model.load(apps, secrets, deploy_keys)
    return refusal.value.problems
