"""A second ``up``, when nothing has changed: API calls, counted where they are sent, and the CPU of the whole command.

With ten clusters in the project file it is the same: a plan reads no clusters.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra import stages
from pcinfra.cli.local import endpoint
from pcinfra.cli.session import Session
from pcinfra.localcloud.process import LocalCloud
from pcinfra.project import Cluster, Project

TARGET = 16
SECONDS = 1.2
REPEATS = 5


def session(cloud: LocalCloud, **settings: Any) -> Session:
    made = Session(local=True, jobs=16)
    made.__dict__ |= {"project": Project(**settings), "target": endpoint("us-east-1", cloud.directory)}
    return made


def cpu_of_plan(folder: str) -> float:
    """Return the CPU seconds of `pcinfra --local plan` in ``folder``, the median of some."""
    times = []
    for _ in range(REPEATS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "pcinfra.cli.main", "--local", "plan", "--exit-code"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        cloud = LocalCloud(Path(folder) / ".pcinfra" / "local")
        try:
            first = session(cloud)
            first.run(stages.up(first.project, first.facts()))
            second = session(cloud)
            begin = time.perf_counter()
            plan = stages.up(second.project, second.facts())
            seconds = time.perf_counter() - begin
            third = session(cloud, clusters={f"c{n}": Cluster() for n in range(10)})
            ten = stages.up(third.project, third.facts())
            (Path(folder) / "pcinfra.yaml").write_text("{}\n")
            cpu = cpu_of_plan(folder)
        finally:
            cloud.stop()
    print(f"     first up: {first.cloud.calls.total()} calls; second: {len(plan.actions)} actions, {seconds:.2f} s")
    for call, count in sorted(second.cloud.calls.items()):
        print(f"       {count} {call}")
    well = [
        report("calls of a second up", second.cloud.calls.total(), TARGET) and not plan.actions,
        report("the same with ten clusters", third.cloud.calls.total(), TARGET) and not ten.actions,
        report("CPU of `pcinfra plan`, seconds", cpu, SECONDS),
    ]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
