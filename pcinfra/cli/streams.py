"""Standard streams that anything can be written to, and text that anything can be shown as."""

from __future__ import annotations

import io
import os
import sys

_LONGEST = 1000
"""Characters of a line of an error message; more is somebody's input, not our words."""


def prepare() -> None:
    """Open the streams that are closed, and let none refuse a character: a terminal without UTF-8 gets a ``?``."""
    if sys.stdin is None:
        sys.stdin = _null("r")
    if sys.stdout is None:
        sys.stdout = _null("w")
    if sys.stderr is None:
        sys.stderr = _null("w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _null(mode: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(open(os.devnull, f"{mode}b"), encoding="utf-8")


def readable(text: str) -> str:
    """Return ``text`` for a terminal: control characters as escapes, and what is too long without its middle."""
    return "\n".join(_shortened("".join(map(_visible, line))) for line in text.split("\n"))


def tell(line: str) -> None:
    """Show a line that a program of ours wrote, beside the progress."""
    print(f"  {readable(line)}", file=sys.stderr, flush=True)


def _visible(character: str) -> str:
    return character if character.isprintable() or character == "\t" else ascii(character)[1:-1]


def _shortened(line: str) -> str:
    if len(line) <= _LONGEST:
        return line
    half = _LONGEST // 2
    return f"{line[:half]} [...] {line[-half:]}"
