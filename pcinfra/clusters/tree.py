"""A rendered configuration as a tree that keeps its comments, so that overrides can be laid over it.

It reads only what the templates write: block style, one scalar to a line, comments at the end of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pcinfra.clusters.quoting import scalar

_COMMENT = re.compile(r"\s+#\s?(?P<text>.*)$")
_KEY_END = re.compile(r"\s*:")


@dataclass(slots=True)
class Leaf:
    """A scalar as it is written, quotation marks included."""

    text: str
    comment: str = ""


@dataclass(slots=True)
class Mapping:
    entries: dict[str, Tree] = field(default_factory=dict)
    comment: str = ""


@dataclass(slots=True)
class Sequence:
    items: list[Tree] = field(default_factory=list)
    comment: str = ""


Tree = Leaf | Mapping | Sequence


def read(text: str) -> tuple[str, Mapping]:
    """Return the comment lines at the top of ``text``, and the rest as a tree."""
    lines = text.splitlines()
    head = lines[: _first_value(lines)]
    root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    tree = _tree(root, lines, "") if root else None
    assert isinstance(tree, Mapping), "every configuration is a mapping"
    return "".join(f"{line}\n" for line in head), tree


def _first_value(lines: list[str]) -> int:
    return next((number for number, line in enumerate(lines) if line and not line.startswith("#")), len(lines))


def _tree(node: Node, lines: list[str], comment: str) -> Tree:
    if isinstance(node, MappingNode):
        pairs = ((key, value, _behind_key(key, lines)) for key, value in node.value)
        return Mapping({key.value: _tree(value, lines, above) for key, value, above in pairs}, comment)
    if isinstance(node, SequenceNode):
        return Sequence([_tree(item, lines, "") for item in node.value], comment)
    assert isinstance(node, ScalarNode)
    line = lines[node.start_mark.line]
    return Leaf(line[node.start_mark.column : node.end_mark.column], _comment(line[node.end_mark.column :]))


def _behind_key(key: Node, lines: list[str]) -> str:
    rest = lines[key.end_mark.line][key.end_mark.column :]
    end = _KEY_END.match(rest)
    return _comment(rest[end.end() :]) if end else ""


def _comment(rest: str) -> str:
    found = _COMMENT.match(rest)
    return found["text"] if found else ""


def write(head: str, tree: Mapping) -> str:
    """Return the text of a tree; what :func:`read` read comes out as it was."""
    return head + "".join(f"{line}\n" for line in _mapping(tree, ""))


def _mapping(tree: Mapping, indent: str) -> Iterator[str]:
    for key, value in tree.entries.items():
        yield from _entry(f"{indent}{scalar(key)}:", value, indent)


def _entry(start: str, value: Tree, indent: str) -> Iterator[str]:
    if isinstance(value, Leaf):
        yield _commented(f"{start} {value.text}", value.comment)
    elif isinstance(value, Mapping):
        yield _commented(start if value.entries else f"{start} {{}}", value.comment)
        yield from _mapping(value, f"{indent}  ")
    else:
        yield _commented(start if value.items else f"{start} []", value.comment)
        yield from _sequence(value, f"{indent}  ")


def _sequence(tree: Sequence, indent: str) -> Iterator[str]:
    for item in tree.items:
        if isinstance(item, Leaf):
            yield _commented(f"{indent}- {item.text}", item.comment)
            continue
        inner = f"{indent}  "
        lines = list(_mapping(item, inner) if isinstance(item, Mapping) else _sequence(item, inner))
        empty = "{}" if isinstance(item, Mapping) else "[]"
        first = lines[0][len(inner) :] if lines else empty
        yield f"{indent}- {first}"
        yield from lines[1:]


def _commented(line: str, comment: str) -> str:
    return f"{line}  # {comment}" if comment else line
