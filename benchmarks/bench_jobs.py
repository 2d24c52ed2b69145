"""``pcinfra jobs`` with 10,000 known jobs against one ``squeue`` and one ``sacct``, on the same real Slurm.

Half of the jobs wait, half were cancelled; all are known to Slurm and have run directories. Both sides are one script
on the head node, reached the same way, and take turns. Without slurmdbd, sacct reads the job completion log (``-c``);
jobs that never ran may be missing there: then it costs next to nothing, and the target is the harder.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra.jobs.launcher import Query
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from tests.local.machine import DirectHeadNode, two_nodes

TARGET = 1.2
JOBS = 10_000
ASK = """
squeue -h -t all -o '%A|%j|%T|%r|%N|%M' >../squeue.out
sacct -c -n -P -o jobid,jobname,state,exitcode >../sacct.out
wc -l <../squeue.out
"""
SUBMIT = """
printf 'pci-%s\\n' * | xargs -P 4 -n 1 sbatch --hold --output=/dev/null --wrap=true --job-name >/dev/null || exit
squeue -h -o '%A %j' | awk '{sub(/.*-/, "", $2); if ($2 % 2) print $1}' | xargs scancel
"""
ATTEMPT = '{"job":"1","attempt":0,"nodes":"n1","count":1,"gpus":8,"started":1800000000}\n'
RESULT = '{"job":"1","attempt":0,"exit_code":0,"verdict":"done","nodes":"n1","ended":"2027-01-15T09:00:00Z"}\n'


def make_runs(runs: Path) -> None:
    """Make run directories as `pcinfra submit` and the jobs leave them; one in two has a result."""
    for number in range(JOBS):
        folder = runs / f"bench-{number:016d}"
        folder.mkdir()
        (folder / "job.sbatch").write_text("#!/bin/bash\n#SBATCH --nodes=1\ntrue\n")
        (folder / "job.id").write_text(f"{number}\n")
        if number % 2:
            (folder / "attempts.jsonl").write_text(ATTEMPT)
            (folder / "result.jsonl").write_text(RESULT)


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main() -> int:
    if os.geteuid() != 0:
        print("skip: needs root, for nodes of their own")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cluster = two_nodes(Path(folder) / "train", MinJobAge="3000", MaxJobCount="20000")
        cluster.start()
        try:
            head = DirectHeadNode(cluster)
            launcher = SlurmLauncher(head)
            where = head.run("pwd").check().stdout.strip().removeprefix("/lustre/")
            make_runs(cluster.shared_path("/lustre") / where)
            head.run(SUBMIT, timeout=1200).check()
            assert int(head.run(ASK).check().stdout) == JOBS
            ours, theirs = [], []
            for _ in range(9):
                ours.append(seconds(lambda: launcher.runs(Query())))
                theirs.append(seconds(lambda: head.run(ASK).check()))
            whole = seconds(lambda: launcher.runs(Query(limit=JOBS)))
            found = head.run("wc -l <../sacct.out").stdout.strip()
        finally:
            cluster.destroy()
    mine, other = statistics.median(ours), statistics.median(theirs)
    note = f"{mine:.3f} s and {other:.3f} s, {found} jobs in sacct; all {JOBS} as a list: {whole:.1f} s"
    return 0 if report("the newest 50 of 10,000 known jobs / one squeue + one sacct", mine / other, TARGET, note) else 1


if __name__ == "__main__":
    sys.exit(main())
