"""What is shown of a failure."""

from __future__ import annotations

from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import tail


def test_the_end_of_what_a_program_said_has_its_whole_last_traceback() -> None:
    noise = [f"line {number}" for number in range(300)]
    early, late = ["Traceback (most recent call last):", "  early"], ["Traceback (most recent call last):", "  late"]
    assert tail("\n".join(noise), 60).splitlines() == noise[-60:]
    assert tail("\n".join([*early, *noise[:70], *late, *noise[:80]]), 60).splitlines() == [*late, *noise[:80]]
    assert tail("\n".join([*late, *noise[:10]]), 60).splitlines() == [*late, *noise[:10]]
    assert tail("\n".join([*early, *noise]), 60).splitlines() == noise[-60:]
