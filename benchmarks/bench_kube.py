"""1,000 job files rendered and checked by schema and rules, in CPU seconds, and against writing them as JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra.jobs.kubernetes.check import Schemas, faults
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render import pytorchjob, runtimes, trainjob
from tests.unit.jobs.kubernetes import crds
from tests.unit.jobs.kubernetes.jobs import FULL, job

COUNT, RUNS = 1000, 5
TARGET = 0.5


def main() -> int:
    if not crds.FOLDER.is_dir():
        print(f"skipped: no CRDs of the Kubeflow Trainer in {crds.FOLDER}")
        return 0
    fine = True
    for version in crds.VERSIONS:
        schemas = crds.schemas(version)
        dialect = schemas.dialect
        assert dialect is not None
        checked = partial(_trainjob, schemas, dialect, runtimes.pytorch_simple(dialect))
        spent, plain = _median(checked), _median(partial(_round_trip, dialect))
        note = f"CPU seconds; {spent / plain:.1f} times rendering and a round trip through JSON"
        fine &= report(f"{COUNT} TrainJobs for {version}, from the job file on", spent, TARGET, note)
    spent = _median(partial(_pytorchjob, crds.schemas("v2.1")))
    fine &= report(f"{COUNT} PyTorchJobs, from the job file on", spent, TARGET, "CPU seconds")
    return 0 if fine else 1


def _trainjob(schemas: Schemas, dialect: Dialect, runtime: dict[str, object]) -> None:
    for each in trainjob.render(job(FULL), dialect).objects:
        assert not faults(each, schemas, runtime)


def _pytorchjob(schemas: Schemas) -> None:
    for each in pytorchjob.render(job(FULL)).objects:
        assert not faults(each, schemas)


def _round_trip(dialect: Dialect) -> None:
    json.loads(json.dumps(trainjob.render(job(FULL), dialect).objects))


def _median(one: Callable[[], object]) -> float:
    """Return the CPU seconds of COUNT calls: the median of RUNS, after one call that compiles what is compiled once."""
    one()
    spent = []
    for _ in range(RUNS):
        begin = time.process_time()
        for _ in range(COUNT):
            one()
        spent.append(time.process_time() - begin)
    return statistics.median(spent)


if __name__ == "__main__":
    sys.exit(main())
