"""Slurm's short way to write node names, written out."""

from __future__ import annotations

import re

_ITEM = re.compile(r"(?:[^,\[\]]|\[[^\]]*\])+")
_LONGEST = 64 * 1024
"""Names in one range that Slurm itself takes (``MAX_RANGE`` in hostlist.c); a longer one is no list of nodes."""

_BRACKETS = re.compile(r"\[([^\]]*)\]")


def expand(text: str) -> list[str]:
    """Return the node names of ``q-st-p5-[1-2,07-08],head``, in order (scontrol(1), show hostnames)."""
    return [name for item in _ITEM.findall(text) for name in _item(item)]


def _item(item: str) -> list[str]:
    brackets = _BRACKETS.search(item)
    if not brackets:
        return [item]
    before, numbers, after = item[: brackets.start()], _numbers(brackets[1]), _item(item[brackets.end() :])
    if len(numbers) * len(after) > _LONGEST:
        return [item]
    return [f"{before}{number}{rest}" for number in numbers for rest in after]


def _numbers(ranges: str) -> list[str]:
    """Return the numbers of ``1-3,07``; each keeps the width of its range's first."""
    numbers = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        if not _counts(first, last or first):
            numbers.append(part)
            continue
        numbers += [str(number).zfill(len(first)) for number in range(int(first), int(last or first) + 1)]
    return numbers


def _counts(first: str, last: str) -> bool:
    numbers = (first + last).isascii() and first.isdigit() and last.isdigit()
    return numbers and len(first + last) < 40 and int(last) - int(first) < _LONGEST
