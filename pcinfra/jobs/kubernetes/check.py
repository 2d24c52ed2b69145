"""An object checked whole: by the schema that is installed, by the rules, and against silent losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes.dialect import Dialect, dialect_of
from pcinfra.jobs.kubernetes.rules import Surroundings, broken
from pcinfra.jobs.kubernetes.schema.admission import Fault, admit, unknown
from pcinfra.jobs.kubernetes.schema.crd import Resource, resources_in
from pcinfra.jobs.kubernetes.schema.validation import too_wide

_UNREADABLE = "the server may take it, and the operator cannot read the job: it does nothing with it"
_INT32 = "Go, encoding/json; Kubernetes API conventions, Primitive types"

KINDS = ("TrainJob", "PyTorchJob", "ClusterTrainingRuntime", "TrainingRuntime")


@dataclass(frozen=True)
class Schemas:
    """The resources that a cluster has, by kind."""

    resources: Mapping[str, Resource]

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Schemas:
        return cls({resource.kind: resource for resource in resources})

    @property
    def dialect(self) -> Dialect | None:
        """The Trainer's, None where it is not installed."""
        trainjob = self.resources.get("TrainJob")
        return dialect_of(trainjob.root) if trainjob else None


def schemas_in(folder: Path) -> Schemas:
    """Return the schemas of the CRDs in ``folder``.

    Raises:
        NotFound: there are none.
        UsageError: two versions of one resource lie there.
    """
    found = resources_in(folder, KINDS)
    kinds = [resource.kind for resource in found]
    double = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if double:
        hint = "a folder with one version of each"
        raise UsageError(f"holds several CRDs of {double}", where=str(folder), hint=hint)
    return Schemas.of(found)


def faults(
    value: Mapping[str, Any], schemas: Schemas | None = None, runtime: Mapping[str, Any] | None = None
) -> list[Fault]:
    """Return everything that speaks against ``value``, most of it at once.

    Args:
        schemas: what is installed; None leaves the schema out and keeps the rules.
        runtime: the runtime that a TrainJob names, where it is known.
    """
    found: list[Fault] = []
    resource = schemas.resources.get(str(value.get("kind"))) if schemas else None
    if resource is not None:
        admitted = admit(resource.root, value, replicas=resource.replicas)
        found += [_other_version(fault, schemas) for fault in unknown(resource.root, admitted.pruned)]
        found += admitted.faults
        if admitted.faults:
            return found  # the rules take a value's shape for granted
        found += [Fault(*problem, _UNREADABLE, _INT32) for problem in too_wide(admitted.object, resource.root)]
    if resource is None and not _shaped(value):
        return [*found, Fault((), "is no Kubernetes object", "apiVersion, kind, metadata, spec")]
    found += broken(value, Surroundings(runtime, schemas.dialect if schemas else None))
    return found


def check(value: Mapping[str, Any], schemas: Schemas | None = None, runtime: Mapping[str, Any] | None = None) -> None:
    """Raise for what :func:`faults` finds.

    Raises:
        UsageError: something does; every fault is in it.
    """
    found = faults(value, schemas, runtime)
    if found:
        name = f"{value.get('kind', 'object')} {(value.get('metadata') or {}).get('name', '')}".strip()
        raise UsageError("\n  ".join(["cannot run:", *map(str, found)]), where=name)


def _other_version(fault: Fault, schemas: Schemas | None) -> Fault:
    """Say which version's field it is, where it is one of another version's."""
    dialect = schemas.dialect if schemas else None
    theirs = {d.overrides: d for d in Dialect}
    field = fault.path[-1]
    if dialect is None or fault.path[:-1] != ("spec",) or field not in theirs:
        return fault
    why = f"is Trainer {theirs[str(field)]}'s, and {dialect} is installed"
    return Fault(fault.path, why, dialect.overrides, fault.later, fault.source)


def _shaped(value: Mapping[str, Any]) -> bool:
    """Whether ``value`` is shaped as the rules expect of something that no schema has seen: maps and lists in place."""
    spec, metadata = value.get("spec", {}), value.get("metadata", {})
    return isinstance(value.get("kind"), str) and isinstance(metadata, Mapping) and isinstance(spec, Mapping)
