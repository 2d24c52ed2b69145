"""An object put through what the API server does with a custom resource: prune, default, drop nulls, validate.

The order is the server's (k8s.io/apiextensions-apiserver, ``pkg/apiserver/customresource_handler.go`` and
``pkg/apiserver/schema``). What it would prune silently is a Fault here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pcinfra.jobs.kubernetes.schema import cel
from pcinfra.jobs.kubernetes.schema.structural import Node
from pcinfra.jobs.kubernetes.schema.validation import Path, problems

_ROOT_KEYS = ("apiVersion", "kind", "metadata")
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
    """What the server would store, and everything that speaks against it."""

    object: dict[str, Any]
    faults: tuple[Fault, ...]
    pruned: tuple[Path, ...]


def admit(
    root: Node, value: Mapping[str, Any], old: Mapping[str, Any] | None = None, replicas: tuple[str, ...] = ()
) -> Admitted:
    """Put ``value`` through ``root``'s schema.

    Args:
        old: what it would replace.
        replicas: path of the number of replicas, where the resource can be scaled.

    ``faults`` are the server's, without those that ``pruned`` fields deserve: see :func:`unknown`.
    """
    stored = copy.deepcopy(dict(value))
    pruned: list[Path] = []
    _prune(stored, root, (), pruned, root=True)
    _default(stored, root)
    _drop_nulls(stored, root)
    faults = [Fault(path, why, hint) for path, why, hint in problems(stored, root)]
    if replicas and not faults:
        faults = list(_scale(stored, replicas))
    if not faults:  # the server evaluates CEL only on what is valid otherwise
        faults = [Fault(path, why) for path, why in cel.broken(stored, root, old)]
    return Admitted(stored, tuple(faults), tuple(pruned))


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


def _prune(value: Any, node: Node, path: Path, pruned: list[Path], *, root: bool = False) -> None:
    """Remove unknown fields (``schema/pruning/algorithm.go``)."""
    if isinstance(value, dict):
        kept = _ROOT_KEYS if root or node.embedded else ()
        for key in list(value):
            child = node.child(key)
            if key in kept:
                continue
            if child is not None:
                _prune(value[key], child, (*path, key), pruned)
            elif not node.preserves:
                pruned.append((*path, key))
                del value[key]
    elif isinstance(value, list) and node.items is not None:
        for index, item in enumerate(value):
            _prune(item, node.items, (*path, index), pruned)


def _default(value: Any, node: Node) -> None:
    """Fill in defaults, also for nulls that may not be (``schema/defaulting/algorithm.go``, Default)."""
    if isinstance(value, dict):
        for key, child in node.defaults:
            if key not in value or (value[key] is None and not child.nullable):
                value[key] = copy.deepcopy(child.default)
        for key in value:
            inner = node.child(key)
            if inner is None:
                continue
            if value[key] is None and not inner.nullable and inner.has_default:
                value[key] = copy.deepcopy(inner.default)
            _default(value[key], inner)
    elif isinstance(value, list) and node.items is not None:
        for index, item in enumerate(value):
            if item is None and not node.items.nullable:
                value[index] = copy.deepcopy(node.items.default)
            _default(value[index], node.items)


def _drop_nulls(value: Any, node: Node) -> None:
    """Remove nulls that may not be and have no default (``PruneNonNullableNullsWithoutDefaults``)."""
    if isinstance(value, dict):
        for key in list(value):
            child = node.child(key)
            if child is None:
                continue
            if value[key] is None and not child.nullable:
                del value[key]
            else:
                _drop_nulls(value[key], child)
    elif isinstance(value, list) and node.items is not None:
        for item in value:
            _drop_nulls(item, node.items)
