"""The CEL rules of the Kubeflow CRDs, each written out in Python.

There are fourteen of them in Trainer 2.1 to 2.3, the training operator and JobSet, and tests hold each against a CEL
library. A rule that is not known here is left to the server; :func:`unknown_rules` tells which. An expression that
fails rejects the object, as it does on the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pcinfra.jobs.kubernetes.schema.structural import Node

Path = tuple[str | int, ...]

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+")
_MANAGERS = ("trainer.kubeflow.org/trainjob-controller", "kueue.x-k8s.io/multikueue")
_RUNTIMES = ("torch", "mpi", "jax", "xgboost", "flux")


def _processes(value: Any) -> bool:
    return value in ("auto", "cpu", "gpu") if isinstance(value, str) else value > 0


def _ordered(value: Any) -> bool:
    policy = value.get("startupPolicy") or {}
    return not (
        policy.get("startupPolicyOrder") == "InOrder" and any("dependsOn" in j for j in value["replicatedJobs"])
    )


RULES: dict[str, Callable[[Any], bool]] = {
    "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')": lambda s: bool(
        _NAME.fullmatch(s["metadata"]["name"])
    ),
    "size(self.metadata.name) <= 63": lambda s: len(s["metadata"]["name"]) <= 63,
    "self in ['trainer.kubeflow.org/trainjob-controller', 'kueue.x-k8s.io/multikueue']": lambda s: s in _MANAGERS,
    "self > 0 || self in ['auto', 'cpu', 'gpu']": _processes,
    "!(has(self.torch) && has(self.mpi))": lambda s: not ("torch" in s and "mpi" in s),
    "!(has(self.numNodes) && (has(self.torch) && has(self.torch.elasticPolicy)))": lambda s: (
        not ("numNodes" in s and "elasticPolicy" in s.get("torch", {}))
    ),
    "[has(self.torch), has(self.mpi), has(self.jax), has(self.xgboost),has(self.flux)].filter(x, x).size() <= 1": (
        lambda s: sum(name in s for name in _RUNTIMES) <= 1
    ),
    "!(has(self.startupPolicy) && self.startupPolicy.startupPolicyOrder == 'InOrder' && "
    "self.replicatedJobs.exists(x, has(x.dependsOn)))": _ordered,
    "self >= 1": lambda s: s >= 1,
    "!self.exists(c, c == 'node')": lambda s: "node" not in s,
    "self == '' || self.matches('^[A-Za-z][A-Za-z0-9+.-]*://.+$')": lambda s: s == "" or bool(_URI.fullmatch(s)),
    "self.templates.all(t, !has(t.metadata.namespace) || size(t.metadata.namespace) == 0)": lambda s: all(
        not t.get("metadata", {}).get("namespace") for t in s["templates"]
    ),
    "has(self.lastUpdatedTime)": lambda s: "lastUpdatedTime" in s,
}
TRANSITIONS: dict[str, Callable[[Any, Any], bool]] = {"self == oldSelf": lambda new, old: bool(new == old)}
"""Rules about a change; they run only where both values exist."""


def broken(value: Any, node: Node, old: Any = None) -> Iterator[tuple[Path, str]]:
    """Yield each value that breaks a rule, with the rule's message."""
    yield from _broken(value, node, old, ())


def unknown_rules(node: Node, raw: Any = None) -> set[str]:
    """Return the rules of a schema that are not written out here."""
    raw = node.raw if raw is None else raw
    found: set[str] = set()
    if isinstance(raw, dict):
        rules = raw.get("x-kubernetes-validations", ())
        found |= {_flat(rule["rule"]) for rule in rules if isinstance(rule, dict) and "rule" in rule}
        raw = list(raw.values())
    for part in raw if isinstance(raw, list) else ():
        if isinstance(part, (dict, list)):
            found |= unknown_rules(node, part)
    return found - RULES.keys() - TRANSITIONS.keys()


def _broken(value: Any, node: Node, old: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if old is None and not node.ruled:
        return
    for rule in node.rules:
        text = _flat(rule["rule"])
        if not _holds(text, value, old):
            yield path, str(rule.get("message") or f"breaks the rule {text}")
    if isinstance(value, dict):
        for key, item in value.items():
            child = node.child(key)
            if child is not None:
                yield from _broken(item, child, old.get(key) if isinstance(old, dict) else None, (*path, key))
    elif isinstance(value, list) and node.items is not None:
        before = _by_key(old, node)
        for index, item in enumerate(value):
            yield from _broken(item, node.items, before.get(_key(item, node)), (*path, index))


def _holds(text: str, value: Any, old: Any) -> bool:
    if text in TRANSITIONS:
        return old is None or TRANSITIONS[text](value, old)
    if text not in RULES:
        return True
    try:
        return RULES[text](value)
    except (TypeError, KeyError, AttributeError):
        return False


def _flat(rule: str) -> str:
    return " ".join(rule.split())


def _by_key(old: Any, node: Node) -> Mapping[Any, Any]:
    """Return the items of a list of maps by their keys: only those are the same item before and after a change."""
    if not isinstance(old, list) or not node.map_keys:
        return {}
    return {_key(item, node): item for item in old if isinstance(item, dict)}


def _key(item: Any, node: Node) -> tuple[Any, ...] | None:
    return tuple(str(item.get(key)) for key in node.map_keys) if isinstance(item, dict) and node.map_keys else None
