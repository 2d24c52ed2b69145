"""Lays the ``overrides:`` of a cluster over what its template rendered.

Mappings are merged key by key; ``null`` takes a key away. Lists of mappings are merged entry by entry, found by what
names them; any other list, and any other value, takes the place of what was there.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from typing import Any

from pcinfra.clusters import tree
from pcinfra.clusters.quoting import scalar
from pcinfra.clusters.tree import Leaf, Mapping, Sequence, Tree

Path = tuple[str | int, ...]
Origins = dict[Path, Path]
"""Paths of the rendered configuration that ``overrides:`` decided, each with its path in ``overrides:``."""

WHY = "from overrides"

_NAMES = ("Name", "Key", "BucketName", "Policy")
"""What names an entry of a list in pcluster's schema (update_key: Name of queues, compute resources, storage and pools;
Key of Tags; BucketName of S3Access; Policy of AdditionalIamPolicies)."""

_ONE_KEY = ("CustomSlurmSettings",)
"""Lists of mappings of one key, which is their name (ParallelCluster, SlurmSettings/CustomSlurmSettings)."""


def lay_over(text: str, overrides: MappingType[str, Any]) -> tuple[str, Origins]:
    """Return ``text`` with ``overrides`` in it, and what they decided."""
    if not overrides:
        return text, {}
    head, base = tree.read(text)
    origins: Origins = {}
    _merge_mapping(base, overrides, (), (), origins)
    return tree.write(head, base), origins


def _merge_mapping(base: Mapping, over: MappingType[str, Any], here: Path, there: Path, origins: Origins) -> None:
    for key, value in over.items():
        if value is None:
            base.entries.pop(key, None)
            origins[*here, key] = (*there, key)
            continue
        merged = _merged(base.entries.get(key), value, key, (*here, key), (*there, key), origins)
        base.entries[key] = merged


def _merged(base: Tree | None, value: Any, key: str, here: Path, there: Path, origins: Origins) -> Tree:
    if isinstance(base, Mapping) and isinstance(value, dict):
        _merge_mapping(base, value, here, there, origins)
        return base
    if isinstance(base, Sequence) and isinstance(value, list) and (named := _by_name(value, key)):
        _merge_list(base, named, key, here, there, origins)
        return base
    if isinstance(base, Leaf) and not isinstance(value, dict | list) and base.text == scalar(value):
        return base
    origins[here] = there
    return _new(value)


def _by_name(value: list[Any], key: str) -> list[tuple[str, Any]]:
    """Return each entry with its name; nothing when the list has entries without one."""
    found = [(_name(item, key), item) for item in value]
    return [] if any(name is None for name, _ in found) else [(str(name), item) for name, item in found]


def _name(item: Any, key: str) -> str | None:
    if not isinstance(item, dict):
        return None
    if key in _ONE_KEY:
        return next(iter(item)) if len(item) == 1 else None
    return next((item[name] for name in _NAMES if isinstance(item.get(name), str)), None)


def _merge_list(
    base: Sequence, named: list[tuple[str, Any]], key: str, here: Path, there: Path, origins: Origins
) -> None:
    names = [_name_in(item, key) for item in base.items]
    for index, (name, item) in enumerate(named):
        if name in names:
            place = names.index(name)
            old = base.items[place]
            assert isinstance(old, Mapping)
            _merge_mapping(old, item, (*here, place), (*there, index), origins)
        else:
            origins[*here, len(base.items)] = (*there, index)
            base.items.append(_new(item))
            names.append(name)


def _name_in(item: Tree, key: str) -> str | None:
    if not isinstance(item, Mapping):
        return None
    if key in _ONE_KEY:
        return next(iter(item.entries), None)
    found = (item.entries.get(name) for name in _NAMES)
    return next((_plain(leaf.text) for leaf in found if isinstance(leaf, Leaf)), None)


def _plain(text: str) -> str:
    import yaml

    return str(yaml.safe_load(text))


def _new(value: Any) -> Tree:
    if isinstance(value, dict):
        return Mapping({key: _new(inner) for key, inner in value.items() if inner is not None}, WHY)
    if isinstance(value, list):
        return Sequence([_new(inner) for inner in value], WHY)
    return Leaf(scalar(value), WHY)
