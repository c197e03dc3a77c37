"""The groups of readers: their names, and rights that are taken away."""

from __future__ import annotations

import grp
import struct

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.logs import acl, readers
from ansible_collections.groundwork.flask.plugins.plugin_utils import reserved


def test_a_group_that_was_made_by_hand_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [
        grp.struct_group((f"groundwork-logs-{name}", "x", gid, [])) for name, gid in (("old", 998), ("mine", 1002))
    ]
    monkeypatch.setattr(grp, "getgrall", there.copy)
    assert list(readers.hold({}, dry_run=True)) == ["The group groundwork-logs-old is gone, for its app is."]


def test_the_group_of_an_app_is_no_other_apps_and_no_apps_name() -> None:
    names = ["shop", "shop-logs", "a" * 15, "a" * 16, "a" * 30, "a" * 29 + "b", "shop_and_more_of_the_same"]
    groups = [on_host.on_host("log_group", name) for name in names]
    assert groups[0] == "groundwork-logs-shop"
    assert len(set(groups)) == len(names)
    assert max(map(len, groups)) == on_host.LONGEST_GROUP
    assert all(group.startswith(on_host.LOG_GROUP) and reserved.taken(group) for group in groups)
    # A long name and its digest are behind another sign than a short name.
    assert {group[len(on_host.LOG_GROUP)] for group in groups[3:]} == {"_"}


def test_only_the_entries_of_one_group_are_taken_out_of_a_list() -> None:
    header = struct.pack("<I", 2)
    entries = [(1, 7, 2**32 - 1), (4, 5, 2**32 - 1), (8, 5, 4), (8, 5, 991), (2, 5, 991), (0x10, 5, 2**32 - 1)]
    packed = [struct.pack("<HHI", *entry) for entry in entries]
    assert acl.without_group(header + b"".join(packed), 991) == header + b"".join(packed[:3] + packed[4:])
    assert acl.without_group(header + b"".join(packed), 992) == header + b"".join(packed)
