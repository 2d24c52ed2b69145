"""An object put through what the API server does with a custom resource: prune, default, drop nulls, validate.

As the server does it (k8s.io/apiextensions-apiserver, ``pkg/apiserver/customresource_handler.go``, and
``pkg/apiserver/schema``: pruning and defaulting). What it would prune silently is a Fault here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pcinfra.jobs.kubernetes.schema import cel
from pcinfra.jobs.kubernetes.schema.structural import Node
from pcinfra.jobs.kubernetes.schema.validation import Path, Problem, problems

_ROOT_KEYS = ("apiVersion", "kind", "metadata")
_PLAIN = frozenset((str, int, bool, float))
_NEAR = 3  # edits between an unknown field and the one that was meant


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an object.

    Args:
        path: of the value, for example ``("spec", "trainer", "numNodes")``.
        later: what would happen if it were sent all the same; empty when the server refuses it at once.
        source: where the rule stands; empty for the resource's own schema.
    """

    path: Path
    why: str
    hint: str = ""
    later: str = ""
    source: str = ""

    def __str__(self) -> str:
        later = f"\n    otherwise: {self.later}" if self.later else ""
        hint = f"\n    try: {self.hint}" if self.hint else ""
        return f"{dotted(self.path)}: {self.why}{later}{hint}"


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the server would store, and everything that speaks against it.

    Args:
        too_wide: numbers that the server may take and the operator cannot read.
    """

    object: dict[str, Any]
    faults: tuple[Fault, ...]
    pruned: tuple[Path, ...]
    too_wide: tuple[Problem, ...] = ()


def admit(
    root: Node, value: Mapping[str, Any], old: Mapping[str, Any] | None = None, replicas: tuple[str, ...] = ()
) -> Admitted:
    """Put ``value`` through ``root``'s schema.

    Args:
        old: what it would replace.
        replicas: path of the number of replicas, where the resource can be scaled.

    ``faults`` are the server's, without those that ``pruned`` fields deserve: see :func:`unknown`.
    """
    pruned: list[Path] = []
    stored = _taken_map(dict(value), root, (), pruned, root=True)
    found = problems(stored, root)
    faults = [Fault(path, why, hint) for path, why, hint in found.problems]
    if replicas and not faults:
        faults = list(_scale(stored, replicas))
    if not faults:  # the server evaluates CEL only on what is valid otherwise
        faults = [Fault(path, why) for path, why in cel.broken(stored, root, old)]
    return Admitted(stored, tuple(faults), tuple(pruned), tuple(found.too_wide))


def _scale(value: Any, path: tuple[str, ...]) -> Iterator[Fault]:
    """The number of replicas must fit autoscaling's Scale (``customresource/validator.go``, ValidateScaleSpec)."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, float):
        yield Fault(path, f"must be written without a fraction, and is {value}", str(int(value)))
    elif isinstance(value, int) and not 0 <= value < 2**31:
        yield Fault(path, "must be from 0 to 2147483647")


def unknown(root: Node, pruned: tuple[Path, ...]) -> Iterator[Fault]:
    """Yield a Fault for each field that the schema does not know, with the field that was probably meant."""
    for path in pruned:
        near = _nearest(str(path[-1]), root.at(*("[]" if isinstance(step, int) else step for step in path[:-1])))
        later = "the server drops it without a word, and the job runs without it"
        yield Fault(path, "is not a field of this version", near, later)


def dotted(path: Path) -> str:
    """Return ``spec.containers[0].name``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".") or "(the object)"


def _nearest(key: str, node: Node | None) -> str:
    import difflib

    known = list(node.properties) if node else []
    found = difflib.get_close_matches(key, known, 1, 0.75)
    return found[0] if found else ""


def _taken(value: Any, node: Node | None, path: Path, pruned: list[Path], *, root: bool = False) -> Any:
    """Return ``value`` without unknown fields, with defaults, and without nulls that may not be.

    One pass for what the server does in three: a node's steps do not see what another node's did.
    """
    if isinstance(value, dict):
        return _taken_map(value, node, path, pruned, root=root)
    if isinstance(value, list):
        items = node.items if node is not None else None
        if items is not None and items.plain_text and all(type(item) is str for item in value):
            return list(value)
        return [_taken_item(item, items, (*path, index), pruned) for index, item in enumerate(value)]
    return value


def _taken_map(
    value: dict[str, Any], node: Node | None, path: Path, pruned: list[Path], *, root: bool
) -> dict[str, Any]:
    if node is None:
        return {key: _copied(item) for key, item in value.items()}
    kept = _ROOT_KEYS if root or node.embedded else ()
    made: dict[str, Any] = {}
    known, other = node.properties, node.values
    for key, item in value.items():
        child = known.get(key) or other
        if child is not None and type(item) in _PLAIN and key not in kept:
            made[key] = item
        elif key in kept or (child is None and node.preserves):
            made[key] = _copied(item)
        elif child is None:
            pruned.append((*path, key))
        elif item is not None or child.nullable:
            made[key] = _taken(item, child, (*path, key), pruned) if isinstance(item, (dict, list)) else item
        elif child.has_default:
            made[key] = _taken(child.default, child, (*path, key), [])
    for key, child in node.defaults:
        if key not in made:
            made[key] = _taken(child.default, child, (*path, key), [])
    return made


def _taken_item(item: Any, node: Node | None, path: Path, pruned: list[Path]) -> Any:
    if item is None and node is not None and not node.nullable:
        return _copied(node.default)
    return _taken(item, node, path, pruned)


def _copied(value: Any) -> Any:
    """Return a copy of what JSON can hold."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
