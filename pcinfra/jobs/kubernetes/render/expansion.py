"""``$(NAME)`` in commands and environment values: kubelet's expansion, and how to keep it from touching a text."""

from __future__ import annotations

import re
from collections.abc import Mapping

_BEFORE = re.compile(r"\$(?=[$(])")


def literal(text: str) -> str:
    """Return what kubelet turns into ``text``: it replaces ``$(NAME)``, and makes one dollar of two.

    Source: Kubernetes, ``third_party/forked/golang/expansion``. A dollar before anything else stays as it is.
    """
    return _BEFORE.sub("$$", text)


def variable(name: str) -> str:
    """Return the reference that kubelet replaces with the value of ``name``."""
    return f"$({name})"


def expanded(text: str, values: Mapping[str, str]) -> str:
    """Return what kubelet makes of ``text``. A name without a value is left as it stands."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)
