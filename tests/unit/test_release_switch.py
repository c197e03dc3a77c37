"""What becomes live: static files of earlier releases too."""

from __future__ import annotations

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.switch import HASHED_NAME
from ansible_collections.groundwork.flask.tests.unit.release_app import App


class TestStatic:
    """A page from before a deploy still finds its assets."""

    @pytest.mark.parametrize(
        ("name", "hashed"),
        [
            ("main.3f9c01d2.js", True),
            ("main.3f9c01d2.js.map", True),
            ("index-BxK3f9aZ.js", True),
            ("index-DpQaXyzw.js", True),  # a quarter of Vite's hashes have no digit
            ("index-B_x-3f9a.css", True),
            ("app_0123456789abcdef0123456789abcdef.css", True),
            ("style.css", False),
            ("jquery-3.7.1.min.js", False),
            ("bootstrap-5.3.2.bundle.min.js", False),
            ("logo-small.png", False),
            ("product-overview.html", False),
            ("3f9c01d2.js", False),
            ("favicon.ico", False),
        ],
    )
    def test_hashed_names(self, name: str, hashed: bool) -> None:
        assert bool(HASHED_NAME.search(name)) is hashed

    def test_hashed_files_are_inherited_and_no_others(self, app: App) -> None:
        def build(number: int, *names: str) -> None:
            app.system.code = {"requirements.txt": "flask\n", **{f"static/{name}": str(number) for name in names}}
            app.engine(source={"tree": str(number) * 64, "directory": "shop"}).deploy()

        def public() -> dict[str, str]:
            base = app.at.current / "public/static"
            return {str(path.relative_to(base)): path.read_text() for path in base.rglob("*") if path.is_file()}

        build(1, "js/main.11111111.js", "style.css", "old.css", "same.99999999.js")
        build(2, "js/main.22222222.js", "style.css", "same.99999999.js")
        assert public() == {
            "js/main.11111111.js": "1",
            "js/main.22222222.js": "2",
            "style.css": "2",
            "same.99999999.js": "2",
        }
        build(3, "style.css")
        assert set(public()) == {"js/main.11111111.js", "js/main.22222222.js", "same.99999999.js", "style.css"}
        app.on_host().roll_back()
        assert app.at.facts(app.at.live() or "")["static"] == ["static/js/main.22222222.js", "static/same.99999999.js"]
