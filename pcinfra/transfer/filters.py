"""``--include`` and ``--exclude``: which names take part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property


@dataclass(frozen=True)
class Filter:
    """Globs over relative names; ``*`` also matches ``/``, and matching minds upper and lower case.

    A name takes part when it matches one of ``include`` (or there is none) and none of ``exclude``. A glob without
    ``/`` is tried on the last part of the name too.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def admits(self, name: str) -> bool:
        """Return whether ``name`` takes part."""
        if not self.include and not self.exclude:
            return True
        wanted = not self.include or _matches(self._included, name)
        return wanted and not _matches(self._excluded, name)

    @cached_property
    def _included(self) -> list[tuple[re.Pattern[str], bool]]:
        return [_compiled(glob) for glob in self.include]

    @cached_property
    def _excluded(self) -> list[tuple[re.Pattern[str], bool]]:
        return [_compiled(glob) for glob in self.exclude]


def _compiled(glob: str) -> tuple[re.Pattern[str], bool]:
    glob = glob.removeprefix("./")
    return re.compile(translate(f"{glob}*" if glob.endswith("/") else glob)), "/" not in glob


def _matches(patterns: list[tuple[re.Pattern[str], bool]], name: str) -> bool:
    last = name.rpartition("/")[2]
    return any(pattern.match(name) or (anywhere and pattern.match(last)) for pattern, anywhere in patterns)
