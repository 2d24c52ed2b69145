"""An object checked whole: by the schema that is installed, by the rules, and against silent losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes.dialect import Dialect, dialect_of
from pcinfra.jobs.kubernetes.rules import Surroundings, broken
from pcinfra.jobs.kubernetes.rules.shape import shaped
from pcinfra.jobs.kubernetes.schema.admission import Fault, admit, unknown
from pcinfra.jobs.kubernetes.schema.crd import Resource, resources_in

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
    if not isinstance(value.get("kind"), str):
        return [Fault((), "is no Kubernetes object", "apiVersion, kind, metadata, spec")]
    dropped: list[Fault] = []
    resource = schemas.resources.get(value["kind"]) if schemas else None
    taken = shaped(value, known=resource is not None)
    wrong = list(taken.faults)
    if resource is not None:
        taken = admit(resource.root, value, replicas=resource.replicas)
        dropped = [_other_version(fault, schemas) for fault in unknown(resource.root, taken.pruned)]
        wrong += taken.faults
    if wrong:
        return dropped + wrong  # the rules take a value's shape for granted
    if resource is not None:
        dropped += [Fault(*problem, _UNREADABLE, _INT32) for problem in taken.too_wide]
    return [*dropped, *broken(taken.object, Surroundings(runtime, schemas.dialect if schemas else None))]


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
