"""What webhooks, JobSet and kubelet would refuse later, or run wrongly: small rules, each with its source.

A CRD's schema takes what these refuse, so that the server answers "created" and the job never starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pcinfra.jobs.kubernetes.rules import (
    configmap,
    kustomization,
    names,
    pods,
    pytorchjob,
    resources,
    roles,
    scripts,
    trainjob,
)
from pcinfra.jobs.kubernetes.rules.model import Rule, Surroundings, commands_of, pods_of
from pcinfra.jobs.kubernetes.schema.admission import Fault

RULES: tuple[Rule, ...] = (
    *names.RULES,
    *resources.RULES,
    *pods.RULES,
    *trainjob.RULES,
    *pytorchjob.RULES,
    *configmap.RULES,
    *scripts.RULES,
    *kustomization.RULES,
    *roles.RULES,
)

_BY_KIND: dict[str, tuple[Rule, ...]] = {}


def broken(value: Mapping[str, Any], around: Surroundings | None = None) -> Iterator[Fault]:
    """Yield a Fault for every rule that ``value`` breaks. Its schema is taken as kept."""
    kind = str(value.get("kind", ""))
    if kind not in _BY_KIND:
        _BY_KIND[kind] = tuple(rule for rule in RULES if kind in rule.kinds)
    pods = tuple(pods_of(value))
    known = replace(around or Surroundings(), pods=pods, commands=tuple(commands_of(value, pods)))
    for rule in _BY_KIND[kind]:
        for path, why, hint in rule.check(value, known):
            yield Fault(path, why, hint, rule.later, rule.source)


__all__ = ["RULES", "Rule", "Surroundings", "broken"]
