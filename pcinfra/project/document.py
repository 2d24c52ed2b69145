"""A YAML file as plain data that remembers where each value stands.

YAML is read as PyYAML's composer reads it (YAML 1.1), but nothing is ever constructed: no tags, no dates, no octal
or base-60 numbers. What people write by accident in such a file is a :class:`Problem`, not a surprise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pcinfra.errors import InputError, Problem
from pcinfra.project.syntax import syntax_problem

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_VALUES = 20_000
MAX_NUMBER = 1 << 63

KeyPath = tuple[str | int, ...]
Place = tuple[int, int]

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML file says, and where.

    Args:
        file: the name that problems carry.
        data: dicts with string keys, lists, strings, numbers, booleans and None; ``{}`` for an empty file.
        places: line and column (from 1) of every value; of its key where the value is a collection or empty.
        keys: line and column of every mapping key.
        written: every plain (unquoted) scalar as it stands in the file.
        problems: what could not be read.
        refused: paths of values that could not be read; ``data`` has None there.
    """

    file: str
    data: Any
    places: Mapping[KeyPath, Place] = field(default_factory=dict)
    keys: Mapping[KeyPath, Place] = field(default_factory=dict)
    written: Mapping[KeyPath, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    refused: frozenset[KeyPath] = frozenset()

    def problem(self, path: KeyPath, why: str, hint: str = "", *, at_key: bool = False) -> Problem:
        """Return a problem of the value (or the key) at ``path``, or of the nearest value around it."""
        line, column = self.place(path, at_key=at_key)
        return Problem(self.file, line, column, dotted(path), why, hint)

    def place(self, path: KeyPath, *, at_key: bool = False) -> Place:
        """Return line and column of ``path``; ``(1, 1)`` where nothing around it is in the file."""
        if at_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def dotted(path: KeyPath) -> str:
    """Return ``clusters.train.queues[0].name`` for a path."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{_shown(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def _shown(key: str) -> str:
    """Return a key that fits into a message: on one line, and not endless."""
    short = key if len(key) <= 80 else f"{key[:77]}..."
    return short if short.isprintable() else json.dumps(short)


def read_text(path: Path, name: str = "") -> str:
    """Return the text of a UTF-8 file of at most 1 MiB, without its byte order mark.

    Raises:
        InputError: it cannot be opened, is too big, is not text, or is in another encoding.
    """
    file = name or str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError([Problem(file, 0, 0, "", f"cannot be read: {error.strerror}")]) from error
    return decode(raw, file)


def decode(raw: bytes, file: str) -> str:
    """Return the text of the bytes of ``file``; see :func:`read_text`."""
    if len(raw) > MAX_BYTES:
        raise InputError([Problem(file, 0, 0, "", "is larger than 1 MiB; that is not a settings file")])
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError([Problem(file, 0, 0, "", "is UTF-16; only UTF-8 is read", "save it as UTF-8")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        why = f"byte 0x{raw[error.start]:02x} is not UTF-8; the file is binary or in another encoding"
        raise InputError([Problem(file, line, column, "", why, "save it as UTF-8")]) from error


def parse(text: str, file: str) -> Document:
    """Return what ``text`` says.

    Raises:
        InputError: it is not YAML, or it is larger than 1 MiB or nested deeper than 64 levels.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        decode(b" " * (MAX_BYTES + 1), file)
    loader: _Loader | None = None
    try:
        loader = _Loader(text.removeprefix("\ufeff"))
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise InputError([syntax_problem(error, text, file)]) from error
    finally:
        if loader:
            loader.dispose()
    return _Reader(file).read(root) if root else Document(file, {})


class _Loader(yaml.SafeLoader):
    """PyYAML's reader and composer with bounds on nesting and on the number of values."""

    depth = 0
    count = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.count += 1
        place = parent.start_mark if parent else None
        if self.depth >= MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", place)
        if self.count > 2 * MAX_VALUES:
            raise yaml.composer.ComposerError(None, None, "too many values", place)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reader:
    """Turns composed nodes into plain data and keeps what :class:`Document` remembers."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[KeyPath, Place] = {}
        self.keys: dict[KeyPath, Place] = {}
        self.written: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []
        self.refused: set[KeyPath] = set()
        self.open: list[Node] = []
        self.count = 0

    def read(self, root: Node) -> Document:
        data = self._value(root, ())
        problems, refused = tuple(self.problems), frozenset(self.refused)
        return Document(self.file, data, self.places, self.keys, self.written, problems, refused)

    def _value(self, node: Node, path: KeyPath) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise self._stop(f"has more than {MAX_VALUES} values once its anchors (&name, *name) are expanded")
        self._remember(node, path)
        if any(node is outer for outer in self.open):
            return self._refuse(path, "refers to itself (*name inside &name)", "write the value out")
        if len(self.open) > MAX_DEPTH:
            raise self._stop(f"is nested deeper than {MAX_DEPTH} levels once its anchors (&name, *name) are expanded")
        self.open.append(node)
        try:
            return self._collection(node, path)
        finally:
            self.open.pop()

    def _collection(self, node: Node, path: KeyPath) -> Any:
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        wanted = f"{_TAG}map" if isinstance(node, MappingNode) else f"{_TAG}seq"
        if node.tag != wanted:
            return self._refuse_tag(node, path)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged.append(value_node)
                continue
            key = self._key(key_node, path, data)
            if key is not None:
                data[key] = self._value(value_node, (*path, key))
        for value_node in merged:
            self._merge(value_node, path, data)
        return data

    def _key(self, node: Node, path: KeyPath, seen: Mapping[str, Any]) -> str | None:
        place = _place(node)
        if not isinstance(node, ScalarNode):
            self._note(path, place, "a key here is a list or a mapping", 'quote values that begin with { or [: "{...}"')
            self.refused.update({path} - {()})
            return None
        if node.tag != f"{_TAG}str":
            self._note(path, place, f"the key {node.value} is not text: {_meaning(node)}", f'"{node.value}": ...')
            return None
        key = str(node.value)
        here = (*path, key)
        if key in seen:
            first = self.keys[here][0]
            self._note(here, place, f"is here twice (first in line {first})", "keep one of them")
            return None
        if _unprintable(key):
            self._note(path, place, f"the key {key!r} has a control character", "remove it")
            return None
        self.keys[here] = place
        return key

    def _merge(self, node: Node, path: KeyPath, data: dict[str, Any]) -> None:
        """Add what ``<<`` brings in: keys that are there already win (YAML merge key type, v1.1)."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, MappingNode):
                self._note((*path, "<<"), _place(source), "can only bring in mappings", "<<: *name")
            elif any(source is outer for outer in self.open):
                self._note((*path, "<<"), _place(source), "refers to itself", "remove it")
            else:
                new = [pair for pair in source.value if not _is_in(pair[0], data)]
                value = self._value(MappingNode(source.tag, new, source.start_mark), path)
                data.update(value or {})

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        text = str(node.value)
        if not node.style:
            self.written[path] = text if len(text) <= 80 else f"{text[:77]}..."
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            bad = _unprintable(text)
            return self._refuse(path, f"has the control character {bad!r}", "remove it") if bad else text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("yes", "true", "on")
        if kind in ("int", "float"):
            return self._number(node, path, kind)
        if kind in ("timestamp", "value", "merge"):
            return self._refuse(path, f"{text} is {_meaning(node)}", f'"{text}"')
        return self._refuse_tag(node, path)

    def _number(self, node: ScalarNode, path: KeyPath, kind: str) -> Any:
        text = str(node.value)
        digits = text.lstrip("+-")
        if ":" in digits or (kind == "int" and digits[:1] == "0" and digits[1:2].isdigit()):
            return self._refuse(path, f"{text} is {_meaning(node)}", f'"{text}" for text')
        try:
            number = int(text.replace("_", ""), 0) if kind == "int" else _float(text)
        except ValueError:
            return self._refuse(path, f"{text[:40]} is not a number that can be read", f'"{text[:40]}" for text')
        if isinstance(number, int) and abs(number) >= MAX_NUMBER:
            return self._refuse(path, f"{text[:40]} is too large a number", f'"{text[:40]}" for text')
        return number

    def _refuse_tag(self, node: Node, path: KeyPath) -> None:
        tag = node.tag.replace(_TAG, "!!")
        self._refuse(path, f"YAML tags ({tag}) are not read here", "write the value without the tag")

    def _stop(self, why: str) -> InputError:
        return InputError([Problem(self.file, 0, 0, "", why, "write them out, or remove the anchors")])

    def _refuse(self, path: KeyPath, why: str, hint: str) -> None:
        self._note(path, self.places[path], why, hint)
        self.refused.add(path)

    def _note(self, path: KeyPath, place: Place, why: str, hint: str) -> None:
        self.problems.append(Problem(self.file, *place, dotted(path), why, hint))

    def _remember(self, node: Node, path: KeyPath) -> None:
        empty = isinstance(node, ScalarNode) and not node.value and not node.style
        if (empty or not isinstance(node, ScalarNode)) and path in self.keys:
            self.places[path] = self.keys[path]
        else:
            self.places.setdefault(path, _place(node))


def _is_in(node: Node, data: Mapping[str, Any]) -> bool:
    return isinstance(node, ScalarNode) and node.value in data


def _place(node: Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _unprintable(text: str) -> str:
    """Return the first character that no setting needs: NUL and other controls, and lone surrogates."""
    return next((char for char in text if _is_control(char)), "")


def _is_control(char: str) -> bool:
    return (char < " " and char not in "\t\n\r") or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff"


def _float(text: str) -> float:
    plain = text.replace("_", "").lower()
    return float(plain.replace(".inf", "inf").replace(".nan", "nan"))


def _meaning(node: Node) -> str:
    """Say what YAML 1.1 makes of an unquoted scalar (YAML 1.1 type repository)."""
    kind = node.tag.removeprefix(_TAG)
    if kind in ("int", "float") and ":" in node.value:
        return "a number in base 60 in YAML"
    if kind == "int" and node.value.lstrip("+-")[:1] == "0" and len(node.value) > 1:
        return "an octal number in YAML"
    words = {
        "bool": "true or false in YAML",
        "timestamp": "a date in YAML",
        "null": "nothing in YAML",
        "int": "a number in YAML",
        "float": "a number in YAML",
    }
    return words.get(kind, "a special value in YAML")
