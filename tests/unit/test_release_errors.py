"""What is shown of a failure."""

from __future__ import annotations

from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError, tail


def test_the_end_of_what_a_program_said_has_its_whole_last_traceback() -> None:
    noise = [f"line {number}" for number in range(300)]
    early, late = ["Traceback (most recent call last):", "  early"], ["Traceback (most recent call last):", "  late"]
    assert tail("\n".join(noise), 60).splitlines() == noise[-60:]
    assert tail("\n".join([*early, *noise[:70], *late, *noise[:80]]), 60).splitlines() == [*late, *noise[:80]]
    assert tail("\n".join([*late, *noise[:10]]), 60).splitlines() == [*late, *noise[:10]]
    assert tail("\n".join([*early, *noise]), 60).splitlines() == noise[-60:]


def test_an_error_that_comes_again_and_again_is_shown_once() -> None:
    """The health path is asked until the time is over, and the app answers each time with the same traceback."""
    once = [
        "Exception on / [GET]",
        "Traceback (most recent call last):",
        "  File",
        "KeyError: 1",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        "  File",
        "    self.shell = Shell(",
        "TypeError: filename",
    ]
    assert tail("\n".join([*once * 9, "[INFO] Handling signal: term"]), 60).splitlines() == [
        *once,
        "[INFO] Handling signal: term",
    ]
    other = [*once[:-1], "TypeError: other"]
    assert tail("\n".join([*other, *once]), 60).splitlines() == [*other, *once]
    assert tail("\n".join([*once[:1], *once[1:-1]]), 60).splitlines() == once[:-1]


def test_a_server_that_ends_again_and_again_is_shown_with_the_cause() -> None:
    """What the worker says comes before what the server makes of it, in two exceptions that end alike."""
    halt = ["Traceback (most recent call last):", *["  File"] * 12, "HaltServer: 3"]
    chain = [*halt, "", "During handling of the above exception, another exception occurred:", "", *halt]
    once = ["Traceback (most recent call last):", *["  File"] * 12, "MemoryError", "[INFO] Worker exiting", *chain]
    assert tail("\n".join(once * 4), 60).splitlines() == once


def test_no_line_that_a_program_has_printed_reads_like_one_of_ansible() -> None:
    error = ReleaseError("build", "it failed\nDo this.", "TASK [site] ***\n\nok: [host]\n\x1b[2Jshop, step import: …")
    assert str(error).splitlines()[:2] == ["it failed", "Do this."]
    assert str(error).splitlines()[2:] == ["  TASK [site] ***", "  ", "  ok: [host]", "  \\x1b[2Jshop, step import: …"]
