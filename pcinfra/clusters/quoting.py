"""YAML scalars that mean what they say, whatever is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

Scalar = str | int | bool | float | None

# Safe without quotes: read as a string by YAML 1.1 and 1.2, and in no position the start of anything else.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9._/:-]*[A-Za-z0-9._/]|[A-Za-z]")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"})
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True, slots=True)
class Derived:
    """A value that was worked out rather than given, and the reason for it in one line."""

    value: Scalar
    why: str


@dataclass(frozen=True, slots=True)
class Comment:
    """Text behind a ``#`` that the template writes."""

    text: str


def scalar(value: Scalar | Derived | Comment) -> str:
    """Return ``value`` as a one-line YAML scalar; a :class:`Derived` one with its reason as a comment.

    Reading it back gives an equal value of the same type, for every string.
    """
    if isinstance(value, Derived):
        return f"{scalar(value.value)}  # {_printable(value.why)}"
    if isinstance(value, Comment):
        return _printable(value.text)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _float(value: float) -> str:
    """YAML 1.1, type float: a point is needed, and infinity has one too."""
    text = repr(value)
    if "e" in text and "." not in text:
        return text.replace("e", ".0e")
    return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text)


def _escaped(character: str) -> str:
    """YAML 1.1, 5.6: the escapes of a double-quoted scalar."""
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)
