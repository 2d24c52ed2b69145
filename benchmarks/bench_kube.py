"""1,000 jobs rendered and checked by schema and rules, in CPU seconds, and against writing them as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra.jobs.kubernetes.check import faults
from pcinfra.jobs.kubernetes.render import pytorchjob, runtimes, trainjob
from tests.unit.jobs.kubernetes import crds
from tests.unit.jobs.kubernetes.jobs import FULL, job

COUNT = 1000
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
        runtime = runtimes.pytorch_simple(dialect)
        given = job(FULL)
        assert faults(trainjob.render(given, dialect).job, schemas, runtime) == []
        begin = time.process_time()
        for _ in range(COUNT):
            for each in trainjob.render(given, dialect).objects:
                assert not faults(each, schemas, runtime)
        spent = time.process_time() - begin
        begin = time.process_time()
        for _ in range(COUNT):
            json.loads(json.dumps(trainjob.render(given, dialect).objects))
        plain = time.process_time() - begin
        note = f"CPU seconds; {spent / plain:.1f} times rendering and a round trip through JSON"
        fine &= report(f"{COUNT} TrainJobs for {version}, rendered and checked", spent, TARGET, note)
    begin = time.process_time()
    for _ in range(COUNT):
        assert not faults(pytorchjob.render(job(FULL)).job, crds.schemas("v2.1"))
    fine &= report(f"{COUNT} PyTorchJobs, from the job file on", time.process_time() - begin, 2 * TARGET)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
