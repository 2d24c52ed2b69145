"""Objects as YAML that every reader reads alike: texts that YAML 1.1 or 1.2 takes for something else are quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pcinfra.errors import UsageError

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_MOST = 1_000_000  # values of a file; an alias in an alias in an alias makes many of few lines
_OVERLAY = {"resources", "replacements", "patches", "configMapGenerator"}
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def to_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return ``objects`` as YAML documents, keys in the order given."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = None
        if "\n" in value:
            style = "|"
        elif not _PLAIN.fullmatch(value) or value.lower() in _WORDS:
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)

    Dumper.add_representer(str, text)
    dumped = (
        yaml.dump(dict(o), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2) for o in objects
    )
    return "---\n".join(dumped)


def from_yaml(text: str, where: str) -> list[dict[str, Any]]:
    """Return the objects in YAML documents, lists of objects taken apart.

    Raises:
        UsageError: it is no YAML, or a document is no object.
    """
    import yaml

    try:
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except yaml.YAMLError as error:
        raise UsageError(f"is no YAML: {error}", where=where) from error
    if _more_than(documents, _MOST):
        raise UsageError(
            f"has more than {_MOST:,} values, or one that holds itself", where=where, hint="fewer aliases (*)"
        )
    objects: list[dict[str, Any]] = []
    for document in documents:
        listed = isinstance(document, dict) and document.get("kind") == "List"
        items: Any = document.get("items") if listed else [_whole(document)]
        objects += items if isinstance(items, list) else [items]
    if any(not isinstance(each, dict) or not isinstance(each.get("kind"), str) for each in objects):
        raise UsageError("holds something else than Kubernetes objects", where=where, hint="apiVersion, kind, metadata")
    return objects


def _more_than(value: Any, most: int) -> bool:
    """Whether there are more values in ``value`` than ``most``, each alias counted for all that it stands for."""
    left, count = [value], 0
    while left and count <= most:
        one = left.pop()
        count += 1
        if isinstance(one, (dict, list)):
            left += one.values() if isinstance(one, dict) else one
    return count > most


def _whole(document: Any) -> Any:
    """Return a document with its kind: a kustomization need not say it."""
    if isinstance(document, dict) and "kind" not in document and _OVERLAY & document.keys():
        return {"kind": "Kustomization", **document}
    return document
