"""A second ``up``, when nothing has changed: API calls, counted where they are sent."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra import stages
from pcinfra.cli.local import endpoint
from pcinfra.cli.session import Session
from pcinfra.localcloud.process import LocalCloud
from pcinfra.project import Project

TARGET = 16


def session(cloud: LocalCloud) -> Session:
    made = Session(local=True, jobs=16)
    made.__dict__ |= {"project": Project(), "target": endpoint("us-east-1", cloud.directory)}
    return made


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        cloud = LocalCloud(Path(folder) / "local")
        try:
            first = session(cloud)
            first.run(stages.up(first.project, first.facts()))
            second = session(cloud)
            begin = time.perf_counter()
            plan = stages.up(second.project, second.facts())
            seconds = time.perf_counter() - begin
        finally:
            cloud.stop()
    print(f"     first up: {first.cloud.calls.total()} calls; second: {len(plan.actions)} actions, {seconds:.2f} s")
    for call, count in sorted(second.cloud.calls.items()):
        print(f"       {count} {call}")
    return 0 if report("calls of a second up", second.cloud.calls.total(), TARGET) and not plan.actions else 1


if __name__ == "__main__":
    sys.exit(main())
