"""How many resources the local cloud holds, for ``pcinfra local status``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from moto.core.base_backend import BackendDict

_CLUSTER_TAG = "parallelcluster:cluster-name"


def count() -> dict[str, int]:
    """Return the number of resources by kind, over all accounts and regions; kinds with none are left out."""
    found: Counter[str] = Counter()
    registry: Any = BackendDict
    for service in list(registry._instances):
        for _, _, backend in list(service.iter_backends()):
            for kind, number in _COUNTERS.get(service.service_name, _none)(backend):
                found[kind] += number
    return {kind: number for kind, number in sorted(found.items()) if number}


Counts = Iterator[tuple[str, int]]


def _none(_: Any) -> Counts:
    return iter(())


def _stacks(backend: Any) -> Counts:
    yield "stacks", sum(not stack.gone for stack in backend.all_stacks())


def _instances(backend: Any) -> Counts:
    every = [instance for reservation in backend.reservations.values() for instance in reservation.instances]
    live = [instance for instance in every if instance._state.name not in ("terminated", "shutting-down")]
    clusters = {tag["value"] for i in live for tag in i.get_tags() if tag["key"] == _CLUSTER_TAG}
    yield "instances", len(live)
    yield "clusters", len(clusters)


def _file_systems(backend: Any) -> Counts:
    yield "file systems", len(backend.live_file_systems())
    yield "associations", len(backend.live_associations())
    yield "backups", len(backend.backups)


_COUNTERS: dict[str, Callable[[Any], Counts]] = {
    "cloudformation": _stacks,
    "dynamodb": lambda backend: iter([("tables", len(backend.tables))]),
    "ec2": _instances,
    "ecr": lambda backend: iter([("repositories", len(backend.repositories))]),
    "fsx": _file_systems,
    "s3": lambda backend: iter([("buckets", len(backend.buckets))]),
}
