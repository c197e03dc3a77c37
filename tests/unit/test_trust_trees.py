"""What root runs on a host leaves what an app owns to one module."""

from __future__ import annotations

from ansible_collections.groundwork.flask.tests.unit.trust_source import ROOT, Module, functions, sources
from ansible_collections.groundwork.flask.tests.unit.trust_trees import BY_PATH, OWNED, TREES, by_path


def test_what_an_app_owns_is_handled_by_one_module() -> None:
    """As far as an expression shows that it leads there. What a function is given as a parameter is not seen here."""
    found = [one for path, text in sources().items() if path != TREES for one in by_path(Module.parse(path, text))]
    assert found == []


def test_the_tables_of_trees_name_what_there_is() -> None:
    layout = Module.parse("layout", (ROOT / "plugins/module_utils/release/layout.py").read_text())
    assert set(OWNED) <= {function.name for function in functions(layout)}
    assert (ROOT / TREES).exists()
    for path, name in BY_PATH:
        assert name in {function.name for function in functions(Module.parse(path, sources()[path]))}, path
