"""Requests and limits (Kubernetes, ``pkg/apis/core/validation/validation.go``, ValidateResourceRequirements)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from pcinfra.jobs.kubernetes.rules.model import (
    NEVER_STARTS,
    TRAINJOB,
    WITH_PODS,
    Broken,
    Path,
    Rule,
    Surroundings,
    down,
)

_SUFFIXES: dict[str, int | Decimal] = {
    "": 1, "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": 10**3, "M": 10**6, "G": 10**9,
    "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_NATIVE = ("cpu", "memory", "ephemeral-storage", "storage")


@lru_cache(maxsize=512)
def quantity(text: str) -> Decimal | None:
    """Return a quantity as a number; None when it is none ("Resource Management for Pods and Containers")."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    return Decimal(number + exponent) if exponent else Decimal(number) * _SUFFIXES[suffix or ""]


def _requirements(value: Mapping[str, Any], around: Surroundings) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    if value["kind"] == TRAINJOB:
        path: Path = ("spec", "trainer", "resourcesPerNode")
        yield path, down(value, *map(str, path)) or {}
        return
    for pod in around.pods:
        for at, container in pod.containers():
            yield (*at, "resources"), container.get("resources") or {}


def _named(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, needs in _requirements(value, around):
        for side in ("limits", "requests"):
            for name in needs.get(side) or {}:
                if name not in _NATIVE and not name.startswith("hugepages-") and "/" not in name:
                    hint = "nvidia.com/gpu" if name in ("nvidia.com", "gpu", "gpus") else "domain/name"
                    yield (*path, side, name), "is no resource: a device is named domain/name", hint


def _whole(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, needs in _requirements(value, around):
        for side in ("limits", "requests"):
            for name, amount in (needs.get(side) or {}).items():
                number = quantity(str(amount))
                if number is None or number < 0:
                    yield (*path, side, name), f"{amount!r} is no amount", "8, 500m, 16Gi"
                elif "/" in name and number != int(number):
                    yield (*path, side, name), f"{amount} is no whole number, and devices are not shared", "1"


def _devices(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, needs in _requirements(value, around):
        limits, requests = needs.get("limits") or {}, needs.get("requests") or {}
        for name in [name for name in {**limits, **requests} if "/" in name]:
            if name not in limits:
                yield (*path, "requests", name), "needs an equal limit: devices are never overcommitted", ""
            elif name in requests and quantity(str(limits[name])) != quantity(str(requests[name])):
                why = f"must be equal to its limit, {limits[name]}: devices are never overcommitted"
                yield (*path, "requests", name), why, str(limits[name])


def _order(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, needs in _requirements(value, around):
        limits = needs.get("limits") or {}
        for name, amount in (needs.get("requests") or {}).items():
            request, limit = quantity(str(amount)), quantity(str(limits.get(name, "")))
            if "/" not in name and request is not None and limit is not None and request > limit:
                yield (*path, "requests", name), f"{amount} is more than its limit, {limits[name]}", str(limits[name])


_SOURCE = "Kubernetes, pkg/apis/core/validation/validation.go"
RULES = (
    Rule("resource-names", WITH_PODS, f"{_SOURCE}, validateContainerResourceName", NEVER_STARTS, _named),
    Rule("whole-devices", WITH_PODS, f"{_SOURCE}, ValidateResourceQuantityValue", NEVER_STARTS, _whole),
    Rule("equal-devices", WITH_PODS, f"{_SOURCE}, ValidateResourceRequirements", NEVER_STARTS, _devices),
    Rule("request-within-limit", WITH_PODS, f"{_SOURCE}, ValidateResourceRequirements", NEVER_STARTS, _order),
)
