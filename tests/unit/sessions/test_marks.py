"""A command's marks in its output, and what is typed in a pipe's place."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.sessions.marks import Marks, end_of_input, typed


def split(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


TEXT = st.lists(st.sampled_from([b"\x1b", b"\x1b_", b"\\", b" ", b"a", b"ready", b"0", b"12"])).map(b"".join)


@given(TEXT, TEXT, TEXT, st.integers(0, 255), st.lists(st.integers(0, 12)))
def test_marks_are_taken_out_wherever_the_output_is_cut(
    before: bytes, between: bytes, after: bytes, status: int, sizes: list[int]
) -> None:
    marks = Marks()
    secret = re.findall(r"033_(\w+) ready", marks.around("true", piped=False))[0].encode()
    output = before + b"\x1b_" + secret + b" ready\x1b\\" + between + b"\x1b_" + secret + b" %d\x1b\\" % status + after
    shown = b"".join(marks.without(piece) for piece in split(output, sizes)) + marks.rest()
    assert shown == before + between + after
    assert (marks.ready, marks.status) == (True, status)


def test_output_is_not_kept_for_longer_than_it_may_be_a_mark() -> None:
    marks = Marks()
    assert marks.without(b"$ \x1b[0m") == b"$ \x1b[0m"
    assert marks.without(b"\x1b_another ") == b"\x1b_another "
    assert marks.without(b"$ \x1b") == b"$ "
    assert marks.without(b"[A") == b"\x1b[A"


def in_terminal(command: str, keys: bytes, tmp_path: Path) -> bytes:
    """Type ``keys`` into a terminal in which a command of sh runs; return what is shown."""
    ours, theirs = pty.openpty()
    argv = ["setsid", "--ctty", "--wait", "sh", "-c", command]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path) as process:
        os.close(theirs)
        shown = os.read(ours, 4096)  # the first mark: the terminal is as it is to be
        os.write(ours, keys)
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break
        process.wait()
    os.close(ours)
    return shown


@pytest.mark.parametrize("data", [b"", b"one\n", b"no end of line", bytes(range(256)) * 3, b"\x03\x04\x1a\x1c\r\n\x7f"])
def test_a_pipe_arrives_byte_by_byte(data: bytes, tmp_path: Path) -> None:
    marks = Marks()
    keys = typed(data) + end_of_input(data[-1:])
    shown = in_terminal(marks.around("cat >arrived; exit 3", piped=True), keys, tmp_path)
    assert (tmp_path / "arrived").read_bytes() == data
    assert marks.without(shown) + marks.rest() == b"", "nothing is echoed"
    assert marks.status == 3
