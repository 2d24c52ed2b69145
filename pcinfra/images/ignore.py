"""What ``.dockerignore`` keeps out of a build context.

Source: Docker, Dockerfile reference and "Build context", .dockerignore files; the cases that they leave open are as
github.com/moby/patternmatcher (MatchesOrParentMatches), which docker, podman and buildah use, decides them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pcinfra.errors import Refused

NAMES = ("Dockerfile.dockerignore", ".dockerignore")
"""Files that may hold the patterns; only the first that exists is read."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line. ``brings_back`` is that of a line that begins with ``!``."""

    regex: re.Pattern[str]
    brings_back: bool = False


@dataclass(frozen=True, slots=True)
class Ignore:
    """The lines of one file, in their order: the last one that matches decides."""

    patterns: tuple[Pattern, ...] = ()

    @property
    def prunes(self) -> bool:
        """Whether nothing below a folder that is excluded can come back."""
        return not any(pattern.brings_back for pattern in self.patterns)

    def excludes(self, path: str) -> bool:
        """Return whether ``path`` stays out; it is relative to the context, with ``/`` between its parts."""
        parts = path.split("/")
        chain = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        excluded = False
        for pattern in self.patterns:
            if pattern.brings_back == excluded and any(map(pattern.regex.fullmatch, chain)):
                excluded = not pattern.brings_back
        return excluded


def file_of(folder: Path) -> Path | None:
    """Return the file of ``folder`` that holds the patterns, if there is one."""
    return next((path for name in NAMES if (path := folder / name).is_file()), None)


def ignoring(folder: Path) -> list[str]:
    """Return what tells podman and buildah to read the file that docker reads, and no ``.containerignore``."""
    path = file_of(folder)
    return [f"--ignorefile={path}"] if path else []


def read(folder: Path) -> Ignore:
    """Return what the folder's file says; without one, nothing is excluded.

    Raises:
        Refused: a line is no pattern.
    """
    path = file_of(folder)
    return parse(path.read_text(encoding="utf-8-sig", errors="surrogateescape"), str(path)) if path else Ignore()


def parse(text: str, where: str = ".dockerignore") -> Ignore:
    """Return the patterns of ``text``; ``where`` is how errors call it."""
    return Ignore(tuple(_lines(text, where)))


def _lines(text: str, where: str) -> Iterator[Pattern]:
    for number, line in enumerate(text.split("\n"), 1):
        brings_back, pattern = _cleaned(line)
        if not pattern and not brings_back:
            continue
        try:
            yield Pattern(re.compile(_regex(pattern), re.DOTALL), brings_back)
        except ValueError as error:
            hint = "write \\ before a character that is meant as it is"
            raise Refused(f"{line.strip()!r} is no pattern: {error}", where=f"{where}:{number}", hint=hint) from None


def _cleaned(line: str) -> tuple[bool, str]:
    """Return whether a line brings back, and its pattern without what does not count; both empty: there is none."""
    if line.startswith("#"):
        return False, ""
    text = line.strip()
    brings_back = text.startswith("!")
    text = text.removeprefix("!").strip()
    if not text:
        return brings_back, ""
    cleaned = posixpath.normpath(text)
    return brings_back, cleaned.lstrip("/") or "/"


def _regex(pattern: str) -> str:
    """Return the regular expression of a whole path that a pattern stands for.

    Raises:
        ValueError: it is none, and why.
    """
    if not pattern:
        raise ValueError("nothing follows the !")
    if re.fullmatch(r"\*\*[^/*?\[\]\\][^*?\[\]\\]*", pattern):
        return ".*" + re.escape(pattern[2:])  # **x, and no other wildcard: anything that ends with x
    parts, place = [], 0
    while place < len(pattern):
        part, place = _next(pattern, place)
        parts.append(part)
    return "".join(parts)


def _next(pattern: str, place: int) -> tuple[str, int]:
    """Return the regular expression of what stands at ``place``, and the place after it."""
    char = pattern[place]
    if pattern.startswith("**", place):
        after = place + 2 + pattern.startswith("/", place + 2)
        return (".*" if after == len(pattern) else "(?:.*/)?"), after
    if char == "*":
        return "[^/]*", place + 1
    if char == "?":
        return "[^/]", place + 1
    if char == "[":
        return _class(pattern, place + 1)
    if char == "\\":
        if place + 1 == len(pattern):
            raise ValueError("nothing follows the \\")
        return re.escape(pattern[place + 1]), place + 2
    return re.escape(char), place + 1


def _class(pattern: str, place: int) -> tuple[str, int]:
    """Return the regular expression of a ``[...]``; ``place`` is after the bracket. Source: Go, path/filepath.Match."""
    negated = pattern.startswith("^", place)
    place += negated
    ranges: list[str] = []
    while ranges == [] or not pattern.startswith("]", place):
        low, place = _member(pattern, place)
        high = low
        if pattern.startswith("-", place):
            high, place = _member(pattern, place + 1)
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
    inside = "".join(ranges)
    if not inside:  # every range was empty, as [z-a]
        return ("." if negated else "(?!)"), place + 1
    return f"[{'^' * negated}{inside}]", place + 1


def _member(pattern: str, place: int) -> tuple[str, int]:
    """Return one character inside ``[...]`` and the place after it."""
    escaped = pattern.startswith("\\", place)
    place += escaped
    if place >= len(pattern) or (not escaped and pattern[place] in "-]"):
        raise ValueError("a [ is not closed, or has a - or ] that is not escaped")
    return pattern[place], place + 1
