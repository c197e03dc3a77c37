"""Records of options: what is found out from a field, and what Ansible's modules are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.options import (
    Option,
    argument,
    argument_spec,
    option,
    options,
)
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import Spec


@dataclass(frozen=True)
class Shop:
    """An example of each kind."""

    name: str = option("", required="name: shop")
    seats: int = option(4, at_least=1, at_most=9)
    limit: int | None = option(None)
    is_open: bool = option(True)
    goods: Sequence[str] = option(("tea",))
    tags: tuple[str, ...] = option(())
    prices: Mapping[str, int] = option({})
    found_later: str = ""


def test_the_annotation_says_the_kind() -> None:
    kinds = {"name": str, "seats": int, "limit": int, "is_open": bool, "goods": list, "tags": list, "prices": dict}
    assert {name: one.kind for name, one in options(Shop).items()} == kinds
    assert options(Shop)["seats"] == Option(int, 4, 1, 9)


def test_a_record_gives_the_default() -> None:
    assert (Shop().seats, Shop().goods, Shop().prices) == (4, ("tea",), {})
    assert Shop().prices is not Shop().prices


@pytest.mark.parametrize(
    ("one", "entry"),
    [
        (Option(str, ""), {"type": "str", "default": ""}),
        (Option(str, "", required="name: shop"), {"type": "str", "required": True}),
        (Option(str, "", choices=("a", "b")), {"type": "str", "default": "", "choices": ["", "a", "b"]}),
        (Option(str, "b", choices={"a": "A", "b": "B"}), {"type": "str", "default": "b", "choices": ["a", "b"]}),
        (Option(list, (), choices=("a", "b")), {"type": "list", "elements": "str", "default": []}),
        (Option(dict, {}), {"type": "dict", "default": {}}),
    ],
)  # fmt: skip
def test_what_a_module_is_told(one: Option, entry: dict[str, object]) -> None:
    assert argument(one) == entry


def test_a_module_takes_the_options_of_several_records() -> None:
    assert list(argument_spec(Shop)) == [*options(Shop)]


def test_what_does_not_define_a_release_is_not_in_its_definition() -> None:
    shop = Spec("shop", extras=("pg",), environment={"A": "b"})
    assert shop.definition()["extras"] == ["pg"]
    assert replace(shop, release_command_timeout=7, skip_checks=["debug"]).definition() == shop.definition()
    assert replace(shop, release_command="flask db upgrade").definition() != shop.definition()


@pytest.mark.parametrize("name", ["processes", "jobs", "database", "redis"])
def test_an_app_that_does_not_use_what_came_later_keeps_the_id_of_its_release(name: str) -> None:
    shop = Spec("shop", environment={"A": "b"})
    assert name not in shop.definition()
    given: dict[str, Any] = {name: {"worker": {"command": "rq worker"}}}
    used = replace(shop, **given)
    assert used.definition().keys() - shop.definition().keys() == {name}
